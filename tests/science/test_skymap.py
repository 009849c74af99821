"""Decoding, validation and encoding of sky maps."""

from __future__ import annotations

import gzip
import io

import healpy
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_pipeline.science.healpix import uniq_to_order_ipix
from mma_pipeline.science.skymaps import fits as fitstable
from mma_pipeline.science.skymaps.model import SkyMapError, decode_skymap, encode_skymap
from mma_pipeline.science.skymaps.statistics import distance_moments
from tests.science.maps import MISSING, real_maps, rows_for_tools, table_bytes

UNIFORM = 1 / (4 * np.pi)


def _moc(**changes: np.ndarray) -> bytes:
    columns = {"UNIQ": np.arange(4, 16), "PROBDENSITY": np.full(12, UNIFORM)} | changes
    return table_bytes(columns, ORDERING="NUNIQ")


@pytest.mark.parametrize("name", list(real_maps()) or [pytest.param("", marks=pytest.mark.skip(reason=MISSING))])
def test_real_maps_agree_with_ligo_skymap(name: str, tmp_path: object) -> None:
    """Every real map must decode to the densities and distances that ligo.skymap reads, whatever its layout."""
    from ligo.skymap.io import read_sky_map

    path = tmp_path / "map.fits"  # type: ignore[operator]
    body = real_maps()[name]
    path.write_bytes(body if body[:2] != b"\x1f\x8b" else gzip.decompress(body))
    skymap = decode_skymap(body)
    assert (np.diff(skymap.start29) > 0).all()
    assert skymap.prob.sum() == pytest.approx(1, abs=1e-12)
    reference = read_sky_map(str(path), moc=True)
    order, ipix = uniq_to_order_ipix(reference["UNIQ"])
    rows = skymap.row_of(ipix << (2 * (29 - order)))
    np.testing.assert_allclose(skymap.probdensity[rows], reference["PROBDENSITY"], rtol=1e-7)
    for column, layer in (("DISTMU", skymap.distmu), ("DISTSIGMA", skymap.distsigma), ("DISTNORM", skymap.distnorm)):
        if column in reference.colnames:
            np.testing.assert_array_equal(layer[rows], reference[column])  # type: ignore[index]
        else:
            assert layer is None


@pytest.mark.parametrize("name", list(real_maps()) or [pytest.param("", marks=pytest.mark.skip(reason=MISSING))])
def test_encoding_keeps_everything(name: str) -> None:
    """A map written and read again must be the same map, and its bytes the same bytes."""
    skymap = decode_skymap(rows_for_tools(name))
    body = encode_skymap(skymap)
    again = decode_skymap(body)
    np.testing.assert_array_equal(again.uniq, skymap.uniq)
    np.testing.assert_array_equal(again.probdensity, skymap.probdensity)
    assert encode_skymap(again) == body
    assert {k: again.meta.get(k) for k in ("DATE-OBS", "DISTMEAN", "HISTORY")} == {
        k: skymap.meta.get(k) for k in ("DATE-OBS", "DISTMEAN", "HISTORY")
    }


@pytest.mark.parametrize("ordering", ["RING", "NESTED"])
@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize("width", [1, 64])
@pytest.mark.parametrize("column", ["PROB", "PROBDENSITY"])
def test_flat_layouts(ordering: str, explicit: bool, width: int, column: str) -> None:
    """RING or NESTED, implicit or explicit, scalar or vector columns, PROB or PROBDENSITY: all the same map."""
    import healpy

    nside = 16
    npix = 12 * nside**2
    truth = np.random.default_rng(1).random(npix)  # nested
    truth /= truth.sum()
    values = truth if ordering == "NESTED" else healpy.reorder(truth, n2r=True)
    pixels = np.arange(npix)
    if explicit:
        pixels = np.random.default_rng(2).permutation(npix)
        values = values[pixels]
    if column == "PROBDENSITY":
        values = values * npix * UNIFORM
    columns = {column: values.reshape(-1, width) if width > 1 else values}
    if explicit:
        columns["PIXEL"] = pixels.reshape(-1, width) if width > 1 else pixels
    skymap = decode_skymap(gzip.compress(table_bytes(columns, ORDERING=ordering, NSIDE=nside)))
    np.testing.assert_array_equal(skymap.uniq, 4 * nside**2 + np.arange(npix))
    np.testing.assert_allclose(skymap.prob, truth, rtol=1e-12)


