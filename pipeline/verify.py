"""Check the evidence of a run without its board: every file as it was, the reference and the verdict recomputed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import built, evidence, facts, files, reference, words
from pipeline.board import Board
from pipeline.built import Built
from pipeline.problem import EXIT_LIMIT, Problem, raise_all, run
from pipeline.table import read_table

MADE_BY = "python -m pipeline.hil"
NEEDED = {"quantize.json", "reference.npz", "board.json", "windows.tsv", "run.json"}
NEEDED |= {*evidence.OF_THE_FIRMWARE, *evidence.REPORTS}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(prog="python -m pipeline.verify", description=__doc__)
    options.add_argument("folder", metavar="FOLDER", type=Path, help="build/N/B-R/evidence, or a copy of it")
    options.add_argument("--quick", action="store_true", help="trust reference.npz, do not run the model again")
    return options


def main(argv: list[str]) -> int:
    """Exit code 0 when everything is as it was and the verdict is what the report says, else 1."""
    options = parser().parse_args(argv)
    report = verify(options.folder, options.quick)
    windows = report["windows"]
    sys.stdout.write(
        f"verified: {report['verdict']}, {words.title(report)}, "
        f"{windows['equal']} of {windows['total']} windows equal byte for byte\n"
        f"evidence {evidence.digest(options.folder)}\n"
    )
    return 0


def verify(folder: Path, quick: bool = False) -> Mapping[str, Any]:
    """The report, when all is well; else all that is not, as Problems with exit code 1."""
    raise_all(list(changed_files(folder)))
    model, info, outcome, run_ = restore(folder)
    raise_all(list(wrong_reference(folder, model, info.model_id, quick)))
    with (folder / "windows.tsv").open(errors="replace") as file:
        if any(ours != line for ours, line in zip_longest(evidence.windows(model, outcome), map(_chomped, file))):
            raise _changed(folder / "windows.tsv", "its hashes are not those of the windows and answers")
    report: Mapping[str, Any] = files.read_json(folder / "report.json", MADE_BY)
    again = json.loads(json.dumps(facts.describe(model, info, outcome, run_["port"], run_["emulated"])))
    where = folder / "report.json"
    raise_all([_changed(where, f"does not follow from the evidence: {what}") for what in differences(report, again)])
    return report


def changed_files(folder: Path) -> Iterator[Problem]:
    """Files that are missing, too many, or not what SHA256SUMS says."""
    listing = files.needed(folder / evidence.SUMS, MADE_BY).read_text(errors="replace")
    noted = {line[66:]: line[:64] for line in listing.splitlines()}
    here = {line[66:]: line[:64] for line in evidence.sums(folder).splitlines()}
    for name in sorted(NEEDED | noted.keys() | here.keys()):
        if name not in here:
            yield _changed(folder / name, "is missing")
        elif name not in noted:
            yield _changed(folder / name, "is not in SHA256SUMS")
        elif noted[name] != here[name]:
            yield _changed(folder / name, "was changed: its SHA-256 is not the one in SHA256SUMS")
    if listing != "".join(f"{noted[name]}  {name}\n" for name in sorted(noted)):
        yield _changed(folder / evidence.SUMS, "is not as it was written")


def restore(folder: Path) -> tuple[Built, Any, Any, dict[str, Any]]:
    """What the harness had before it: the model's files, INFO, the outcome, and how it was reached."""
    try:
        run_ = files.read_json(folder / "run.json", MADE_BY)
        board = read_board(folder / "board.json")
        model = built.read(run_["model"], board, run_["runtime"], folder, folder, MADE_BY)
        info, outcome = evidence.restore(run_, files.read_arrays(folder / "outputs.npz", MADE_BY))
    except (KeyError, TypeError, ValueError) as error:
        raise _changed(folder, f"cannot be read: {type(error).__name__}: {error}") from error
    return model, info, outcome, run_


def read_board(path: Path) -> Board:
    """The board as it was at the time of the run."""
    problems: list[Problem] = []
    board = read_table(Board, _without_none(files.read_json(path, MADE_BY)), str(path), "", problems)
    raise_all(problems)
    assert isinstance(board, Board)
    return board


def wrong_reference(folder: Path, model: Built, device_id: str, quick: bool) -> Iterator[Problem]:
    """Whether the model is the one that the device ran, and the reference its bytes."""
    path = folder / "model.tflite"
    if not path.exists():
        return
    content = path.read_bytes()
    if not files.model_id(content) == model.quantize["model_id"] == device_id:
        yield _changed(path, f"is not the model {device_id[:8]} that the device ran")
    elif not quick:
        outputs, _ = reference.outputs(content, model.reference["inputs"], "reference", path)
        if wrong := int((outputs != model.reference["outputs"]).reshape(len(outputs), -1).any(axis=1).sum()):
            yield _changed(folder / "reference.npz", f"{wrong} of its outputs are not the model's")


def differences(before: Any, after: Any, at: str = "") -> Iterator[str]:
    """Where two reports differ; figures may do so in their last digits, for they are computed anew."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from differences(before.get(key), after.get(key), f"{at}.{key}" if at else key)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, pair in enumerate(zip(before, after, strict=True)):
            yield from differences(*pair, at=f"{at}[{index}]")
    elif isinstance(before, float) and isinstance(after, float):
        if not np.isclose(before, after, rtol=1e-6, atol=1e-9):
            yield f"{at} is {before!r}, it should be {after!r}"
    elif before != after:
        yield f"{at} is {before!r}, it should be {after!r}"


def _changed(path: Path, what: str) -> Problem:
    return Problem(path, what, "", EXIT_LIMIT)


def _chomped(line: str) -> str:
    return line.removesuffix("\n")


def _without_none(value: Any) -> Any:
    """JSON's null for what the board does not have."""
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return [_without_none(inner) for inner in value] if isinstance(value, list) else value


if __name__ == "__main__":
    run(main)
