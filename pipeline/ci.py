"""A run as continuous integration shows it: a Markdown summary, and annotations for GitHub Actions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline import gates, words
from pipeline.problem import Problem

Facts = Mapping[str, Any]
_MET = {True: "met", False: "**missed**", None: "not judged"}


def check_path(path: Path | None) -> None:
    """Before the run: a Problem when the summary cannot be written there."""
    if path and (path.is_dir() or not path.resolve().parent.is_dir()):
        raise Problem("--summary", f"{path} cannot be a file", "name a file in a folder that exists")
    if path and not os.access(path if path.exists() else path.resolve().parent, os.W_OK):
        raise Problem("--summary", f"{path} may not be written by this user", "name a file elsewhere")


def add_summary(path: Path, report: Facts) -> None:
    """Add a run to the end of a Markdown file, as $GITHUB_STEP_SUMMARY wants it."""
    with path.open("a", encoding="utf-8") as file:
        file.write(summary(report))


def annotate(report: Facts) -> str:
    """Lines for GitHub Actions: an error for each reason, else a notice; nothing anywhere else."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return ""
    title = _property(words.title(report))
    if report["verdict"] == "pass":
        return f"::notice title={title}::{_data(words.windows(report['windows']))}\n"
    return "".join(f"::error title={title}::{_data(reason)}\n" for reason in report["reasons"] or [report["verdict"]])


def summary(report: Facts) -> str:
    """The report in Markdown."""
    parts = [f"### {report['verdict'].upper()}: {_cell(words.title(report))}"]
    if report["emulated"]:
        parts.append(f"Emulated by {report['emulator']['name']}: no figure here is the chip's own.")
    if report["reasons"]:
        parts.append("\n".join(f"- {_cell(reason)}" for reason in report["reasons"]))
    rungs = words.rungs(report)
    scores = [
        [words.plain(name), *(words.metric(report["metrics"][rung][name], name) for rung in rungs)]
        for name in words.metric_names(report)
    ]
    limits = [
        [check["name"], words.count(check["value"]), f"at {check['at']} {words.count(check['limit'])}", check["met"]]
        for check in report["limits"]
    ]
    parts += [
        _table(["", ""], words.rows(report)),
        _table(["", *rungs.values()], scores) if rungs else "",
        _table(["limit", "measured", "", ""], [[*row[:3], _MET[row[3]]] for row in limits]),
    ]
    if report["baseline"]:
        since = f"Since {_cell(report['baseline']['file'])}, model {report['baseline']['model_id'][:8]}:"
        parts += [since, _table(["", "before", "now", "change", ""], gates.changes(report["baseline"]))]
    return "\n\n".join(filter(None, parts)) + "\n\n"


def _table(head: list[str], rows: Iterable[Iterable[str]]) -> str:
    align = ["---", *["---:"] * (len(head) - 1)] if len(head) > 2 else ["---"] * len(head)
    lines = [head, align, *([cell if cell == _MET[False] else _cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """Text that Markdown leaves as it is."""
    for mark in "\\|*_`[]#":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").split())


def _data(text: str) -> str:
    """Text of an annotation: GitHub reads to the end of the line."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
