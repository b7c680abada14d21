"""Channel pruning."""

from __future__ import annotations

import re
import subprocess
import sys

from conftest import ROOT


def test_filters_go_and_nothing_else_changes() -> None:
    """In a process of its own: tflite-runtime cannot be imported after TensorFlow."""
    path = ROOT / "tests" / "fixtures" / "keras" / "channels.py"
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", str(path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^12 passed in", done.stdout, re.MULTILINE), done.stdout
