"""Instructions, code and RAM of an inference, ours beside the others: the README's table of speed.

make bench                              # or, for some models and boards:
python benchmarks/kernels.py --models kws,ad --boards cortex-m4
python benchmarks/kernels.py --write    # puts the table into README.md between its marks

Ours and bakeNN's are measured anew, in the same emulator, with the same firmware around them and the same compiler,
and every byte is checked. Code is the model's with its kernels, without the firmware around it. TFLite Micro is not on
PyPI: its columns are an earlier measurement of the same models in the same emulator (library of 2026-08, CMSIS-NN as it
pins it, gcc 12.2 -O2), to be repeated with `runtime=tflm` and a library of one's own.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import rival  # noqa: E402

import boards as readme  # noqa: E402

MODELS = ("kws", "vww", "ic", "ad", "rehab", "bearing")
BOARDS = ("cortex-m4", "cortex-m55", "rv32", "xtensa")
MARKS = ("<!-- figures: make bench -->\n", "<!-- /bench -->\n")
# Instructions of one inference: (reference kernels, CMSIS-NN).
TFLM = {
    ("kws", "cortex-m4"): (43_100_000, 7_700_000), ("vww", "cortex-m4"): (100_500_000, 24_100_000),
    ("ic", "cortex-m4"): (107_500_000, 29_900_000), ("ad", "cortex-m4"): (1_950_000, 583_000),
    ("rehab", "cortex-m4"): (1_901_681, 551_611), ("bearing", "cortex-m4"): (66_610, 29_967),
    ("kws", "rv32"): (44_300_000, None), ("vww", "rv32"): (109_900_000, None),
    ("ic", "rv32"): (125_500_000, None), ("ad", "rv32"): (2_480_000, None),
}  # fmt: skip
HEAD = ("| model | board | ours | a MAC | code | RAM | bakeNN | bakeNN + CMSIS-NN | TFLM | TFLM + CMSIS-NN |"
        " ours over the best |")  # fmt: skip


def ours(name: str, board: str) -> dict[str, Any]:
    """Build and run two windows; the report, with the MACs of the plan."""
    run([sys.executable, "-m", "pipeline.generate", name, "--board", board])
    run([sys.executable, "-m", "pipeline.build", name, "--board", board])
    run([sys.executable, "-m", "pipeline.hil", "--name", name, "--board", board, "--windows", "2"], codes=(0, 1))
    folder = ROOT / "build" / name / f"{board}-compiled"
    report, plan = (json.loads((folder / file).read_text()) for file in ("report.json", "plan.json"))
    if report["windows"]["failed"] or report["windows"]["unanswered"]:
        raise SystemExit(f"{name} on {board}: the bytes are not the reference's; there is nothing to compare")
    return {**report, "macs": plan["macs"]}


def run(argv: list[str], codes: tuple[int, ...] = (0,), cwd: Path = ROOT) -> None:
    """A stage, its words on stderr; ends the benchmark when it fails."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, cwd=cwd, env=environment, stdout=sys.stderr, check=False)
    if done.returncode not in codes:
        raise SystemExit(done.returncode)


def rivals(name: str, board: str) -> dict[str, float | None]:
    """bakeNN's counts by policy; None where it refuses the model or has no such policy for the core."""
    content = (ROOT / "build" / name / "model.tflite").read_bytes()
    made: dict[str, float | None] = {}
    for policy in rival.POLICIES:
        counts = []
        for words in rival.POLICIES[policy] if "CMSIS" not in policy or board.startswith("cortex-m") else ():
            try:
                counts.append(rival.measure(name, board, words, content))
            except rival.Refused as refusal:
                sys.stderr.write(f"{' '.join((policy, *words))} refuses {name} on {board}: {refusal}\n")
        made[policy] = min(counts, default=None)
    return made


def row(name: str, board: str, alone: bool) -> str:
    """One line of the table."""
    report = ours(name, board)
    count, size = report["clock"]["median"], report["size"]
    others = {**({} if alone else rivals(name, board))}
    live = [others.get(policy) for policy in rival.POLICIES]
    counts = [*live, *TFLM.get((name, board), (None, None))]
    best = min((each for each in counts if each), default=None)
    cells = [
        name, board, f"**{count:,.0f}**", f"{count / report['macs']:.2f}",
        f"{size['model_code']:,}", f"{size['ram']:,}",
        *(f"{each:,.0f}" if each else "-" for each in counts), f"{count / best:.2f}" if best else "-",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main(argv: list[str]) -> int:
    """Measure, print the table as it grows, and put it into the README when asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=lambda text: text.split(","), default=MODELS)
    parser.add_argument("--boards", type=lambda text: text.split(","), default=BOARDS)
    parser.add_argument("--alone", action="store_true", help="ours only, without bakeNN")
    parser.add_argument("--write", action="store_true", help="into README.md")
    options = parser.parse_args(argv)
    lines = [HEAD, "|" + "---|" * HEAD.count(" | ") + "---|"]
    sys.stdout.write("\n".join(lines) + "\n")
    for board, name in itertools.product(options.boards, options.models):
        lines.append(row(name, board, options.alone))
        sys.stdout.write(lines[-1] + "\n")
        sys.stdout.flush()
    if options.write:
        readme.write("\n".join(lines) + "\n", MARKS)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
