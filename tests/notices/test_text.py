"""Text from outside, and what is said of parts that cannot be used."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from mma_pipeline.notices.degraded import MAX_LINES, Degraded
from mma_pipeline.notices.fields import decode_notice
from mma_pipeline.notices.text import clean, plain_number

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
)


@given(VALUES)
def test_whatever_is_cleaned_can_be_written(value: object) -> None:
    """Cleaned values encode as UTF-8 and hold no control character but tabs and line breaks; cleaned twice is once."""
    cleaned = clean(value)
    text = json.dumps(cleaned, ensure_ascii=False)
    text.encode()
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text)
    assert clean(cleaned) == cleaned


def test_sound_text_stays() -> None:
    """Letters of any script, line breaks and characters beyond the first plane are text."""
    sound = {"Kårte": ["β Lyræ", "two\nlines\tand a tab", "🔭"]}
    assert clean(sound) == sound


def test_surrogates_in_json() -> None:
    """A pair of surrogates is one character; a lone one, in a name or a value, is replaced."""
    assert decode_notice(rb'{"a\ud800": "\ud83d\udd2d", "b": ["\udc00x"]}') == {"a\ufffd": "🔭", "b": ["\ufffdx"]}


def test_numbers_as_people_write_them() -> None:
    """The smallest number is not spelled with digits that it does not have, and nothing becomes zero."""
    written = {plain_number(value, 4) for value in (5e-324, 1e-300, 3.218261352069347e-10, 100.0, 0.1, 2.0)}
    assert written == {"5e-324", "1e-300", "3.218e-10", "100", "0.1", "2"}


def test_lines_are_bounded() -> None:
    """A thousand bad parts are a list of bounded length that says how many more there are; each line is one line."""
    found = Degraded()
    for number in range(1000):
        found.note(f"part {number % 500} is\nwrong" + "x" * 1000)
    assert len(found.lines) == MAX_LINES
    assert found.lines[-1] == "481 more parts are wrong"
    assert all(line.isprintable() and len(line) <= 200 for line in found.lines)