def test_flat_map_is_compacted_without_loss() -> None:
    """Equal siblings of a flat map must become one row, and nothing else may."""
    values = np.full(12 * 16, 1.0)
    values[5] = 2.0
    skymap = decode_skymap(table_bytes({"PROB": values / values.sum()}, ORDERING="NESTED", NSIDE=4))
    # eleven whole base pixels; in pixel 0 its three quarters without pixel 5, and the four pixels beside it
    assert sorted(zip(skymap.order.tolist(), skymap.ipix.tolist(), strict=True)) == sorted(
        [(0, k) for k in range(1, 12)] + [(1, 0), (1, 2), (1, 3)] + [(2, k) for k in range(4, 8)]
    )
    assert skymap.prob[(skymap.order == 2) & (skymap.ipix == 5)] == pytest.approx(2 / 193)


def test_missing_pixels_count_as_zero_when_the_rest_sums_to_one() -> None:
    """Pixels left out are filled with zero so that rows tile the sky; a map that lost probability is refused."""
    density = np.full(4, 12 / 4 * UNIFORM)
    skymap = decode_skymap(table_bytes({"UNIQ": np.arange(4, 8), "PROBDENSITY": density}))
    assert skymap.area.sum() == pytest.approx(4 * np.pi)
    assert skymap.prob[skymap.row_of(np.asarray([5 << 58]))] == 0
    with pytest.raises(SkyMapError, match="pixels are missing"):
        decode_skymap(_moc(UNIQ=np.arange(4, 15), PROBDENSITY=np.full(11, 1.05 * UNIFORM)))


def test_wrong_normalisation_is_mended_within_reason() -> None:
    """A total of 1.02 is scaled to one and remembered, a total of 1.2 is an error."""
    skymap = decode_skymap(_moc(PROBDENSITY=np.full(12, 1.02 * UNIFORM)))
    assert skymap.total == pytest.approx(1.02)
    assert skymap.prob.sum() == pytest.approx(1)
    with pytest.raises(SkyMapError, match="sum to one"):
        decode_skymap(_moc(PROBDENSITY=np.full(12, 1.2 * UNIFORM)))


UNSEEN = -1.6375e30


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_pixels_not_observed_hold_nothing(kind: type) -> None:
    """UNSEEN, in double or single precision, is a pixel that was not observed; what was observed must sum to one."""
    seen = np.asarray([0.25, 0.75] + [UNSEEN] * 10).astype(kind).astype(float)
    skymap = decode_skymap(table_bytes({"PROB": seen}, ORDERING="NESTED", NSIDE=1))
    np.testing.assert_allclose(skymap.prob, [0.25, 0.75] + [0.0] * 10)
    assert skymap.notes == ()
    with pytest.raises(SkyMapError, match=r"sum to one.*not observed"):
        decode_skymap(table_bytes({"PROB": np.where(seen > 0.5, 0.7, seen)}, ORDERING="NESTED", NSIDE=1))
    decode_skymap(_moc(PROBDENSITY=np.where(seen == 0.25, 12 / np.pi / 4, UNSEEN)))


@pytest.mark.parametrize(
    "spelling",
    [
        "C",
        "c ",
        "CEL",
        "Celestial",
        "EQUATORIAL",
        "equ",
        "EQ",
        "Q",
        "ICRS",
        "ICRF",
        "J2000",
        "FK5",
        "RADEC",
        "RA/DEC",
        "",
    ],
)
def test_spellings_of_equatorial_coordinates(spelling: str) -> None:
    """However a sender calls them, ICRS and J2000 are equatorial coordinates."""
    body = table_bytes({"PROB": np.full(12, 1 / 12)}, ORDERING="RING", NSIDE=1, COORDSYS=spelling)
    assert decode_skymap(body).prob.sum() == pytest.approx(1)


