"""The stand-in is held against what was recorded from the real server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.services.gwtm_standin import GwtmStandIn

SHARED = Path(__file__).resolve().parents[3] / "shared"


@pytest.mark.skipif(not (SHARED / "tools").is_dir(), reason="../shared with the recorded contract is not here")
@pytest.mark.parametrize(("contract", "steps"), [("gwtm_contract", 98), ("gwtm_pointings", 81)])
def test_stand_in_answers_as_the_real_server_did(contract: str, steps: int) -> None:
    """All recorded steps agree, judged by the contract tool and not by us: alerts and lists; then pointings and the like."""
    with GwtmStandIn() as server:
        tool = [
            sys.executable,
            str(SHARED / "tools" / "gwtm_contract.py"),
            server.origin,
            str(SHARED / "data" / contract),
        ]
        done = subprocess.run(tool, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines()[-1:] == [f"{steps} of {steps} steps agree"], done.stdout
