"""The error that parsing raises: says what is wrong with a message, in a sentence for people."""

from __future__ import annotations


class NoticeError(ValueError):
    """A message that cannot be used as a notice; the text is the reason kept with it in quarantine."""