@pytest.mark.parametrize("spelling", ["G", "GAL", "Galactic", "E", "ECL", "ecliptic", "FK4", "B1950", "H", "ITRS"])
def test_other_coordinates_are_refused(spelling: str) -> None:
    """Galactic and ecliptic maps (HEALPix's G and E) would put the event elsewhere on the sky."""
    with pytest.raises(SkyMapError, match="equatorial"):
        decode_skymap(table_bytes({"PROB": np.full(12, 1 / 12)}, ORDERING="RING", NSIDE=1, COORDSYS=spelling))


def _layers(**changes: np.ndarray) -> dict[str, np.ndarray]:
    norm = 1 / (100.0**2 + 10.0**2)  # of r² N(r) for mean far above width
    return {"DISTMU": np.full(12, 100.0), "DISTSIGMA": np.full(12, 10.0), "DISTNORM": np.full(12, norm)} | changes


@pytest.mark.parametrize(
    ("name", "value"), [("DISTMU", 1e20), ("DISTMU", -1e20), ("DISTSIGMA", 1e20), ("DISTNORM", 1e20)]
)
def test_impossible_distances_are_left_out(name: str, value: float) -> None:
    """A row whose distance no source can have counts as a row without distance, and is counted."""
    changed = _layers()[name].copy()
    changed[4] = value
    skymap = decode_skymap(_moc(**_layers(**{name: changed})))
    assert np.isfinite(skymap.distmu).sum() == 11  # type: ignore[arg-type]
    assert np.isinf(skymap.distmu[4])  # type: ignore[index]
    assert skymap.notes == ("1 of 12 rows has a distance that no source can have: it is left out",)
    assert distance_moments(skymap) == pytest.approx(distance_moments(decode_skymap(_moc(**_layers()))))


@pytest.mark.parametrize("name", list(real_maps()) or [pytest.param("", marks=pytest.mark.skip(reason=MISSING))])
def test_no_distance_of_a_real_map_is_left_out(name: str) -> None:
    """Rows of real maps, however far out in their tails, are never called impossible."""
    assert decode_skymap(rows_for_tools(name)).notes == ()


@pytest.mark.parametrize(
    ("unit", "inverse_square", "in_mpc"),
    [
        ("Mpc", "Mpc-2", 1.0),
        ("MPC", "1/Mpc^2", 1.0),
        ("Gpc", "Gpc-2", 1000.0),
        ("kpc", None, 1e-3),
        ("pc", "pc-2", 1e-6),
    ],
)
def test_units_of_distance_are_converted(unit: str, inverse_square: str | None, in_mpc: float) -> None:
    """The same map in another unit of length is the same map; a norm without unit goes with its distances."""
    truth = _layers()
    columns = [
        ("UNIQ", np.arange(4, 16), ""),
        ("PROBDENSITY", np.full(12, UNIFORM), "sr-1"),
        ("DISTMU", truth["DISTMU"] / in_mpc, unit),
        ("DISTSIGMA", truth["DISTSIGMA"] / in_mpc, unit),
        ("DISTNORM", truth["DISTNORM"] * in_mpc**2, inverse_square or ""),
    ]
    skymap = decode_skymap(fitstable.write_table(columns, {"ORDERING": "NUNIQ"}))
    assert skymap.notes == ()
    for layer, name in ((skymap.distmu, "DISTMU"), (skymap.distsigma, "DISTSIGMA"), (skymap.distnorm, "DISTNORM")):
        np.testing.assert_allclose(layer, truth[name])  # type: ignore[arg-type]


def test_a_unit_that_is_no_length_leaves_distances_out() -> None:
    """Distances in seconds are none: the map is used without, and says so."""
    columns = [("UNIQ", np.arange(4, 16), ""), ("PROBDENSITY", np.full(12, UNIFORM), "sr-1")]
    columns += [(name, values, "s") for name, values in _layers().items()]
    skymap = decode_skymap(fitstable.write_table(columns, {"ORDERING": "NUNIQ"}))
    assert not skymap.is_3d
    assert skymap.notes == ("DISTMU is in 's', not a distance in Mpc: distances are left out",)


