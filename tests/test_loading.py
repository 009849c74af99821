"""Loading the definitions: no network, no heavy libraries, and Dagster finds them valid."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAVY = (
    "healpy",
    "matplotlib",
    "sklearn",
    "ligo.skymap",
    "astropy",
    "scipy",
    "pandas",
    "mocpy",
    "sncosmo",
    "httpx",
    "jsonschema",
)
#: In a process of its own: sockets are taken away before anything of the project is imported.
LOAD = f"""
import sys
import pytest_socket
pytest_socket.disable_socket(allow_unix_socket=True)
import dagster as dg
import mma_pipeline.definitions
dg.Definitions.validate_loadable(mma_pipeline.definitions.defs)
print(",".join(name for name in {HEAVY!r} if name in sys.modules))
"""


def _python(*arguments: str, cwd: Path) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_", "MMA_"))}
    env |= {"PYTHONPATH": str(ROOT), "DAGSTER_HOME": str(cwd)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_definitions_load_without_network_and_heavy_libraries(tmp_path: Path) -> None:
    """With sockets switched off the definitions load and are valid, and no heavy library came with them."""
    assert _python("-c", LOAD, cwd=tmp_path).strip() == ""
    assert list(tmp_path.iterdir()) == []


def test_dagster_validates_the_definitions_from_another_folder(tmp_path: Path) -> None:
    """`dagster definitions validate` accepts the module from any folder."""
    _python("-m", "dagster", "definitions", "validate", "-m", "mma_pipeline.definitions", cwd=tmp_path)


def test_command_line_starts_light(tmp_path: Path) -> None:
    """`mma --help` needs neither Dagster nor numpy nor a heavy library."""
    code = (
        "import sys\nfrom mma_pipeline.cli import app\n"
        f"print(','.join(n for n in {(*HEAVY, 'numpy', 'dagster', 'sqlalchemy', 'confluent_kafka')!r} if n in sys.modules))"
    )
    assert _python("-c", code, cwd=tmp_path).strip() == ""


def test_wrong_settings_do_not_stop_the_code_location(tmp_path: Path) -> None:
    """With instruments and a galaxy ranking that cannot be used, everything loads; the products themselves say why."""
    (tmp_path / "instruments.json").write_text("[{}]")
    code = (
        "import os\n"
        "os.environ |= {'MMA_INSTRUMENTS': 'instruments.json', 'MMA_GALAXY_LEVEL': 'ninety'}\n"
        "import mma_pipeline.definitions\n"
        "from mma_pipeline.defs.all_products import PRODUCTS\n"
        "from mma_pipeline.settings import current\n"
        "print('\\n'.join(filter(None, (product.unconfigured(current()) for product in PRODUCTS))))"
    )
    said = _python("-c", code, cwd=tmp_path)
    assert "MMA_INSTRUMENTS" in said
    assert "MMA_GALAXY_LEVEL" in said
