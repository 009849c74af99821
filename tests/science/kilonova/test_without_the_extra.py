"""The image lacks the extra `[train]`: scoring works without it, training says what to install."""

import json
import subprocess
import sys

BLOCK = "import sys\nfor name in ('sklearn', 'sncosmo', 'joblib', 'threadpoolctl'): sys.modules[name] = None\n"
SCORE = """
import json
import numpy as np
from mma_pipeline.science.kilonova.lightcurve import Event, LightCurve
from mma_pipeline.science.kilonova.model import packaged
import mma_pipeline.science.kilonova.plot  # it draws model light curves
t = np.arange(0.5, 5)
curve = LightCurve(57982.5 + t, 18 + 0.8 * t, np.full(5, 0.05), list('grigr'), np.zeros(5, bool))
print(json.dumps(packaged().score([curve], [Event(57982.5, 40.0, 8.0, 0.1)]).probability.tolist()))
print(json.dumps(sorted(name for name in sys.modules if name.startswith('mma_pipeline.training'))))
"""
TRAIN = "from mma_pipeline.cli import app\nsys.argv = ['mma', 'kilonova', 'train', sys.argv[1]]\napp()\n"


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in which the packages of the extra cannot be imported."""
    command = [sys.executable, "-c", BLOCK + code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_scoring_needs_nothing_of_the_extra():
    """A light curve is scored with scikit-learn and sncosmo missing, and nothing of the training room is loaded."""
    done = run(SCORE)
    assert done.returncode == 0, done.stderr
    probability, loaded = map(json.loads, done.stdout.splitlines())
    assert abs(sum(probability[0]) - 1) < 1e-9
    assert loaded == []


def test_training_without_the_extra_says_what_to_install(tmp_path):
    """`mma kilonova train` ends with exit code 1 and one line that holds the command."""
    done = run(TRAIN, str(tmp_path / "model.npz"))
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "pip install 'mma_pipeline[train]'" in done.stderr
    assert list(tmp_path.iterdir()) == []
