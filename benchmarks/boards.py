"""The table of boards in the README: every report under build/ in one row, as `make hil` left it.

make hil board=esp32 name=rehab      # and the other pairs; then
python benchmarks/boards.py          # prints the table
python benchmarks/boards.py --write  # puts it into README.md between its marks
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MARKS = ("<!-- figures: python benchmarks/boards.py -->\n", "<!-- /figures -->\n")
HEAD = "| model | board | runtime | windows equal | metric | median per window | flash | RAM | arena | compiler |"


def reports() -> list[dict[str, Any]]:
    """All reports of whole runs, by model, board and runtime."""
    found = [json.loads(path.read_text()) for path in sorted(ROOT.glob("build/*/*/report.json"))]
    return [report for report in found if report["whole_test_split"]]


def row(report: dict[str, Any]) -> str:
    """One line of the table; an emulator's figures say what they count."""
    windows, size, clock = report["windows"], report["size"], report["clock"]
    found = next((name, value) for name, value in report["metrics"]["device"].items() if name in ("accuracy", "auc"))
    metric = f"{found[0]} {found[1]:.4f}" if report["metrics"].get("float") else "random windows"
    latency = f"{clock['median']:,.0f} {clock['kind']}" + (", emulated" if report["emulated"] else "")
    cells = [
        report["model"], report["board"], report["runtime"], f"{windows['equal']} of {windows['total']}",
        metric, latency, f"{size['flash']:,}", f"{size['ram']:,}", f"{size['arena']:,}",
        report["compiler"],
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def table() -> str:
    """The whole table in Markdown."""
    return "\n".join([HEAD, "|" + "---|" * HEAD.count(" | ") + "---|", *map(row, reports())]) + "\n"


def write(text: str, marks: tuple[str, str] = MARKS) -> None:
    """Put the table between its marks in README.md."""
    path = ROOT / "README.md"
    before, rest = path.read_text().split(marks[0])
    path.write_text(before + marks[0] + "\n" + text + "\n" + marks[1] + rest.split(marks[1])[1])


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        write(table())
    else:
        sys.stdout.write(table())
