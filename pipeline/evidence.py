"""A folder that proves a run: all that is needed to recompute its verdict without the board, and SHA-256 sums."""

from __future__ import annotations

import dataclasses
import hashlib
import platform
import shutil
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

import pipeline
from pipeline import files
from pipeline.built import Built
from pipeline.stats import Sequential
from pipeline.verdict import Outcome
from pipeline.wire import Info

SUMS = "SHA256SUMS"
OF_THE_MODEL = ("model.tflite", "quantize.json", "reference.npz")
OF_THE_FIRMWARE = ("plan.json", "size.json")
REPORTS = ("report.json", "report.html", "report.xml", "outputs.npz")
_PACKAGES = ("numpy", "pyserial", "cobs", "tflite-runtime", "matplotlib")
_KEPT = ("stopped", "reason", "layers", "link", "seed", "resumed", "boards", "gates")  # of an Outcome
Facts = dict[str, Any]


def write(folder: Path, model: Built, info: Info, outcome: Outcome, report: Mapping[str, Any]) -> str:
    """Gather the evidence of the run reported in `folder` in folder/evidence; returns the digest of its sums."""
    evidence = folder / "evidence"
    if evidence.exists():
        shutil.rmtree(evidence)
    evidence.mkdir(parents=True)
    parent = model.folder.parent
    for source in [parent / name for name in OF_THE_MODEL] + [model.folder / name for name in OF_THE_FIRMWARE]:
        if source.exists():
            shutil.copyfile(source, evidence / source.name)
    for name in REPORTS:
        shutil.copyfile(folder / name, evidence / name)
    files.write_json(evidence / "board.json", dataclasses.asdict(model.board))
    with files.replacing(evidence / "windows.tsv") as file:
        file.writelines(f"{line}\n".encode() for line in windows(model, outcome))
    files.write_json(evidence / "run.json", run_facts(model, info, outcome, report))
    files.write_text(evidence / SUMS, sums(evidence))
    return digest(evidence)


def run_facts(model: Built, info: Info, outcome: Outcome, report: Mapping[str, Any]) -> Facts:
    """What the files do not say: who answered, over which line, why the run ended, which tools judged it."""
    return {
        "model": model.name,
        "runtime": model.runtime,
        "port": report["port"],
        "emulated": report["emulated"],
        "info": dataclasses.asdict(info),
        "outcome": {key: getattr(outcome, key) for key in _KEPT},
        "until_sure": dataclasses.asdict(outcome.sure) if outcome.sure else None,
        "tools": tools(),
    }


def restore(run: Facts, arrays: Mapping[str, Any]) -> tuple[Info, Outcome]:
    """The INFO and the outcome that were written."""
    keys = ("asked", "outputs", "ticks", "answered")
    outcome = Outcome(*(arrays[key] for key in keys), **run["outcome"])
    if sure := run["until_sure"]:
        decided = sure.pop("decided")
        outcome.sure = Sequential(**sure)
        outcome.sure.decided = decided
    return Info(**run["info"]), outcome


def tools() -> dict[str, str]:
    """Versions of what ran on this side."""
    found = {"pipeline": pipeline.__version__, "python": platform.python_version(), "system": platform.platform()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def windows(model: Built, outcome: Outcome) -> Iterator[str]:
    """A line for each window asked: its index, SHA-256 of the input, SHA-256 of the answer or a dash, ticks."""
    yield "window\tinput\toutput\tticks"
    for at, index in enumerate(outcome.asked):
        sent = hashlib.sha256(model.reference["inputs"][index].tobytes()).hexdigest()
        got = hashlib.sha256(np.ascontiguousarray(outcome.outputs[at]).tobytes()).hexdigest()
        answered = bool(outcome.answered[at])
        yield f"{index}\t{sent}\t{got if answered else '-'}\t{int(outcome.ticks[at]) if answered else '-'}"


def sums(folder: Path) -> str:
    """SHA256SUMS of every other file of a folder, as sha256sum prints it, by name."""
    names = sorted(path.name for path in folder.iterdir() if path.name != SUMS)
    return "".join(f"{files.sha256(folder / name)}  {name}\n" for name in names)


def digest(folder: Path) -> str:
    """Names the whole evidence: SHA-256 of SHA256SUMS."""
    return files.sha256(folder / SUMS)
