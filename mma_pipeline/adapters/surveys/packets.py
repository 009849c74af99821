"""Which format a packet is in, told by its content, and how to read it.

    format_of(body, key=…).head(body)        position and time, the rest is not touched
    format_of(body, key=…).detection(body)   the detection and its facts, without the light curve where that lies behind
    format_of(body, key=…).facts(body, …)    the same with the facts behind the light curve, where these can be had without it
    format_of(body, key=…).alert(body)       everything

A format is kept for all packets of its schema. NoticeError: the packet is wrong and will stay so. TransientError: the
schema registry is away, and the same packet may be read later.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from mma_pipeline.adapters.kafka.avro import MAGIC, decode_avro
from mma_pipeline.adapters.surveys import ampel, babamul, boom, fink, lasair, lsst, ztf
from mma_pipeline.adapters.surveys.avro import Container, Reader, Schema, Tail, open_container
from mma_pipeline.adapters.surveys.schemas import Schemas
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.fields import decode_notice
from mma_pipeline.notices.surveys import AlertHead, SurveyAlert

Record = Mapping[str, Any]
#: Beginnings of container files and schemas of messages that are remembered; a stream has one or two.
_REMEMBERED = 32
#: Confluent's framing: a zero byte, then the schema's number in four bytes, big-endian.
_FRAME = 5
#: What a value of another kind than the format's can make of its reader.
_UNFORESEEN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Form(NamedTuple):
    """One form of a record: what it is called, and how a decoded record is read."""

    schema: str
    """Format and version."""
    broker: str
    leading: tuple[str, ...] | None
    """Fields in front that `head` needs; None where it needs the whole record."""
    head: Callable[[Record], AlertHead]
    alert: Callable[[Record, str, str], SurveyAlert]
    behind: str | None = None
    """The field behind the light curve that begins with the object's number, where facts come there."""
    measured: bool = True
    """Whether it states any brightness."""


class Format(ABC):
    """Reads packets of one format."""

    form: Form

    @property
    def name(self) -> str:
        """Format and version, such as `lsst 10.0`."""
        return self.form.schema

    @property
    def broker(self) -> str:
        """Who sends it."""
        return self.form.broker

    @abstractmethod
    def head(self, body: bytes) -> AlertHead:
        """Object, position and time of a packet; raises NoticeError where they cannot be read.

        A packet that is cut short behind them is not noticed here, unless it is a container file.
        """

    @abstractmethod
    def record(self, body: bytes) -> Record:
        """The decoded packet; raises NoticeError."""

    def alert(self, body: bytes) -> SurveyAlert:
        """The whole packet; raises NoticeError."""
        return alert_of(self.record(body), self.form)

    def detection(self, body: bytes) -> SurveyAlert:
        """The detection with the facts that stand beside it, as far as they can be had without the light curve; raises NoticeError.

        The whole packet where a format has no such part. A fact that comes behind the light curve may be unknown here.
        """
        return self.alert(body)

    def facts(self, body: bytes, detected: SurveyAlert) -> SurveyAlert | None:  # noqa: ARG002
        """The detection with every fact of the packet, without the light curve; None where only the whole packet can tell.

        `detected`: what `detection` gave.
        """
        return None


class _Avro(Format):
    """A record behind a frame of fixed length (none for a bare record) or in a container file."""

    def __init__(self, schema: Schema, *, container: Container | None = None, start: int = 0) -> None:
        self.form = form_of_schema(schema)
        self._reader = Reader(schema, self.form.leading or ())
        # The record that holds the position is read to its end: the survey's facts of the detection are in it.
        self._facts = None if self.form.leading is None else Reader(schema, _records(self.form.leading))
        self._container, self._start = container, start
        self._tail = _tail_of(schema, self.form.behind)

    def head(self, body: bytes) -> AlertHead:
        if self.form.leading is None or (self._container is not None and not self._container.plain):
            return head_of(self.record(body), self.form)
        try:
            return head_of(self._reader.lead(body, self._begin(body)), self.form)
        except NoticeError:
            # Either the packet is wrong, which the whole says too, or what names its object comes later.
            return head_of(self.record(body), self.form)

    def detection(self, body: bytes) -> SurveyAlert:
        if self._facts is None or (self._container is not None and not self._container.plain):
            return self.alert(body)
        try:
            return alert_of(self._facts.lead(body, self._begin(body)), self.form)
        except NoticeError:  # as for the head
            return self.alert(body)

    def facts(self, body: bytes, detected: SurveyAlert) -> SurveyAlert | None:
        plain = self._container is None or self._container.plain
        if self._tail is None or self._facts is None or not plain or not detected.head.object_id.isdigit():
            return None
        start, end = (self._start, len(body)) if self._container is None else self._container.span(body)
        rest = self._tail.read(body, start, end, int(detected.head.object_id))
        return None if rest is None else alert_of({**self._facts.lead(body, start), **rest}, self.form)

    def _begin(self, body: bytes) -> int:
        return self._start if self._container is None else self._container.span(body)[0]

    def record(self, body: bytes) -> Record:
        container = self._container
        if container is None:
            return self._reader.whole(body, self._start, len(body))
        if not container.plain:
            return decode_avro(body)
        return self._reader.whole(body, *container.span(body))


