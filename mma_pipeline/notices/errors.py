"""The one error that parsing raises: what is wrong with a message, in a sentence a person understands."""

from __future__ import annotations


class NoticeError(ValueError):
    """A message that cannot become a notice; its text is the reason kept with it in quarantine."""
