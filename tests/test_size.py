"""What an inference takes, guarded: instructions, code and RAM of published models on emulated boards.

ACCEPT_SIZE=1 python -m pytest tests/test_size.py   # after a change that is meant: writes tests/size.json
"""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Mapping

import pytest
from conftest import ROOT, stage

GOLDEN = ROOT / "tests" / "size.json"
MODELS = ("kws", "vww", "ic", "ad")  # pinned files: training gives other weights on another machine
BOARDS = ("cortex-m4", "cortex-m55", "rv32", "xtensa")
MOST_A_MAC = {"xtensa": 4.5}  # instructions
GROWTH = 0.01
OFF = 0.15  # of what the plan predicts, at most
MOST_CODE = 12 * 1024  # of a model with its kernels, on any of these cores


def grown(before: Mapping[str, float], now: Mapping[str, float]) -> list[str]:
    """One line for each figure that grew by more than 1 %, and for each that is new."""
    return [
        f"{name:<14}{before.get(name, 0):>14,} -> {value:>14,}"
        for name, value in now.items()
        if name not in before or value > before[name] * (1 + GROWTH)
    ]


def measured(name: str, board: str) -> dict[str, int]:
    """Build, run two windows in the emulator, and take the figures from the report."""
    assert stage("ready", name).returncode == 0
    for words in (["generate", name], ["build", name], ["hil", "--name", name, "--windows", "2"]):
        done = stage(*words, "--board", board)
        assert done.returncode == 0, done.stdout + done.stderr
    folder = ROOT / "build" / name / f"{board}-compiled"
    report, plan = (json.loads((folder / file).read_text()) for file in ("report.json", "plan.json"))
    assert report["windows"]["equal"] == 2 and report["clock"]["kind"] == "instructions"
    assert abs(report["predicted"] / report["clock"]["median"] - 1) < OFF, f"predicted {report['predicted']:,.0f}"
    sizes = {key: report["size"][key] for key in ("code", "model_code", "weights", "ram", "arena")}
    assert report["clock"]["median"] <= MOST_A_MAC.get(board, math.inf) * plan["macs"]
    return {"instructions": round(report["clock"]["median"]), **sizes}


PAIRS = [(name, board) for name in MODELS for board in BOARDS]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "board"), [pytest.param(*pair, marks=pytest.mark.xdist_group(pair[0])) for pair in PAIRS]
)
def test_no_figure_grows(name: str, board: str) -> None:
    key, now = f"{name} {board}", measured(name, board)
    if os.environ.get("ACCEPT_SIZE"):
        with GOLDEN.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            accepted = json.loads(GOLDEN.read_text() or "{}") | {key: now}
            GOLDEN.write_text(json.dumps(dict(sorted(accepted.items())), indent=2) + "\n")
    assert now["model_code"] <= MOST_CODE
    worse = grown(json.loads(GOLDEN.read_text()).get(key, {}), now)
    assert not worse, f"{key} takes more than tests/size.json says:\n" + "\n".join(worse)


def test_growth_is_told_in_a_table() -> None:
    before = {"instructions": 1000, "ram": 500}
    assert grown(before, {"instructions": 1010, "ram": 400}) == []
    assert grown(before, {"instructions": 1011, "code": 7}) == [
        "instructions           1,000 ->          1,011",
        "code                       0 ->              7",
    ]


def test_every_pair_is_guarded() -> None:
    assert {f"{name} {board}" for name, board in PAIRS} == set(json.loads(GOLDEN.read_text()))
