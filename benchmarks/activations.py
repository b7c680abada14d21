"""What 16-bit activations cost and give: one model with 8 bits and with 16, on a board's emulator.

python benchmarks/activations.py rehab --board esp32c3

The pruned network is quantized twice, in a folder of its own; the whole test split runs, and every byte is checked.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402
from kernels import run  # noqa: E402

from pipeline import files, metrics, words  # noqa: E402

HEAD = ("activations", "metric", "off pruned, rms", "median per window", "flash", "RAM", "arena")
BITS = (8, 16)


def project(name: str, folder: Path) -> Path:
    """A project with the one model as it was pruned."""
    for part in ("boards", "firmware"):
        (folder / part).symlink_to(ROOT / part)
    shutil.copytree(ROOT / "models" / name, folder / "models" / name)
    (folder / "build" / name).mkdir(parents=True)
    for path in (ROOT / "build" / name).iterdir():
        if path.is_file():
            shutil.copy(path, folder / "build" / name)
    return folder


def report(folder: Path, name: str, board: str, bits: int) -> dict[str, Any]:
    """Quantize, build, run the test split; a limit that is missed is no reason to stop."""
    stage = [sys.executable, "-m"]
    run([*stage, "pipeline.quantize", name, "--activations", str(bits)], codes=(0, 1), cwd=folder)
    run([*stage, "pipeline.generate", name, "--board", board], cwd=folder)
    run([*stage, "pipeline.build", name, "--board", board], cwd=folder)
    run([*stage, "pipeline.hil", "--name", name, "--board", board], codes=(0, 1), cwd=folder)
    made: dict[str, Any] = json.loads((folder / "build" / name / f"{board}-compiled" / "report.json").read_text())
    if made["windows"]["equal"] != made["windows"]["total"]:
        raise SystemExit(f"{name} on {board}: the bytes are not the reference's; there is nothing to compare")
    return made


def row(bits: int, made: dict[str, Any], apart: float) -> str:
    """One line of the table; `apart`: how far outputs are from the pruned network's, root mean square."""
    main = words.metric_names(made)[0]
    clock, size = made["clock"], made["size"]
    cells = [
        f"{bits} bits", f"{words.plain(main)} {words.metric(made['metrics']['device'][main], main)}", f"{apart:.5f}",
        f"{clock['median']:,.0f} {clock['kind']}, emulated", *(f"{size[key]:,}" for key in ("flash", "ram", "arena")),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def error(folder: Path, name: str) -> float:
    """The reference's outputs against the pruned network's."""
    facts = json.loads((folder / "build" / name / "quantize.json").read_text())
    arrays = files.read_arrays(folder / "build" / name / "reference.npz", "python -m pipeline.quantize")
    apart = metrics.dequantize(arrays["outputs"], facts["output"]) - arrays["pruned_outputs"]
    return float(np.sqrt(np.mean(apart**2)))


def table(name: str, board: str) -> str:
    """In Markdown: a line for 8 bits and one for 16."""
    lines = [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
    with tempfile.TemporaryDirectory() as place:
        folder = project(name, Path(place))
        for bits in BITS:
            made = report(folder, name, board, bits)
            lines.append(row(bits, made, error(folder, name)))
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="a folder of models/, pruned")
    parser.add_argument("--board", required=True, help="a board with an emulator")
    options = parser.parse_args()
    sys.stdout.write(table(options.name, options.board))
