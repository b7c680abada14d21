"""What a model's zeros save on a board: bytes of weights and instructions of each layer, dense and as stored.

python benchmarks/sparse.py rehab --board rv32

Both firmwares are built and run anew in the board's emulator, and every byte is checked.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from kernels import run  # noqa: E402

HEAD = ("layer", "zeros", "kernel", "bytes dense", "bytes", "", "instructions dense", "instructions", "")


def report(name: str, board: str, *flags: str) -> dict[str, Any]:
    """Build, run two windows, and the report."""
    run([sys.executable, "-m", "pipeline.generate", name, "--board", board, *flags])
    run([sys.executable, "-m", "pipeline.build", name, "--board", board])
    run([sys.executable, "-m", "pipeline.hil", "--name", name, "--board", board, "--windows", "2"], codes=(0, 1))
    made: dict[str, Any] = json.loads((ROOT / "build" / name / f"{board}-compiled" / "report.json").read_text())
    if made["windows"]["equal"] != 2:
        raise SystemExit(f"{name} on {board}: the bytes are not the reference's; there is nothing to compare")
    return made


def row(name: str, zeros: float | None, kernel: str, sizes: tuple[int, int], counts: tuple[float, float]) -> str:
    """One line of the table; each pair is dense and as stored."""
    of = [f"{pair[1] / pair[0]:.2f}x" if pair[0] else "" for pair in (sizes, counts)]
    share = "" if zeros is None else f"{zeros:.0%}"
    figures = [f"{sizes[0]:,}", f"{sizes[1]:,}", of[0], f"{counts[0]:,.0f}", f"{counts[1]:,.0f}", of[1]]
    cells = [name, share, kernel, *figures]
    return f"| {' | '.join(cells)} |"


def table(name: str, board: str) -> str:
    """In Markdown: a line for each layer with weights, then all together."""
    dense, stored = report(name, board, "--dense"), report(name, board)
    lines = [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
    for a, b in zip(dense["layers"]["steps"], stored["layers"]["steps"], strict=True):
        if b["zeros"] is not None:
            sizes, counts = (a["weights_bytes"], b["weights_bytes"]), (a["ticks"], b["ticks"])
            lines.append(row(b["name"], b["zeros"], b["kernel"], sizes, counts))
    sizes = (dense["size"]["weights"], stored["size"]["weights"])
    counts = (dense["clock"]["median"], stored["clock"]["median"])
    return "\n".join([*lines, row("all", None, "", sizes, counts), ""])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="a folder of models/")
    parser.add_argument("--board", required=True, help="a board with an emulator")
    options = parser.parse_args()
    sys.stdout.write(table(options.name, options.board))
