"""Tables as bytes of files, the same for every product."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.table import Table


def ecsv(table: Table) -> bytes:
    """A table as ECSV (Astropy Proposal for Enhancement 6), all rows and columns."""
    buffer = io.StringIO()
    table.write(buffer, format="ascii.ecsv")
    return buffer.getvalue().encode()


def votable(table: Table) -> bytes:
    """A table as VOTable 1.4, which TOPCAT, Aladin and pyvo read: all rows and columns, its meta in the description."""
    from astropy.io.votable import from_table
    from astropy.units import FunctionUnitBase

    plain = table.copy(copy_data=False)
    for column in plain.itercols():
        # VOTable knows units, not zero points: `mag(AB)` is `mag` there.
        if isinstance(column.unit, FunctionUnitBase):
            column.unit = column.unit.function_unit
    file = from_table(plain)
    file.get_first_table().description = ", ".join(f"{name}: {value}" for name, value in table.meta.items())
    buffer = io.BytesIO()
    file.to_xml(buffer, tabledata_format="binary2")
    return buffer.getvalue()