def test_layers_of_gzip() -> None:
    """A map gzipped again is the same map, up to four times; beyond that it is refused."""
    body = _moc()
    for _ in range(4):
        body = gzip.compress(body)
        np.testing.assert_array_equal(decode_skymap(body).prob, decode_skymap(_moc()).prob)
    with pytest.raises(SkyMapError, match="more than 4 times"):
        decode_skymap(gzip.compress(body))


def test_directions_without_distance_are_uniform() -> None:
    """NaN, infinite or impossible distance parameters all mean: no distance here, in one spelling."""
    distance = {"DISTMU": np.full(12, 100.0), "DISTSIGMA": np.full(12, 10.0), "DISTNORM": np.full(12, 1e-5)}
    distance["DISTMU"][:2] = np.nan, np.inf
    distance["DISTSIGMA"][2:4] = np.nan, 0
    skymap = decode_skymap(_moc(**distance))
    assert skymap.is_3d
    np.testing.assert_array_equal(skymap.distmu, [np.inf] * 4 + [100.0] * 8)
    np.testing.assert_array_equal(skymap.distsigma, [1.0] * 4 + [10.0] * 8)
    np.testing.assert_array_equal(skymap.distnorm, [0.0] * 4 + [1e-5] * 8)


def test_deep_pixels_take_no_memory() -> None:
    """A map with rows of order 14 and 29 must be rows, never a flat array."""
    for order in (14, 29):
        uniq = [4 * 4**order + 0]  # pixel 0 at that order, and what tiles the rest
        uniq += [4 * 4**level + k for level in range(1, order + 1) for k in (1, 2, 3)]
        uniq += list(range(5, 16))
        skymap = decode_skymap(
            table_bytes({"UNIQ": np.asarray(uniq), "PROBDENSITY": np.full(len(uniq), UNIFORM)}, ORDERING="NUNIQ")
        )
        assert int(skymap.order.max()) == order
        assert skymap.prob.sum() == pytest.approx(1)


def _with(array: np.ndarray, index: int, value: float) -> np.ndarray:
    changed = array.copy()
    changed[index] = value
    return changed


