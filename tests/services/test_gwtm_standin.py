"""The stand-in is held against what was recorded from the real server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.services.gwtm_standin import GwtmStandIn

SHARED = Path(__file__).resolve().parents[3] / "shared"


@pytest.mark.skipif(not (SHARED / "tools").is_dir(), reason="../shared with the recorded contract is not here")
def test_stand_in_answers_as_the_real_server_did() -> None:
    """All 98 recorded steps agree, judged by the contract tool and not by us."""
    with GwtmStandIn() as server:
        tool = [sys.executable, str(SHARED / "tools" / "gwtm_contract.py"), server.origin]
        done = subprocess.run(tool, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines()[-1:] == ["98 of 98 steps agree"], done.stdout
