"""Packets that cannot be read: each gives one clear error, at once, and nothing else."""

from __future__ import annotations

import contextlib
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_pipeline.adapters.errors import TransientError
from mma_pipeline.adapters.surveys.packets import Formats
from mma_pipeline.adapters.surveys.schemas import Schemas
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.surveys import AlertHead, SurveyAlert
from tests.adapters.surveys.oracle import decoded, needs_packets, packet, schema_of

pytestmark = needs_packets
FRAMED = "lsst/7912941781254298_confluent.avro"
NAMES = ["ztf/2695378462115010012.avro", "lsst/fakeAlert_10_0.avro", "ampel_report.avro", "babamul_alert.avro"]


def container(record, schema, codec="null"):
    """A container file with these records."""
    stream = io.BytesIO()
    fastavro.writer(stream, fastavro.parse_schema(json.loads(json.dumps(schema))), record, codec=codec)
    return stream.getvalue()


@pytest.fixture(scope="module")
def rubin():
    """Rubin's schema 10.0."""
    return schema_of(packet("lsst/fakeAlert_10_0.avro"))


@pytest.fixture
def registry(rubin):
    """A schema registry that knows number 900; the list holds what it was asked, `broken` makes it answer 503."""
    asked = []

    class Answer(BaseHTTPRequestHandler):
        broken = False

        def do_GET(self):
            asked.append(self.path)
            known = self.path.endswith("/schemas/ids/900") and not Answer.broken
            body = json.dumps({"schema": json.dumps(rubin)} if known else {"error_code": 40403}).encode()
            self.send_response(503 if Answer.broken else 200 if known else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked, Answer
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", NAMES)
def test_container_that_is_cut_short(name):
    """Wherever a container file is cut, its head already is refused."""
    body = packet(name)
    known = Formats()
    known.format_of(body)
    for end in [*range(0, 200, 7), *range(200, len(body), len(body) // 60), len(body) - 1]:
        with pytest.raises(NoticeError):
            known.format_of(body[:end]).head(body[:end])


def test_frame_that_is_cut_short(tmp_path, rubin):
    """A framed packet that is cut short is refused when it is read as a whole, with one sentence."""
    (tmp_path / "900.avsc").write_text(json.dumps(rubin))
    body = packet(FRAMED)
    known = Formats(Schemas(None, tmp_path))
    for end in [5, 6, 12, 60, 1000, len(body) // 2, len(body) - 1]:
        with pytest.raises(NoticeError, match=r"damaged or cut short|no format"):
            known.format_of(body[:end]).alert(body[:end])
    with pytest.raises(NoticeError, match="ends elsewhere"):
        known.format_of(body).alert(body + b"\x00")


def test_schema_number_that_nobody_knows(registry, tmp_path):
    """An unknown number is the packet's fault; it names the number and is not asked for again with each packet."""
    url, asked, _ = registry
    body = b"\x00" + (4711).to_bytes(4, "big") + packet(FRAMED)[5:]
    known = Formats(Schemas(url, tmp_path))
    for _ in range(3):
        with pytest.raises(NoticeError, match="4711"):
            known.format_of(body)
    assert len(asked) == 1
    with pytest.raises(NoticeError, match="schema folder"):
        Formats(Schemas(None, None)).format_of(body)


def test_registry_is_asked_once_and_its_answer_kept(registry, tmp_path):
    """The registry is asked once for each number; the schema is kept in the folder, so that the next start needs none."""
    url, asked, _ = registry
    body = packet(FRAMED)
    known = Formats(Schemas(url, tmp_path / "schemas"))
    alerts = [known.format_of(body).alert(body) for _ in range(3)]
    assert len(asked) == 1
    without = Formats(Schemas(None, tmp_path / "schemas"))
    assert without.format_of(body).alert(body) == alerts[0]


def test_registry_away(registry):
    """A registry that is away, or out of order, is no fault of the packet: later it is read."""
    url, asked, answer = registry
    body = packet(FRAMED)
    with pytest.raises(TransientError):
        Formats(Schemas("http://127.0.0.1:9")).format_of(body)
    answer.broken = True
    now = [0.0]
    known = Formats(Schemas(url, None, clock=lambda: now[0]))
    with pytest.raises(TransientError, match="503"):
        known.format_of(body)
    answer.broken = False
    before = len(asked)
    with pytest.raises(TransientError):
        known.format_of(body)  # too soon to ask again
    assert len(asked) == before
    now[0] = 61.0
    assert known.format_of(body).head(body).survey == "lsst"


@pytest.mark.parametrize(
    "wrong", [b"", b"\x01" + b"x" * 50, b"Obj\x02" + b"x" * 50, b"<xml/>", b"[1, 2]", b'{"a": 1}', b"{"]
)
def test_wrong_magic(wrong):
    """Bytes that begin like no packet are refused."""
    with pytest.raises(NoticeError):
        Formats().format_of(wrong)


@pytest.mark.parametrize("place", ["ra", "dec", "jd"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e300])
def test_position_and_time_that_are_none(place, value):
    """NaN, infinity or nonsense as position or time is refused by the head and by the whole."""
    original = packet("ztf/2695378462115010012.avro")
    record = decoded(original)
    record["candidate"][place] = value
    body = container([record], schema_of(original))
    found = Formats().format_of(body)
    for act in (found.head, found.alert):
        with pytest.raises(NoticeError, match=r"finite|sky|MJD"):
            act(body)


def test_several_alerts_in_one_file():
    """A file of two alerts is refused, and says so."""
    original = packet("ztf/2695378462115010012.avro")
    body = container([decoded(original)] * 2, schema_of(original))
    with pytest.raises(NoticeError, match="exactly one"):
        Formats().format_of(body).head(body)


@pytest.mark.parametrize("name", ["ztf/2695378462115010012.avro", "lsst/fakeAlert_10_0.avro"])
def test_compressed_container(name):
    """A compressed file reads as the same file uncompressed does."""
    original = packet(name)
    body = container([decoded(original)], schema_of(original), codec="deflate")
    assert len(body) < len(original)
    plain, packed = Formats().format_of(original), Formats().format_of(body)
    assert packed.head(body) == plain.head(original)
    assert packed.alert(body) == plain.alert(original)


def test_schema_of_something_else():
    """An Avro file that holds something else is refused by its schema's name."""
    schema = {"type": "record", "name": "weather", "fields": [{"name": "rain", "type": "double"}]}
    with pytest.raises(NoticeError, match="weather"):
        Formats().format_of(container([{"rain": 1.0}], schema))


@settings(max_examples=150)
@given(data=st.data())
def test_damage_anywhere(data):
    """Whatever bytes are changed, a packet is read or refused with one reason: nothing else is raised."""
    body = bytearray(packet(data.draw(st.sampled_from(NAMES))))
    # Behind the schema, where the record is; its light curve rather than its stamps.
    start = bytes(body).find(b"}", 1000)
    last = len(body) if start < 0 else max(i for i in range(start, len(body)) if body[i] == 0x7D)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(min(last + 20, len(body) - 1), min(last + 4000, len(body) - 1)))
        body[place] = data.draw(st.integers(0, 255))
    packet_bytes = bytes(body)
    with contextlib.suppress(NoticeError):
        found = Formats().format_of(packet_bytes)
        assert isinstance(found.head(packet_bytes), AlertHead)
        assert isinstance(found.alert(packet_bytes), SurveyAlert)