DENSITY = np.full(12, UNIFORM)
BAD = {
    "empty bytes": (b"", "empty"),
    "text": (b"this is not a map", "not FITS"),
    "gzip of text": (gzip.compress(b"no"), "not FITS"),
    "damaged gzip": (b"\x1f\x8b" + b"\x00" * 40, "gzip"),
    "truncated gzip": (gzip.compress(_moc())[:-200], "truncated"),
    "truncated table": (_moc()[:5800], "truncated"),
    "truncated header": (_moc()[:3000], "table"),
    "header only": (_moc()[:2880], "no binary table"),
    "no density": (table_bytes({"UNIQ": np.arange(4, 16)}), "PROBDENSITY"),
    "no UNIQ": (table_bytes({"PROBDENSITY": DENSITY}, ORDERING="NUNIQ"), "UNIQ"),
    "UNIQ of floats": (_moc(UNIQ=np.arange(4.0, 16.0)), "integer"),
    "UNIQ of zero": (_moc(UNIQ=_with(np.arange(4, 16), 0, 0)), "UNIQ"),
    "UNIQ beyond order 29": (_moc(UNIQ=_with(np.arange(4, 16), 0, 16 * 4**29)), "UNIQ"),
    "NaN": (_moc(PROBDENSITY=_with(DENSITY, 3, np.nan)), "1 of 12 rows has no finite PROBDENSITY"),
    "all NaN": (_moc(PROBDENSITY=DENSITY * np.nan), "12 of 12 rows have no finite PROBDENSITY"),
    "infinite": (_moc(PROBDENSITY=_with(DENSITY, 3, np.inf)), "infinite"),
    "negative": (_moc(PROBDENSITY=_with(DENSITY, 3, -1e-3)), "negative"),
    "zero": (_moc(PROBDENSITY=np.zeros(12)), "zero"),
    "huge": (_moc(PROBDENSITY=np.full(12, 1e300)), "sum to one"),
    "same pixel twice": (_moc(UNIQ=_with(np.arange(4, 16), 1, 4)), "overlap"),
    "pixel and its parent": (_moc(UNIQ=_with(np.arange(4, 16), 1, 16)), "overlap"),
    "distance incomplete": (_moc(DISTMU=DENSITY), "DISTSIGMA"),
    "distance of wrong shape": (
        _moc(DISTMU=np.ones((12, 2)), DISTSIGMA=DENSITY, DISTNORM=DENSITY),
        "DISTMU",
    ),
    "galactic": (table_bytes({"PROB": DENSITY}, ORDERING="RING", NSIDE=1, COORDSYS="G"), "equatorial"),
    "NSIDE and length differ": (table_bytes({"PROB": DENSITY}, ORDERING="RING", NSIDE=2), "pixels"),
    "NSIDE no power of two": (table_bytes({"PROB": np.ones(108)}, ORDERING="RING", NSIDE=3), "NSIDE"),
    "no rows": (_moc(UNIQ=np.empty(0, int), PROBDENSITY=np.empty(0)), "empty"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_maps_are_refused_in_one_sentence(case: str) -> None:
    """Each kind of damage must raise SkyMapError that names it, and nothing else."""
    body, word = BAD[case]
    with pytest.raises(SkyMapError, match=word) as caught:
        decode_skymap(body)
    assert "\n" not in str(caught.value)


def test_decompression_bomb_is_refused() -> None:
    """A small gzip stream that grows beyond the limit must stop at the limit."""
    with pytest.raises(SkyMapError, match="larger than"):
        fitstable.gunzip(gzip.compress(bytes(20_000_000)), limit=1_000_000)


def test_gzip_members_are_joined() -> None:
    """Two gzip members in one stream are one file, as gzip(1) says."""
    assert fitstable.gunzip(gzip.compress(b"one ") + gzip.compress(b"map")) == b"one map"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 8639))
def test_damage_never_escapes_as_another_error(junk: bytes, where: int) -> None:
    """Bytes overwritten anywhere in a valid map give a map or SkyMapError, never another exception."""
    body = bytearray(_moc())
    body[where : where + len(junk)] = junk
    try:
        decode_skymap(bytes(body))
    except SkyMapError:
        return


@given(st.integers(0, 29), st.data())
def test_uniq_round_trip(order: int, data: st.DataObject) -> None:
    """UNIQ splits into the order and pixel it was made of, at every order."""
    ipix = data.draw(st.integers(0, 12 * 4**order - 1))
    assert [int(v) for v in uniq_to_order_ipix([4 * 4**order + ipix])[0:1][0]] == [order]
    assert int(uniq_to_order_ipix([4 * 4**order + ipix])[1][0]) == ipix


def test_only_the_first_table_counts() -> None:
    """A file with an image before the table must still be read; DATE-OBS need not be there."""
    table = fits.open(io.BytesIO(_moc()))[1]
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((3, 3))), table]).writeto(buffer)
    assert "DATE-OBS" not in decode_skymap(buffer.getvalue()).meta


