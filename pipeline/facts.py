"""From a model's files and a device's bytes to what report.json holds. Pure: no device, nothing but its arguments."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from pipeline import gates, paired, sample, verdict
from pipeline.board import Board
from pipeline.built import Built
from pipeline.verdict import Counted, Facts, Outcome
from pipeline.wire import Info


def describe(model: Built, info: Info, outcome: Outcome, port: str, emulated: bool) -> Facts:
    """What report.json holds."""
    board = model.board
    windows = verdict.compare(outcome, model.reference["outputs"])
    scores = outcome.rungs(model).scores()
    timing = verdict.clock(outcome, counted(board, info, emulated))
    total = len(model.reference["inputs"])
    whole = bool(outcome.answered.all()) and len(np.unique(outcome.asked)) == total
    rules = gates.rules(model.quantize["limits"], board, outcome.gates)
    checks = verdict.limits(model, scores, timing, whole, rules)
    if outcome.sure and outcome.sure.decided and scores["device"]:
        checks.append(verdict.sure_limit(outcome.sure, scores["device"]))
    price = _price(model, timing["kind"])
    size = {key: model.size.get(key) for key in ("flash", "ram", "arena", "weights", "code", "model_code")}
    run = int(outcome.answered.sum())
    part = sample.words(total, run, windows["failed"], outcome.seed) if 0 < run < total else None
    figures = {"metrics": scores, "clock": timing, "size": size, "sample": part}
    changed = gates.compare(figures, outcome.gates)
    result, reasons = verdict.judge(outcome, windows, checks, gates.regressions(changed))
    if outcome.layers and windows["failed"]:
        reasons.append(outcome.layers["words"])
    return {
        "verdict": result,
        "reasons": reasons,
        "model": model.name,
        "model_id": info.model_id,
        "board": board.name,
        "runtime": model.runtime,
        "emulated": emulated,
        "emulator": _emulator(board) if emulated else None,
        "port": port,
        "task": model.quantize["task"],
        "activations": model.quantize.get("activations", 8),
        "whole_test_split": whole,
        "sample": part,
        "until_sure": sample.sure(outcome.sure, whole) if outcome.sure else None,
        "windows": windows,
        "metrics": scores,
        "statistics": paired.statistics(model, outcome.once(), scores["device"]),
        "clock": timing,
        "predicted": price and model.plan["predicted"]["total"] * price,
        "layers": outcome.layers and _priced(outcome.layers, model, price),
        "size": size,
        "limits": checks,
        "baseline": changed,
        "memory": {"flash": board.flash_bytes, "ram": board.ram_bytes, "arena": board.arena_bytes},
        "sparsity": model.quantize["sparsity"],
        "link": outcome.link,
        "boards": outcome.boards,
        "device": dataclasses.asdict(info),
        "compiler": model.size["compiler"],
    }


def counted(board: Board, info: Info, emulated: bool) -> Counted:
    """A real device's ticks are time; an emulator's are what its board file says."""
    if not (emulated and board.emulator):
        return Counted(info.clock_kind, 1.0, info.clock_hz)
    meaning = board.emulator.clock
    is_time = meaning.kind == "microseconds"
    return Counted(meaning.kind, meaning.ticks_per_unit, 1_000_000 if is_time else None)


def _price(model: Built, kind: str | None) -> float | None:
    """What one of the units in which the plan predicts is on the clock; None where it predicts nothing or others."""
    unit = (model.plan.get("predicted") or {}).get("unit")
    if (unit, kind) == ("cycles", "microseconds"):
        return 1e6 / model.board.clock_hz
    return 1.0 if unit and unit == kind else None


def _priced(layers: Facts, model: Built, price: float | None) -> Facts:
    """The steps, each with what it was predicted to take on the clock."""
    prices = [step.get("predicted") for step in model.plan["operators"]]
    steps = [
        {**step, "predicted": each * price if each and price else None, **_dense(step.get("dense"), price)}
        for step, each in zip(layers["steps"], prices, strict=False)
    ]
    return {**layers, "steps": steps}


def _dense(dense: Facts | None, price: float | None) -> Facts:
    """What a step that skips zeros is otherwise, on the clock."""
    cost = dense["predicted"] if dense else None
    return {"dense": {**dense, "predicted": cost * price if cost and price else None}} if dense else {}


def _emulator(board: Board) -> dict[str, Any] | None:
    emulator = board.emulator
    return {key: getattr(emulator, key) for key in ("name", "faithful", "not_faithful")} if emulator else None