class _Json(Format):
    """A JSON object."""

    def __init__(self, form: Form) -> None:
        self.form = form

    def head(self, body: bytes) -> AlertHead:
        return head_of(self.record(body), self.form)

    def record(self, body: bytes) -> Record:
        return decode_notice(body)


class Formats:
    """Knows the formats of the packets that it has seen. One thread uses one of these."""

    def __init__(self, schemas: Schemas | None = None) -> None:
        """Start without any format. `schemas`: where the schemas of packets are found that do not carry their own."""
        self._schemas = schemas or Schemas()
        self._containers: list[tuple[bytes, _Avro]] = []
        self._numbered: dict[int, _Avro] = {}
        self._keyed: OrderedDict[bytes, _Avro] = OrderedDict()

    def format_of(self, body: bytes, *, key: bytes | None = None) -> Format:
        """The format of a packet, by its content; `key` is the Kafka key, in which Fink sends the schema.

        Raises NoticeError where it is none that is known here, TransientError where the schema registry is away.
        """
        if body.startswith(MAGIC):
            return self._container(body)
        if key and key.lstrip()[:1] == b"{":
            return self._bare(key)
        if body[:1] == b"\x00" and len(body) > _FRAME:
            return self._framed(int.from_bytes(body[1:_FRAME], "big"))
        if body.lstrip()[:1] == b"{":
            return _Json(form_of_json(decode_notice(body)))
        if key:
            return self._bare(key)
        raise NoticeError("the packet is in no format that is known here: Avro or JSON")

    def _container(self, body: bytes) -> _Avro:
        for header, known in self._containers:
            if body.startswith(header):
                return known
        container, schema = open_container(body)
        found = _Avro(schema, container=container)
        self._containers = [(container.header, found), *self._containers[: _REMEMBERED - 1]]
        return found

    def _framed(self, schema_id: int) -> _Avro:
        found = self._numbered.get(schema_id)
        if found is None:
            found = self._numbered[schema_id] = _Avro(self._schemas.by_id(schema_id), start=_FRAME)
        return found

    def _bare(self, key: bytes) -> _Avro:
        found = self._keyed.get(key)
        if found is None:
            found = self._keyed[key] = _Avro(self._schema_of_key(key))
            if len(self._keyed) > _REMEMBERED:
                self._keyed.popitem(last=False)
        return found

    def _schema_of_key(self, key: bytes) -> Schema:
        """Fink's schema: in the key, or under the key's name in the schema folder, as older streams do it."""
        try:
            text = key.decode("utf-8")
            found = json.loads(text) if text.lstrip().startswith("{") else self._schemas.named(text)
        except ValueError as error:
            raise NoticeError("the message's key is not the schema of its packet") from error
        if not isinstance(found, dict):
            raise NoticeError(
                f"the packet is in no format that is known here, and its key {text[:40]!r} names no schema of the schema folder"
            )
        return found


def format_of(
    body: bytes,
    topic: str = "",  # noqa: ARG001 - the content decides; a topic is what people configure
    headers: Sequence[tuple[str, bytes]] = (),  # noqa: ARG001
    *,
    key: bytes | None = None,
    formats: Formats | None = None,
) -> Format:
    """The format of one packet; a reader of many keeps a `Formats`, which remembers schemas. Raises as that does."""
    return (formats or Formats()).format_of(body, key=key)