@pytest.mark.parametrize("ordering", ["NESTED", "RING"])
@pytest.mark.parametrize("width", [1, 16])
def test_flat_maps_read_in_parts(ordering: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flat map read a part of the sky at a time has the rows of one read whole, siblings of several parts merged."""
    order, npix = 5, 12 * 4**5
    pixel = np.arange(npix)
    # One base pixel of one value, one of two halves, and the rest with finer and finer values.
    density = np.where(pixel < 4**5, 1.0, np.where(pixel < 2 * 4**5, 2.0 + (pixel // 512 % 2), 3.0 + pixel // 7))
    density = density / (density.sum() * 4 * np.pi / npix)
    if ordering == "RING":
        density = density[healpy.ring2nest(2**order, pixel)]
    columns = (
        {"PROB": (density * 4 * np.pi / npix).reshape(-1, width)} if width > 1 else {"PROB": density * 4 * np.pi / npix}
    )
    columns |= {
        name: np.full_like(columns["PROB"], value)
        for name, value in (("DISTMU", 100.0), ("DISTSIGMA", 10.0), ("DISTNORM", 1e-4))
    }
    body = table_bytes(columns, ORDERING=ordering, NSIDE=2**order, PIXTYPE="HEALPIX")
    whole = decode_skymap(body)
    assert whole.order.min() == 0
    for part in (1, 2, 4):
        monkeypatch.setattr("mma_pipeline.science.skymaps.flat_input.PART_ORDER", part)
        found = decode_skymap(body)
        np.testing.assert_array_equal(found.uniq, whole.uniq)
        for layer in ("probdensity", "distmu", "distsigma", "distnorm"):
            np.testing.assert_array_equal(getattr(found, layer), getattr(whole, layer))


@pytest.mark.parametrize("ordering", ["NESTED", "RING"])
@pytest.mark.parametrize("layers", [False, True])
def test_flat_maps_that_are_mostly_alike(ordering: str, layers: bool) -> None:
    """Where few pixels differ from the rest, rows tile the sky, hold what the pixels hold, and are as large as can be."""
    order, npix = 7, 12 * 4**7
    density = np.zeros(npix)  # nested
    density[100:132] = 1.0  # two whole parents
    density[133] = 2.0
    density[4**6 - 1 : 6 * 4**7 : 4**6] = np.arange(24) // 4 + 1.0  # the last pixels of coarse ones
    density[3 * 4**7 : 3 * 4**7 + 4**5] = 3.0
    density[200:204] = -0.0  # other bits, the same value
    density /= density.sum() * 4 * np.pi / npix
    mu = np.where(density > 0, 100.0, np.inf)
    mu[300:304] = np.nan, -np.inf, np.inf, np.nan  # four ways to say that there is no distance
    columns = {"PROBDENSITY": density}
    if layers:
        columns |= {"DISTMU": mu, "DISTSIGMA": np.full(npix, 10.0), "DISTNORM": np.full(npix, 1e-4)}
    in_file = columns
    if ordering == "RING":
        places = healpy.ring2nest(2**order, np.arange(npix))
        in_file = {name: values[places] for name, values in columns.items()}
    skymap = decode_skymap(table_bytes(in_file, ORDERING=ordering, NSIDE=2**order))
    depth = order - skymap.order
    assert (np.diff(skymap.start29) == np.int64(1) << (2 * (29 - skymap.order[:-1]))).all()
    pixels = np.repeat(np.arange(len(skymap.uniq)), 4**depth)
    np.testing.assert_allclose(skymap.probdensity[pixels], density, rtol=1e-14)
    if layers:
        np.testing.assert_array_equal(skymap.distmu[pixels], np.where(np.isfinite(mu), mu, np.inf))
    first = np.flatnonzero(skymap.ipix[:-3] % 4 == 0)
    first = first[(skymap.order[first] > 0) & (skymap.order[first + 3] == skymap.order[first])]
    siblings = skymap.probdensity[first[:, None] + np.arange(4)]
    assert (
        not (siblings == siblings[:, :1])
        .all(axis=1)[np.ptp(skymap.order[first[:, None] + np.arange(4)], axis=1) == 0]
        .any()
    )
    assert skymap.order.min() == 0


def test_a_flat_map_of_one_value() -> None:
    """A flat map that says nothing is the twelve base pixels."""
    skymap = decode_skymap(table_bytes({"PROBDENSITY": np.full(12 * 4**4, UNIFORM)}, ORDERING="NESTED", NSIDE=16))
    np.testing.assert_array_equal(skymap.uniq, np.arange(4, 16))


def test_what_is_mostly_wrong_is_counted_whole() -> None:
    """A flat map nearly all of whose pixels have no number says how many, not how many rows they would make."""
    density = np.full(12 * 4**5, np.nan)
    density[:7] = 1.0
    with pytest.raises(SkyMapError, match=f"{12 * 4**5 - 7} of {12 * 4**5} rows have no finite"):
        decode_skymap(table_bytes({"PROBDENSITY": density}, ORDERING="NESTED", NSIDE=32))
