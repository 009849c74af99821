"""A MOC as text to sorted ranges of HEALPix cells, for regions that come from outside: bounded, and nothing is expanded.

JSON (`{"6": [1, 2]}`) and ASCII (`6/1-2 4 7/9`) as in IVOA MOC 2.0, sections 4.3.2 and 4.3.3.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import numpy as np

from mma_pipeline.science.arrays import IntArray
from mma_pipeline.science.healpix import MAX_ORDER

#: Most cells or ranges of cells.
MOST_RANGES = 200_000
_TOKEN = re.compile(r"(?:(\d{1,2})/)?(?:(\d{1,19})(?:-(\d{1,19}))?)?")


def ranges_of_moc(text: str) -> tuple[IntArray, IntArray]:
    """Sorted, disjoint half-open ranges of order-29 NESTED indices, begin and end, shape (M,) each.

    Raises ValueError for what is no MOC, or has more than 200,000 cells and ranges.
    """
    found = [
        (first << shift, (last + 1) << shift)
        for order, first, last in (_json(text) if text.lstrip().startswith("{") else _ascii(text))
        for shift in (2 * (MAX_ORDER - order),)
    ]
    return merged(np.asarray(found, dtype=np.int64).reshape(-1, 2))


def merged(ranges: IntArray) -> tuple[IntArray, IntArray]:
    """Half-open ranges of shape (N, 2) in any order as sorted, disjoint ones, begin and end, shape (M,) each."""
    ordered = ranges[np.argsort(ranges[:, 0], kind="stable")]
    if len(ordered) == 0:
        return ordered[:, 0], ordered[:, 1]
    begin, reach = ordered[:, 0], np.maximum.accumulate(ordered[:, 1])
    starts = np.concatenate([[True], begin[1:] > reach[:-1]])
    return begin[starts], reach[np.concatenate([starts[1:], [True]])]


def _json(text: str) -> Iterator[tuple[int, int, int]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("the region is no JSON") from error
    if not isinstance(document, dict):
        raise ValueError("a MOC in JSON is an object of orders and cells")  # noqa: TRY004 - it is about the text
    count = 0
    for order, cells in document.items():
        if not isinstance(cells, list) or not order.isdecimal():
            raise ValueError("a MOC in JSON is an object of orders and cells")
        count += len(cells)
        if count > MOST_RANGES:
            raise ValueError(f"a MOC of more than {MOST_RANGES} cells")
        for cell in cells:
            if not isinstance(cell, int) or isinstance(cell, bool):
                raise ValueError(f"a cell of order {order[:3]} is no whole number")  # noqa: TRY004
            yield _checked(int(order[:3]), cell, cell)


def _ascii(text: str) -> Iterator[tuple[int, int, int]]:
    order: int | None = None
    for count, token in enumerate(re.split(r"[\s,]+", text.strip())):
        match = _TOKEN.fullmatch(token)
        if match is None or count > MOST_RANGES:
            raise ValueError(f"{token[:20]!r} is no part of a MOC such as 6/1-2 4 7/9, or it has too many parts")
        order = order if match[1] is None else int(match[1])
        if match[2] is not None:
            if order is None:
                raise ValueError("a MOC begins with an order such as 6/")
            yield _checked(order, int(match[2]), int(match[3] or match[2]))


def _checked(order: int, first: int, last: int) -> tuple[int, int, int]:
    if not 0 <= order <= MAX_ORDER or not 0 <= first <= last < 12 << (2 * order):
        raise ValueError(f"order {order} has no cells {first} to {last}")
    return order, first, last