def head_of(record: Record, form: Form) -> AlertHead:
    """The head of a decoded record; raises NoticeError, whatever it holds."""
    try:
        return form.head(record)
    except NoticeError:
        raise
    except _UNFORESEEN as error:
        raise NoticeError(f"the packet holds values that nobody foresaw ({type(error).__name__}: {error})") from error


def alert_of(record: Record, form: Form) -> SurveyAlert:
    """The alert of a decoded record; raises NoticeError, whatever it holds."""
    try:
        return form.alert(record, form.schema, form.broker)
    except NoticeError:
        raise
    except _UNFORESEEN as error:
        raise NoticeError(f"the packet holds values that nobody foresaw ({type(error).__name__}: {error})") from error


def form_of_schema(schema: Schema) -> Form:
    """The form of the records that an Avro schema describes; raises NoticeError where it is none of ours."""
    fields = {field["name"]: field for field in schema.get("fields", ()) if isinstance(field, Mapping)}
    name = ".".join(part for part in (schema.get("namespace"), schema.get("name")) if isinstance(part, str))
    if {"object", "photometry", "state"} <= set(fields) or name.endswith("LSSTReport"):
        return Form("ampel LSSTReport", "ampel", None, ampel.head, ampel.alert)
    if "diaSource" in fields:
        return _passed_on(
            fields, "rubin", f"lsst {_lsst_version(name)}", lsst.LEADING, lsst.head, lsst.alert, fink.lsst_alert
        )
    if name.endswith("BabamulZtfAlert"):
        return Form("babamul ztf", "babamul", ztf.LEADING, ztf.head, babamul.ztf_alert)
    if name.endswith("BabamulLsstAlert"):
        return Form("babamul lsst", "babamul", babamul.LSST_LEADING, babamul.lsst_head, babamul.lsst_alert)
    if {"objectId", "candid", "candidate"} <= set(fields):
        version = str(schema.get("version") or "")
        return _passed_on(fields, "ztf", f"ztf {version}".strip(), ztf.LEADING, ztf.head, ztf.alert, fink.ztf_alert)
    if fink.is_pair(fields):
        return Form("fink pair", "fink", None, fink.pair_head, fink.pair_alert, measured=False)
    raise NoticeError(f"the packet's schema {name[:60]!r} is no survey alert that is known here")


def form_of_json(record: Record) -> Form:
    """The form of a JSON message; raises NoticeError where it is none of ours."""
    if boom.is_notice(record):
        return Form("gcn.notices.boom.alert", "boom", None, boom.notice_head, boom.notice_alert)
    if boom.is_alert(record):
        return Form("boom alert", "boom", None, boom.head, boom.alert)
    if lasair.is_lasair(record):
        return Form("lasair", "lasair", None, lasair.head, lasair.alert)
    raise NoticeError("the JSON message is no survey alert that is known here: BOOM's or Lasair's")


def form_of_record(record: Record) -> Form:
    """The form of a record that is decoded already, such as a row of Fink's Parquet files; raises NoticeError."""
    return form_of_schema({"name": "record", "fields": [{"name": name} for name in record]})


def _passed_on(
    fields: Mapping[str, Any],
    survey: str,
    schema: str,
    leading: tuple[str, ...],
    head: Callable[[Record], AlertHead],
    own: Callable[[Record, str, str], SurveyAlert],
    finks: Callable[[Record, str, str], SurveyAlert],
) -> Form:
    """A survey's own packet, or the same with what Fink adds."""
    if "fink_broker_version" in fields or "finkBrokerVersion" in fields:
        return Form(f"fink {schema}", "fink", leading, head, finks)
    return Form(schema, survey, leading, head, own, behind="diaObject" if "diaObject" in fields else None)


def _tail_of(schema: Schema, field: str | None) -> Tail | None:
    if field is None:
        return None
    try:
        return Tail(schema, field)
    except NoticeError:  # then the whole packet tells
        return None


def _records(paths: Sequence[str]) -> tuple[str, ...]:
    """The records that hold the fields of dotted paths, whole."""
    return tuple(dict.fromkeys(path.split(".")[0] for path in paths))


def _lsst_version(name: str) -> str:
    """`10.0` of a name such as `lsst.v10_0.alert`; empty where it says none."""
    part = next((p for p in name.split(".") if p.startswith("v") and "_" in p), "")
    return part.removeprefix("v").replace("_", ".")
