"""What an inference takes, guarded: instructions, code and RAM of models on emulated boards, by runtime.

ACCEPT_SIZE=1 python -m pytest tests/test_size.py   # after a change that is meant: writes tests/size.json
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from conftest import ROOT, stage
from test_ready import LABELS, MODEL

from pipeline import flatbuffer

sys.path.insert(0, str(ROOT / "benchmarks"))
from fusion import Network

GOLDEN = ROOT / "tests" / "size.json"
RUNTIME = "compiled"  # the other one's code is its user's
MODELS = ("kws", "vww", "ic", "ad")  # pinned files: training gives other weights on another machine
BOARDS = ("cortex-m4", "cortex-m55", "rv32", "xtensa", "pico")
DRAWN: dict[str, Callable[[], Network]] = {  # small enough for every board, an Arduino Mega too
    "motion": lambda: Network((1, 128, 6)).conv(16, 5).pool(2).conv(32, 5).pool(2).dense(6),
    "motion-pruned": lambda: Network((1, 128, 6), 0.85).conv(16, 5).pool(2).conv(32, 5).pool(2).dense(6),
    "sound": lambda: Network((1, 16, 10, 1)).conv(16, 3, 3).depthwise(3, 3).conv(16, 1, 1).dense(4),
    "vector-pruned": lambda: Network((1, 96), 0.9).dense(64).dense(24).dense(64).dense(96),
}
SMALL = (*BOARDS, "mega2560")
MOST_A_MAC = {"xtensa": 4.5}  # instructions, of the published models
GROWTH = 0.01
OFF = 0.15  # of what the plan predicts, at most
MOST_CODE = 12 * 1024  # of a published model with its kernels, on any of these cores but one


def grown(before: Mapping[str, float], now: Mapping[str, float]) -> list[str]:
    """One line for each figure that grew by more than 1 %, and for each that is new."""
    return [
        f"{name:<14}{before.get(name, 0):>14,} -> {value:>14,}"
        for name, value in now.items()
        if name not in before or value > before[name] * (1 + GROWTH)
    ]


def measured(name: str, board: str, root: Path = ROOT) -> dict[str, int]:
    """Build, run two windows in the emulator, and take the figures from the report; the clock's under its kind."""
    assert stage("ready", name, cwd=root).returncode == 0
    for words in (["generate", name], ["build", name], ["hil", "--name", name, "--windows", "2"]):
        done = stage(*words, "--board", board, cwd=root)
        assert done.returncode == 0, done.stdout + done.stderr
    folder = root / "build" / name / f"{board}-{RUNTIME}"
    report, plan = (json.loads((folder / file).read_text()) for file in ("report.json", "plan.json"))
    clock = report["clock"]
    assert report["windows"]["equal"] == 2
    assert abs(report["predicted"] / clock["median"] - 1) < OFF, f"predicted {report['predicted']:,.0f}, {clock}"
    sizes = {key: report["size"][key] for key in ("code", "model_code", "weights", "ram", "arena")}
    known = {key: size for key, size in sizes.items() if size is not None}  # arduino-builder leaves no model.o
    return {clock["kind"]: round(clock["median"]), **known, "macs": plan["macs"]}


def guarded(key: str, now: Mapping[str, int]) -> None:
    """No figure is more than 1 % above the golden one; those are written where that is asked for."""
    figures = {name: value for name, value in now.items() if name != "macs"}
    if os.environ.get("ACCEPT_SIZE"):
        with GOLDEN.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            accepted = json.loads(GOLDEN.read_text() or "{}") | {key: figures}
            GOLDEN.write_text(json.dumps(dict(sorted(accepted.items())), indent=2) + "\n")
    worse = grown(json.loads(GOLDEN.read_text()).get(key, {}), figures)
    assert not worse, f"{key} takes more than tests/size.json says:\n" + "\n".join(worse)


PAIRS = [(name, board) for name in MODELS for board in BOARDS if (name, board) != ("ad", "pico")]  # which has no room
OTHERS = [(name, board) for name in DRAWN for board in SMALL]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "board"), [pytest.param(*pair, marks=pytest.mark.xdist_group(pair[0])) for pair in PAIRS]
)
def test_no_figure_of_a_published_model_grows(name: str, board: str) -> None:
    now = measured(name, board)
    assert now["instructions"] <= MOST_A_MAC.get(board, math.inf) * now["macs"]
    assert now["model_code"] <= MOST_CODE or board == "pico"
    guarded(f"{name} {board} {RUNTIME}", now)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "board"), OTHERS)
def test_no_figure_of_a_small_model_grows(name: str, board: str, tmp_path: Path) -> None:
    (folder := tmp_path / "models" / name).mkdir(parents=True)
    graph = DRAWN[name]().graph
    labels = tuple(map(str, range(graph.edge("output")[0].count)))
    (folder / "model.py").write_text(MODEL.replace("gesture", name).replace(LABELS, repr(labels)))
    (folder / f"{name}.tflite").write_bytes(flatbuffer.write(graph))
    for part in ("boards", "firmware"):
        shutil.copytree(ROOT / part, tmp_path / part)
    guarded(f"{name} {board} {RUNTIME}", measured(name, board, tmp_path))


def test_growth_is_told_in_a_table() -> None:
    before = {"instructions": 1000, "ram": 500}
    assert grown(before, {"instructions": 1010, "ram": 400}) == []
    assert grown(before, {"instructions": 1011, "code": 7}) == [
        "instructions           1,000 ->          1,011",
        "code                       0 ->              7",
    ]


def test_every_pair_is_guarded() -> None:
    keys = {f"{name} {board} {RUNTIME}" for name, board in PAIRS + OTHERS}
    assert keys == set(json.loads(GOLDEN.read_text()))
