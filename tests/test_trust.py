"""The self-test and the benchmark of the line against real firmware: native, and in two emulated microcontrollers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, stage
from test_line import report_of


@pytest.mark.slow
@pytest.mark.parametrize(("board", "faults"), [("host", 3000), ("cortex-m4", 1000), ("esp32", 1000)])
def test_no_verdict_is_wrong_on_real_firmware(board: str, faults: int, trained: Callable[[str], Path]) -> None:
    """`make self-test` does ten thousand."""
    trained("bearing")
    report_of("bearing", board, "--windows", "2")
    words = ["--board", board, "--name", "bearing", "--self-test", "--faults", str(faults), "--seed", "2026", "--json"]
    done = stage("hil", *words)
    report = json.loads(done.stdout)
    assert (done.returncode, report["wrong_verdicts"]) == (0, 0), done.stderr
    assert report["faults"] >= faults and report["emulated"]


def benchmark(*words: str) -> list[dict[str, float]]:
    argv = [sys.executable, "benchmarks/link.py", "--json", *words]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.stdout, done.stderr
    return list(json.loads(done.stdout))


@pytest.mark.slow
def test_the_line_is_kept_busy() -> None:
    """The bound is 1.05; what else runs on the machine only adds to a ratio, so the best of three tries counts."""
    for _ in range(3):
        rows = benchmark("--seconds", "1", "--window", "768")
        assert all(row["right"] for row in rows)
        middle = sorted(row["ratio"] for row in rows)[len(rows) // 2]
        if middle <= 1.05 and all(row["cpu"] < 0.25 for row in rows if row["baud"] == 921_600):
            return
    raise AssertionError(rows)


@pytest.mark.slow
@pytest.mark.parametrize("board", ["cortex-m4", "esp32"])
def test_the_line_to_an_emulated_board_is_kept_busy(board: str, trained: Callable[[str], Path]) -> None:
    """The bound is 1.05 on a quiet machine; QEMU shares the processors with other tests here."""
    trained("bearing")
    report_of("bearing", board, "--windows", "2")
    for _ in range(3):
        (row,) = benchmark("--board", board)
        assert row["right"]
        if row["ratio"] <= 1.25 and not row["retries"]:
            return
    raise AssertionError(row)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_windows() -> None:
    *marks, most = benchmark("--memory", "30000")
    assert marks[-1]["bytes"] - marks[0]["bytes"] < 1_000_000
    assert most["bytes"] < 120_000_000  # with the report and all that draws it
