"""Find the least arena in which TFLite Micro starts and runs a model on a board's emulator, with the user's library.

The arena that `generate` measures has room for any library's kernels; this one is that library's own.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline import files, transport
from pipeline.build import Firmware, build, firmware
from pipeline.device import Device
from pipeline.emulator import emulate
from pipeline.generate import main as generate
from pipeline.problem import Problem, run
from pipeline.progress import say
from pipeline.tflm_arena import BISECTED, MARGIN

GENERATED = ("model_data.h", "model_data.c", "resolver.h")
DEFINE = re.compile(r"^(#define MODEL_ARENA_BYTES )\d+", re.MULTILINE)
STEP = 16  # bytes to which the least is found


def bisect(low: int, high: int, works: Callable[[int], bool]) -> int:
    """The least multiple of STEP above `low` that works, when `high` does and more never does worse."""
    low, high = low // STEP, -(-high // STEP)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle * STEP) else (middle, high)
    return high * STEP


def runs(made: Firmware, arena: int) -> bool:
    """Whether the firmware with an arena of this size answers the first test window as the reference does."""
    trial = replace(made, folder=made.folder / "bisect")
    source, target = made.root / made.folder, made.root / trial.folder
    for name in GENERATED:
        files.write_bytes(target / name, (source / name).read_bytes())
    files.write_text(target / "model.h", DEFINE.sub(rf"\g<1>{arena}", (source / "model.h").read_text()))
    files.write_json(target / "plan.json", {**_plan(source), "arena_bytes": arena})
    build(trial)
    reference = files.read_arrays(
        files.build_dir(made.name) / "reference.npz", f"make model name={made.name}", ["inputs", "outputs"]
    )
    with emulate(made.board, target) as path:
        line = transport.connect(path)
        try:
            device = Device(line)
            device.hello()
            answer = next(iter(device.run([reference["inputs"][0].tobytes()])))
        except Problem as problem:
            say(f"{arena} bytes: {problem.what}")
            return False
        finally:
            line.close()
    if answer.output != reference["outputs"][0].tobytes():
        raise Problem(made.name, f"with an arena of {arena} bytes its first window is not the reference's")
    say(f"{arena} bytes: runs")
    return True


def _plan(folder: Path) -> dict[str, Any]:
    plan: dict[str, Any] = files.read_json(folder / "plan.json", "make model runtime=tflm")
    return plan


def main(argv: Sequence[str]) -> int:
    """Bisect, note the arena beside the generated code, and generate that again."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.tflm_bisect", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="the model, models/NAME")
    parser.add_argument("--board", required=True, metavar="B", help="the board, boards/B.toml")
    options = parser.parse_args(argv)
    made = firmware(options.name, options.board, "tflm")
    if made.board.emulator is None or made.library is None:
        raise Problem(f"board {options.board}", "has no emulator to try arenas in")
    folder = made.root / made.folder
    (folder / BISECTED).unlink(missing_ok=True)
    generate([options.name, "--board", options.board, "--runtime", "tflm"])
    plan = _plan(folder)
    if not runs(made, plan["arena_bytes"]):
        raise Problem(made.name, f"does not run in {plan['arena_bytes']} bytes, which should be enough")
    least = bisect(0, plan["arena_bytes"], lambda arena: runs(made, arena))
    note = {"model_id": plan["model_id"], "least": least, "library": made.library.build,
            "emulator": made.board.emulator.name}  # fmt: skip
    files.write_json(folder / BISECTED, note)
    generate([options.name, "--board", options.board, "--runtime", "tflm"])
    again = f"make model name={options.name} board={options.board} runtime=tflm"
    sys.stdout.write(f"{least} bytes are enough, {plan['arena_bytes']} were planned, now {least + MARGIN}: {again}\n")
    return 0


if __name__ == "__main__":
    run(main)
