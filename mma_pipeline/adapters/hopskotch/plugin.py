"""hop-client plugin for our v2 derived alert: a readable summary, and support for messages of the earlier format.

Loaded by hop-client through the entry point `hop_plugin`. Messages go out with the format `json`, so that hop-client hands
out their JSON as a dict wherever it runs. Topics still hold messages of the format `mma_derived_alert`, which hop-client
reads with this model only. Not here: publishing (`hopskotch`) and what a derived alert is (`notices.derived`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

from hop import models, plugins

from mma_pipeline.notices import derived
from mma_pipeline.notices.neutrino_words import beside_event
from mma_pipeline.notices.source_words import chirp_mass_words, class_words, property_words
from mma_pipeline.notices.words import area, chance, degrees, distance, false_alarms_in_words, probability, share


@dataclass
class DerivedAlertModel(models.MessageModel):  # type: ignore[misc]  # hop-client has no types
    """A v2 message of the earlier format as hop-client returns it; `content` is the decoded JSON."""

    content: Mapping[str, Any]
    format_name = derived.FORMAT_V2

    def __bytes__(self) -> bytes:
        return str(self).encode()

    def __str__(self) -> str:
        return summary(self.content)

    def serialize(self) -> dict[str, Any]:
        """The canonical JSON in the format `json`, which every consumer can read."""
        return {"format": "json", "content": derived.encode(derived.DerivedAlert.from_json(self.content))}

    @classmethod
    def deserialize(cls, data: bytes) -> DerivedAlertModel:
        """Decode a received message; raises ValueError if it is not a JSON object."""
        content = json.loads(data)
        if not isinstance(content, dict):
            raise ValueError("a derived alert is a JSON object")  # noqa: TRY004 - what hop-client expects
        return cls(content)

    @classmethod
    def load(cls, input_: str | IO[str]) -> DerivedAlertModel:
        """Read a message from text or an open file, for `hop publish`."""
        return cls.deserialize((input_ if isinstance(input_, str) else input_.read()).encode())


@plugins.register  # type: ignore[untyped-decorator]
def get_models() -> dict[str, type[DerivedAlertModel]]:
    """The models that this plugin adds to hop-client."""
    return {derived.FORMAT_V2: DerivedAlertModel}


def summary(content: Mapping[str, Any]) -> str:
    """A few lines for a terminal, without absent values."""
    version, place = content.get("version") or {}, content.get("localisation") or {}
    head = f"{content.get('event_id')} {version.get('label', '')} [{content.get('kind')}, {content.get('role')}]"
    lines = [" ".join(head.split())]
    if "retracts" in content:
        lines.append(f"  withdraws {content['retracts']}: {content.get('reason', 'no reason given')}")
    lines += _event_lines(content.get("event") or {})
    areas = [
        f"{level} %: {area(place[name])} deg²" for level, name in ((50, "area_50"), (90, "area_90")) if name in place
    ]
    if areas:
        lines.append(f"  area {', '.join(areas)}")
    if "distance_mean" in place:
        lines.append(f"  distance: {distance(place['distance_mean'], place.get('distance_std'))} Mpc")
    if candidate := content.get("candidate"):
        lines.append(
            f"  {candidate['name']} at {degrees(candidate['ra'], candidate['dec'], 5)}:"
            f" kilonova {share(candidate['kilonova_probability'])}"
        )
        lines += _candidate_lines(candidate)
    if external := content.get("external"):
        lines.append(f"  with {external['observatory']} {external.get('gcn_notice_id', '')}".rstrip())
    lines += _window_lines(content.get("observability") or {})
    lines += _neutrino_lines(content.get("neutrinos") or {})
    lines += [f"  {p['name']}: {p['url']} ({p['size']} bytes)" for p in content.get("products") or ()]
    lines.append(f"  id {content.get('id')}")
    return "\n".join(lines)


def _candidate_lines(candidate: Mapping[str, Any]) -> list[str]:
    known = (("posterior", "posterior"), ("after vetting", "vetted_probability"), ("afterglow", "p_afterglow"))
    shown = [f"{words} {probability(candidate[name])}" for words, name in known if name in candidate]
    lines = [f"    {', '.join(shown)}"] if shown else []
    if "contradiction" in candidate:
        lines.append(f"    {candidate['contradiction']}")
    return lines + [
        f"    {v['words']}" for v in candidate.get("vetting") or () if v["outcome"] in ("found", "doubtful")
    ]


def _neutrino_lines(search: Mapping[str, Any]) -> list[str]:
    if not search:
        return []
    lines = [
        f"  {search.get('observatory')} on {search.get('reference')}: {search.get('count')} neutrinos in coincidence"
    ]
    for track in search.get("tracks") or ():
        words = []
        if "ra" in track and "dec" in track:
            words.append(f"at {degrees(track['ra'], track['dec'], 2)}")
        if "time_offset" in track:
            words.append(beside_event(track["time_offset"]))
        if "credible_level" in track:
            words.append(f"credible level {share(track['credible_level'])}")
        if "p_trials" in track:
            words.append(f"by chance {chance(track['p_trials'])} for the tracks of this notice")
        lines.append("    " + ", ".join(words))
    return lines


def _event_lines(event: Mapping[str, Any]) -> list[str]:
    lines = []
    if "time" in event:
        instruments = ",".join(event.get("instruments") or ())
        lines.append(f"  signal {event['time']} {instruments} {event.get('pipeline', '')}".rstrip())
    if "far" in event:
        flag = {True: ", significant", False: ", not significant", None: ""}[event.get("significant")]
        lines.append(f"  {false_alarms_in_words(event['far']) or 'false alarm rate zero'}{flag}")
    if classes := event.get("classification"):
        lines.append(f"  {class_words(classes)}")
    if properties := event.get("properties"):
        lines.append(f"  {property_words(properties)}")
    if mass := event.get("chirp_mass"):
        words = chirp_mass_words({**mass, "bin_edges_msun": mass.get("bin_edges")})
        lines += [f"  {words}"] if words else []
    return lines


def _window_lines(windows: Mapping[str, Any]) -> list[str]:
    if not windows:
        return []
    lines = [f"  observable in the 24 h from {windows.get('begins')}:"]
    for site in windows.get("sites") or ():
        lines.append(f"    {site['site']}: {share(site['probability'])} from {site['begins']} to {site['ends']}")
    return lines if len(lines) > 1 else [f"{lines[0]} from no configured observatory"]
