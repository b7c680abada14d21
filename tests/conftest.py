"""Fixtures that several test files share: trained artefacts, and small projects in a temporary folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples in each run and no deadline, so that a busy machine changes nothing; new ones on demand:
# python -m pytest --hypothesis-profile=new
settings.register_profile("same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("new", settings.get_profile("same"), derandomize=False, print_blob=True)
settings.load_profile("same")

# What starts the tests may ignore Ctrl-C, as a shell does in the background; programs under test must not inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "tests" / "fixtures" / "tiny"

# Each stage's product, and the modules that make it stale when they are newer: the same as in the Makefile.
STAGES = {
    "windows": ("windows.json", ("windows", "data", "spec")),
    "train": ("train.json", ("train", "fit", "network")),
    "prune": ("prune.json", ("prune", "channels", "fit", "network")),
    "quantize": ("quantize.json", ("quantize", "metrics")),
}


def stage(name: str, *arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m pipeline.<name>` in a project's folder and give what it said."""
    return subprocess.run(
        [sys.executable, "-m", f"pipeline.{name}", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160", **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )


def run_stages(model: str, root: Path) -> Path:
    """Bring build/<model> up to date, only the stages that are stale, and give the folder."""
    folder = root / "build" / model
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        newest = (root / "models" / model / "model.py").stat().st_mtime
        for name, (product, modules) in STAGES.items():
            newest = max(newest, *((ROOT / "pipeline" / f"{module}.py").stat().st_mtime for module in modules))
            made = folder / product
            if not made.exists() or made.stat().st_mtime < newest:
                done = stage(name, model, cwd=root)
                if done.returncode != 0:
                    made.unlink(missing_ok=True)
                    raise AssertionError(f"pipeline.{name} {model}: exit {done.returncode}\n{done.stderr}")
            newest = made.stat().st_mtime
    return folder


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines that no busy machine misses: for tests that count what was sent again."""
    for name in ("flight.FIRST_SECONDS", "flight.SHORTEST_SECONDS", "speed.SECONDS", "speed.LAST_SECONDS"):
        monkeypatch.setattr(f"pipeline.{name}", 30.0)


@pytest.fixture(scope="session")
def trained() -> Callable[[str], Path]:
    """Give a model's name, get its build folder with fresh artefacts; `make demo` and all test workers share it."""
    return lambda model: run_stages(model, ROOT)


def copy_tiny(root: Path, change: Callable[[str], str] = lambda text: text) -> Path:
    """A project with the one model `tiny` in a folder, its model.py changed on the way."""
    (root / "boards").mkdir(parents=True)
    (root / "models" / "tiny").mkdir(parents=True)
    (root / "models" / "tiny" / "model.py").write_text(change((TINY / "model.py").read_text()))
    return root


@pytest.fixture
def tiny_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with an untrained `tiny`; the test's working directory is inside it."""
    root = copy_tiny(tmp_path / "project")
    monkeypatch.chdir(root)
    return root


@pytest.fixture(scope="session")
def tiny_trained(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A project with a trained, pruned and quantized `tiny`, shared by all workers; copy it before changing it."""
    base = tmp_path_factory.getbasetemp()
    root = (base if worker_id == "master" else base.parent) / "tiny_project"
    with root.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            copy_tiny(root)
    run_stages("tiny", root)
    return root


@pytest.fixture(scope="session")
def wide_trained(tiny_trained: Path) -> Path:
    """The same project with `tiny` quantized to 16x8, as its file says; shared by all workers."""
    root = tiny_trained.with_name("wide_project")
    with root.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            half = Path(shutil.copytree(tiny_trained, root.with_name("wide_half"), dirs_exist_ok=True))
            path = half / "models" / "tiny" / "model.py"
            path.write_text(path.read_text().replace("seed=3", "seed=3, activations=16"))
            done = stage("quantize", "tiny", cwd=half)
            assert done.returncode == 0, done.stderr
            half.rename(root)
    return root


@pytest.fixture
def tiny_copy(tiny_trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the trained `tiny` project that a test may spoil; the working directory is inside it."""
    root = Path(shutil.copytree(tiny_trained, tmp_path / "project"))
    monkeypatch.chdir(root)
    return root
