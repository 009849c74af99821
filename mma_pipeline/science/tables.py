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


#: Unit of a figure by the end of its name.
_UNITS = {
    "_deg2": "deg2", "_deg": "deg", "_mpc3": "Mpc3", "_mpc": "Mpc", "_per_sr": "sr-1", "_hz": "Hz", "_s": "s", "_mag": "mag",
    "_mjd": "d",
}  # fmt: skip
#: UCD1+ of columns by name (IVOA, The UCD1+ controlled vocabulary).
_UCDS = {
    "ra": "pos.eq.ra;meta.main", "ra_deg": "pos.eq.ra;meta.main", "dec": "pos.eq.dec;meta.main", "dec_deg": "pos.eq.dec;meta.main",
    "event": "meta.id;meta.main", "candidate": "meta.id;meta.main", "name": "meta.id;meta.main", "gw_event": "meta.id;meta.main",
    "other_event": "meta.id.assoc", "partners": "meta.id.assoc", "host_name": "meta.id.assoc", "aliases": "meta.id.assoc",
    "newest_version": "meta.version", "gw_version": "meta.version", "other_version": "meta.version",
    "retracted_by": "meta.version", "page": "meta.ref.url", "time": "time.epoch", "night": "time.epoch",
    "kind": "meta.code.class", "group": "meta.code.class", "search": "meta.code.class", "messenger": "meta.code.class",
    "source": "meta.code.class", "status": "meta.code.status", "state": "meta.code.status", "versions": "meta.number",
    "visits": "meta.number", "rank": "meta.number", "measurements": "meta.number", "instruments": "meta.id;instr",
    "coincidences": "meta.id;instr", "site": "meta.id;instr.obsty", "band": "instr.bandpass", "depth_band": "instr.bandpass",
    "last_band": "instr.bandpass", "wavelength": "em.wl", "field_deg2": "phys.angArea", "peak_airmass": "obs.airMass",
    "moon_separation_deg": "pos.angDistance", "offset_deg": "pos.angDistance", "moon_altitude_deg": "pos.az.alt",
    "moon_illumination": "stat.value", "begins": "time.start", "ends": "time.end", "best": "time.epoch",
    "sunset": "time.epoch", "dusk": "time.epoch", "dawn": "time.epoch", "sunrise": "time.epoch", "distance": "pos.distance",
    "score": "stat.weight", "weight": "stat.weight", "position": "stat.probability", "distance_density": "stat.probability",
    "detectability": "stat.probability", "level_2d": "stat.probability", "level_3d": "stat.probability",
    "reached": "stat.probability", "posterior": "stat.probability", "probdensity_per_sr": "stat.probability",
    "depth_median": "phot.mag;stat.median", "last_magnitude": "phot.mag",
    "credible_level": "stat.probability", "host_chance": "stat.probability", "prior": "stat.probability", "redshift": "src.redshift",
    "host_separation": "pos.angDistance", "days_since_merger": "time.interval", "nights": "meta.number",
}  # fmt: skip
#: The same of what has one of these words in its name; the first that fits.
_UCD_WORDS = (
    ("_std_mpc", "stat.error;pos.distance"), ("_mpc3", "phys.volume"), ("_mpc", "pos.distance"), ("_deg2", "phys.angArea"),
    ("far_hz", "arith.rate"), ("_hours", "time.interval"), ("hours", "time.interval"), ("difference_s", "time.interval"),
    ("_mjd", "time.epoch"), ("prob", "stat.probability"), ("_mag", "phot.mag"), ("mag_", "phot.mag"),
)  # fmt: skip


def unit_of(name: str) -> str | None:
    """The unit of a column, by a name such as `distance_mpc`; None where the name has none."""
    if name in {"ra", "dec"}:
        return "deg"
    return next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), None)


def ucd_of(name: str, *, number: bool) -> str:
    """The UCD1+ of a column by its name; a general word for what the vocabulary has nothing for."""
    if name.startswith("p_"):
        return "stat.probability"
    known = _UCDS.get(name) or next((ucd for word, ucd in _UCD_WORDS if word in name), None)
    return known or ("stat.value" if number else "meta.note")


def votable(table: Table) -> bytes:
    """A table as VOTable 1.4, which TOPCAT, Aladin and pyvo read: all rows, each column with its unit and UCD1+, its meta in the description."""
    from astropy.io.votable import from_table
    from astropy.units import FunctionUnitBase

    plain = table.copy(copy_data=False)
    for column in plain.itercols():
        # VOTable knows units, not zero points: `mag(AB)` is `mag` there.
        if isinstance(column.unit, FunctionUnitBase):
            column.unit = column.unit.function_unit
    file = from_table(plain)
    for field in file.get_first_table().fields:
        field.ucd = ucd_of(field.name, number=plain[field.name].dtype.kind in "iuf")
    file.get_first_table().description = ", ".join(f"{name}: {value}" for name, value in table.meta.items())
    buffer = io.BytesIO()
    file.to_xml(buffer, tabledata_format="binary2")
    return buffer.getvalue()
