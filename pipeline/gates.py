"""What a run must reach beside equal bytes: limits of the model's file and the command line, and an earlier report."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline import files, words
from pipeline.board import Board
from pipeline.problem import Problem, did_you_mean, raise_all

METRICS = ("accuracy", "macro_f1", "auc", "detection_rate", "false_alarm_rate")
AT_MOST = "false_alarm_rate"  # every other metric is the better the higher
REGIONS = ("flash", "ram", "arena")
LIMITED = (*METRICS, "drop", "ticks", "milliseconds", *REGIONS)
COMPARED = (*METRICS, "latency", *REGIONS, "weights", "code")
USUALLY = {"latency": (5.0, True), "weights": None, "code": None}  # tolerances (value, percent); others: (0, False)
_NUMBER = re.compile(r"(\d+(?:_\d+)*(?:\.\d+)?|\.\d+)(K|%)?")
_OF_A_RUN = ("model", "model_id", "board", "runtime", "emulated", "sample")

Facts = dict[str, Any]


def of(limits: list[str], baseline: Path | None, tolerances: list[str]) -> Facts | None:
    """What the command line asks for, as report and evidence keep it; None when that is nothing."""
    if tolerances and not baseline:
        hint = "name an earlier report: --baseline report.json"
        raise Problem("--tolerance", "there is nothing to compare with", hint)
    if not limits and not baseline:
        return None
    asked = {name: _plain("--limit", name, *value) for name, value in _pairs("--limit", limits, LIMITED)}
    tolerated = dict(_pairs("--tolerance", tolerances, COMPARED))
    return {"limits": asked, "tolerances": tolerated, "baseline": read(baseline) if baseline else None}


def read(path: Path) -> Facts:
    """What is compared of an earlier report.json."""
    path = path / "report.json" if path.is_dir() else path
    try:
        report = files.read_json(path, "python -m pipeline.hil")
        figures = dict(_figures(report))
        kept = {key: report[key] for key in _OF_A_RUN} | {"clock": report["clock"]["kind"]}
    except (KeyError, TypeError, AttributeError) as error:
        hint = "--baseline takes the report.json of an earlier run"
        raise Problem(path, f"is no report of this harness ({type(error).__name__}: {error})", hint) from error
    if figures["latency"] is None:
        raise Problem(path, "is of a run in which no window was answered", "take the report of a whole run")
    return {"file": str(path), **kept, "figures": figures}


def check(asked: Facts | None, quantize: Mapping[str, Any], run: tuple[str, str, bool], timed: bool) -> None:
    """Before the first window: the task has what is asked of it, the clock is one of time (`timed`) where milliseconds
    are limited, and the baseline is of this model and board."""
    if not asked:
        return
    known = [name for name in METRICS if name in quantize["metrics"]["int8"]]
    kind, problems = quantize["task"]["kind"], []
    for option in ("limits", "tolerances"):
        for name in asked[option]:
            if name in METRICS and name not in known:
                problems.append(
                    Problem(f"--{option[:-1]} {name}", f"is no metric of {kind}", did_you_mean(name, known))
                )
    if "drop" in asked["limits"] and not quantize["metrics"]["float"]:
        problems.append(Problem("--limit drop", "the model has no float metrics to drop from", "limit its metric"))
    if "milliseconds" in asked["limits"] and not timed:
        what = f"the clock of {_who(*run)} is none of time"
        problems.append(Problem("--limit milliseconds", what, "limit its ticks, or run on the real board"))
    if (before := asked["baseline"]) and _who(*(before[key] for key in ("model", "board", "emulated"))) != _who(*run):
        what = f"is of {_who(before['model'], before['board'], before['emulated'])}, this run is of {_who(*run)}"
        problems.append(Problem(before["file"], what, "a baseline is an earlier run of the same model and board"))
    raise_all(problems)


def rules(model: Mapping[str, Any], board: Board, asked: Facts | None) -> Facts:
    """The limits that hold: the command line's before the model's, and never more memory than the board has."""
    own: Facts = asked["limits"] if asked else {}
    most = {region: getattr(board, f"{region}_bytes") for region in REGIONS}
    for region, there in most.items():
        most[region] = min(there, own.get(region, model.get(region, {}).get(board.name, there)))
    return {
        "metric": model["metric"],
        "metrics": {model["metric"]: model["minimum"]} | {name: own[name] for name in METRICS if name in own},
        "drop": own.get("drop", model["drop_int8"]),
        "ticks": own.get("ticks", model["ticks"].get(board.name)),
        "milliseconds": own.get("milliseconds", model.get("milliseconds", {}).get(board.name)),
        **most,
    }


def compare(report: Mapping[str, Any], asked: Facts | None) -> Facts | None:
    """What changed since the baseline, figure by figure; `met` is None where that is not judged."""
    before = asked["baseline"] if asked else None
    if not asked or not before:
        return None
    now, rows = dict(_figures(report)), []
    same_windows = _part(before["sample"]) == _part(report["sample"])
    for name in [name for name in COMPARED if now.get(name) is not None and name in before["figures"]]:
        was, is_ = before["figures"][name], now[name]
        tolerance = asked["tolerances"].get(name, USUALLY.get(name, (0.0, False)))
        judged = tolerance is not None and (name not in METRICS or same_windows)
        judged = judged and (name != "latency" or before["clock"] == report["clock"]["kind"])
        allowed = _allowed(name, was, tolerance) if judged else None
        worse = was - is_ if name in METRICS and name != AT_MOST else is_ - was
        met = worse <= allowed + 1e-9 if allowed is not None else None
        rows.append({"name": name, "before": was, "now": is_, "worse": worse, "tolerated": allowed, "met": met})
    kept = {key: before[key] for key in ("file", "model_id", "runtime", "clock")}
    return {**kept, "same_windows": same_windows, "rows": rows}


def regressions(compared: Facts | None) -> list[str]:
    """What is worse than the baseline by more than is tolerated, in words."""
    rows = compared["rows"] if compared else []
    return [
        f"regression: {words.plain(row['name'])} was {figure(row, row['before'])}, is {figure(row, row['now'])}: "
        f"worse by {figure(row, row['worse'])}, {figure(row, row['tolerated'])} tolerated"
        for row in rows
        if row["met"] is False
    ]


def changes(compared: Facts) -> list[tuple[str, str, str, str, str]]:
    """The table of what changed: figure, before, now, change, and what is thought of it."""
    table = []
    for row in compared["rows"]:
        change, said = row["now"] - row["before"], {True: "", False: "worse", None: "not judged"}[row["met"]]
        signed = f"{'+' if change > 0 else '-'}{figure(row, abs(change))}" if change else "="
        share = f" ({100 * change / row['before']:+.1f} %)" if change and row["before"] and _is_count(row) else ""
        figures = (figure(row, row["before"]), figure(row, row["now"]), signed + share)
        table.append((words.plain(row["name"]), *figures, said or ("better" if row["worse"] < 0 else "")))
    return table


def figure(row: Facts, value: float) -> str:
    """A figure of a comparison as people write it."""
    if not _is_count(row):
        return words.metric(value, row["name"])
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def _is_count(row: Facts) -> bool:
    return row["name"] not in METRICS


def _figures(report: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """The figures of a report that are compared, by name."""
    scores = report["metrics"]["device"] or {}
    yield from ((name, float(scores[name])) for name in METRICS if name in scores)
    yield "latency", report["clock"]["median"]
    yield from ((name, int(report["size"][name])) for name in (*REGIONS, "weights", "code"))


def _part(sample: Mapping[str, Any] | None) -> tuple[Any, ...] | None:
    """What makes two samples the same; None is the whole test split."""
    return (sample["windows"], sample["of"], sample["seed"]) if sample else None


def _allowed(name: str, before: float, tolerance: Iterable[Any] | None) -> float:
    """How much worse the figure may be; per cent of a metric are points."""
    value, percent = tolerance or (0.0, False)
    return float(value / 100 * (1 if name in METRICS else before) if percent else value)


def _who(model: str, board: str, emulated: bool) -> str:
    return f"{model} on {board}" + (", emulated" if emulated else "")


def _pairs(option: str, given: list[str], known: tuple[str, ...]) -> Iterable[tuple[str, tuple[float, bool]]]:
    """NAME=VALUE as the name and (value, per cent?)."""
    seen = set()
    for text in given:
        name, _, value = text.partition("=")
        if name in seen:
            raise Problem(option, f"{name} is named twice", "once is enough")
        seen.add(name)
        if name not in known:
            raise Problem(option, f"{name or text} is nothing that can be limited here", did_you_mean(name, known))
        found = _NUMBER.fullmatch(value)
        if not found or (found[2] == "K" and name not in (*REGIONS, "weights", "code")):
            what = f"{text} has no value that fits it"
            raise Problem(option, what, "as in accuracy=0.9, accuracy=90%, ticks=20000, flash=64K")
        yield name, (float(found[1]) * (1024 if found[2] == "K" else 1), found[2] == "%")


def _plain(option: str, name: str, value: float, percent: bool) -> float:
    """A limit as a number: a share of metrics, whole ticks and bytes."""
    share, whole = name in (*METRICS, "drop"), name != "milliseconds"
    value = value / 100 if percent else value
    if (share and value > 1) or (percent and not share):
        raise Problem(
            option, f"{name} cannot be {100 * value:g} %", "a metric is 0 to 1, or up to 100 %; others take none"
        )
    return value if share or not whole else int(value)
