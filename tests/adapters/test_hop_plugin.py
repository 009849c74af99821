"""hop-client reads and prints our messages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mma_pipeline.adapters.hopskotch.plugin import DerivedAlertModel, summary
from mma_pipeline.notices import derived
from tests.notices.test_derived import FULL, V1, VERSION

ROOT = Path(__file__).resolve().parents[2]


def test_hop_client_finds_the_model_by_its_entry_point(tmp_path: Path) -> None:
    """With the package's entry point installed, hop's deserialiser hands out our model for our format."""
    info = tmp_path / "mma_pipeline-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mma-pipeline-entry\nVersion: 0\n")
    declared = (ROOT / "pyproject.toml").read_text().split("[project.entry-points.hop_plugin]")[1].split("[")[0]
    (info / "entry_points.txt").write_text("[hop_plugin]\n" + declared.replace('"', ""))
    code = "from hop.io import Deserializer; print(Deserializer['MMA_DERIVED_ALERT'].value.__module__)"
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "mma_pipeline.adapters.hopskotch.plugin"


def test_summary_says_what_a_person_wants() -> None:
    """What `hop subscribe` writes names event, version, areas, distance, classes and links."""
    model = DerivedAlertModel.deserialize(derived.encode(FULL))
    text = bytes(model).decode()
    for wanted in (
        "S230518h Update",
        "50 %: 180 deg², 90 %: 666 deg²",
        "278 ± 68 Mpc",
        "NSBH 86 %",
        "https://x/fit/a.fits.gz",
        "significant",
    ):
        assert wanted in text
    withdrawn = derived.retraction_of(derived.message_id(V1), "S230518h", version=VERSION, reason="retracted by LVK")
    assert f"withdraws {derived.message_id(V1)}: retracted by LVK" in str(
        DerivedAlertModel.load(derived.encode(withdrawn).decode())
    )


def test_numbers_are_for_people_and_absent_is_not_zero() -> None:
    """Small and large probabilities are what they are, offsets have a unit and a side, and what is not stated is not there."""
    text = summary(
        {
            "event_id": "S230518h",
            "event": {"far": 3.218e-10, "classification": {"NSBH": 0.9961, "Terrestrial": 0.0039}},
            "localisation": {"area_90": 0.04, "distance_mean": 278.4},
            "candidate": {"name": "AT1", "ra": 150.0, "dec": -0.5, "kilonova_probability": 0.99996, "posterior": 1e-5},
            "neutrinos": {
                "count": 1,
                "tracks": [{"ra": 17.479, "dec": 16.15, "time_offset": -132.0, "p_trials": 3.1e-4}],
            },
        }
    )
    for wanted in (
        "  one false alarm in 98 years\n",
        "NSBH >99 %, Terrestrial <1 %",
        "area 90 %: 0.04 deg²",
        "distance: 278 Mpc",
        "AT1 at 150.00000 -0.50000 deg: kilonova >99.9 %",
        "posterior <0.001",
        "at 17.48 +16.15 deg, 2 min before the event, by chance 1 in 3,200 for the tracks of this notice",
    ):
        assert wanted in text


def test_wire_format_is_the_canonical_message() -> None:
    """`hop publish` writes exactly the bytes of `encode`, not the summary, under a format that every consumer knows."""
    model = DerivedAlertModel.deserialize(derived.encode(FULL))
    assert model.serialize() == {"format": "json", "content": derived.encode(FULL)}
