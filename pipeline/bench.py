"""One run of the harness: find the device, make sure who it is, stream the test split through it, judge what came."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import built, files, layers, ports, transport, verdict
from pipeline.board import Board, load_board
from pipeline.built import Built
from pipeline.device import Device
from pipeline.emulator import emulate
from pipeline.problem import EXIT_DEVICE, EXIT_INTERRUPTED, EXIT_LIMIT, Problem
from pipeline.progress import progress
from pipeline.transport import Transport
from pipeline.verdict import FAIL, FAILED, PARTIAL, PASS, Counted, Facts, Outcome
from pipeline.wire import Info


@dataclass(frozen=True)
class Ask:
    """What the user asked for; None is: find out."""

    port: str | None = None
    board: str | None = None
    name: str | None = None
    runtime: str | None = None
    windows: int | None = None
    baud: int | None = None
    out: Path | None = None
    layers: bool = False


@dataclass(frozen=True)
class Finished:
    """A run that got as far as windows: what the report says, where it goes, the arrays, why it stopped if it did."""

    report: Facts
    folder: Path
    outcome: Outcome
    built: Built
    problem: Problem | None

    @property
    def code(self) -> int:
        """The exit code of the verdict."""
        codes = {PASS: 0, FAIL: EXIT_LIMIT, FAILED: EXIT_DEVICE, PARTIAL: EXIT_INTERRUPTED}
        return self.problem.code if self.problem else codes[self.report["verdict"]]


def check(ask: Ask) -> Finished:
    """The main line. A Problem before the first window is raised; later ones end the run and keep what was done."""
    outcome, problem = None, None
    try:
        with line(ask) as (port, emulated):
            device = Device(port)
            info = device.hello()
            model = identify(ask, info, port.name, emulated)
            outcome = Outcome.of(
                choose(len(model.reference["inputs"]), ask.windows), model.reference["outputs"].shape[1:]
            )
            stream(device, info, model, outcome)
            outcome.layers = show_layers(ask, device, info, model, outcome, emulated)
    except Problem as stopped:
        if outcome is None:
            raise
        outcome.stopped, outcome.reason, problem = FAILED, str(stopped), stopped
    except KeyboardInterrupt:
        if outcome is None:
            raise
        outcome.stopped, outcome.reason = PARTIAL, "interrupted"
    report = describe(model, info, outcome, port.name, emulated)
    return Finished(report, ask.out or model.folder, outcome, model, problem)


@contextmanager
def line(ask: Ask) -> Iterator[tuple[Transport, bool]]:
    """The open line to the device, and whether that is an emulator."""
    board = load_board(ask.board) if ask.board else None
    if ask.port or not board:
        opened = transport.connect(ask.port or ports.only_port(), _settings(board, ask.baud))
        try:
            yield opened, False
        finally:
            opened.close()
        return
    folder = files.firmware_dir(_only_model(ask, board), board.name, ask.runtime or board.usual_runtime)
    with emulate(board, folder) as path:
        opened = transport.connect(path)
        opened.name = f"emulator of {board.name}"
        try:
            yield opened, True
        finally:
            opened.close()


def identify(ask: Ask, info: Info, port: str, emulated: bool) -> Built:
    """The files of the model and board that the device says it is, or that the user named."""
    name, board = ask.name or info.model, ask.board or info.board
    if not (files.build_dir(name) / "quantize.json").exists():
        what = f"the device runs model {info.model} ({info.model_id[:8]}), build/{name} is not there"
        raise Problem(port, what, f"make model name={name} board={board}, or say which model it is: --name")
    if ask.runtime and ask.runtime != info.runtime:
        what = f"the device runs runtime {info.runtime}, not {ask.runtime}"
        raise Problem(port, what, f"make flash board={board} runtime={ask.runtime} port={port}", EXIT_DEVICE)
    model = built.load(name, board, info.runtime)
    built.check_identity(model, info, port, emulated)
    return model


def choose(count: int, wanted: int | None) -> NDArray[np.int64]:
    """Indices of the windows to run: all, or `wanted` of them evenly spread over the test split."""
    if wanted is None or wanted >= count:
        return np.arange(count)
    return np.linspace(0, count - 1, wanted).round().astype(np.int64)


def stream(device: Device, info: Info, model: Built, outcome: Outcome) -> None:
    """Run the asked windows; whatever ends the run, `outcome` holds what was answered and what the line did."""
    inputs, began = model.reference["inputs"], time.monotonic()
    windows = (inputs[index].tobytes() for index in outcome.asked)
    try:
        with progress(f"{model.name} on {model.board.name}", len(outcome.asked)) as advance:
            for answer in device.run(windows):
                outcome.take(answer.index, answer.ticks, answer.output)
                advance()
        device.confirm(info)
    finally:
        seconds = time.monotonic() - began
        rate = round(int(outcome.answered.sum()) / seconds, 1) if seconds else 0.0
        link = {"seconds": round(seconds, 3), "windows_per_second": rate, "credits": info.credits}
        outcome.link = {**link, **dataclasses.asdict(device.stats)}


def show_layers(ask: Ask, device: Device, info: Info, model: Built, outcome: Outcome, emulated: bool) -> Facts | None:
    """The first window that differed, else the first, once more step by step; None when the firmware cannot."""
    differing = verdict.compare(outcome, model.reference["outputs"])["differing"]
    index = differing[0]["index"] if differing else int(outcome.asked[0])
    per_unit = _counted(model.board, info, emulated).ticks_per_unit
    try:
        why = layers.DIFFERED if differing else layers.COMPARE if ask.layers else layers.PROFILE
        return layers.look(device, model, index, per_unit, why)
    except Problem as problem:  # the verdict stands without it
        return {"window": index, "steps": [], "first": None, "words": str(problem)}


def describe(model: Built, info: Info, outcome: Outcome, port: str, emulated: bool) -> Facts:
    """What report.json holds."""
    board = model.board
    windows = verdict.compare(outcome, model.reference["outputs"])
    scores = verdict.score(model, outcome)
    timing = verdict.clock(outcome, _counted(board, info, emulated))
    whole = bool(outcome.answered.all()) and len(outcome.asked) == len(model.reference["inputs"])
    checks = verdict.limits(model, scores, timing, whole)
    result, reasons = verdict.judge(outcome, windows, checks)
    if outcome.layers and windows["failed"]:
        reasons.append(outcome.layers["words"])
    size = {key: model.size[key] for key in ("flash", "ram", "arena", "weights", "code")}
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
        "whole_test_split": whole,
        "windows": windows,
        "metrics": scores,
        "clock": timing,
        "layers": outcome.layers,
        "size": size,
        "limits": checks,
        "memory": {"flash": board.flash_bytes, "ram": board.ram_bytes, "arena": board.arena_bytes},
        "sparsity": model.quantize["sparsity"],
        "link": outcome.link,
        "device": dataclasses.asdict(info),
        "compiler": model.size["compiler"],
    }


def _counted(board: Board, info: Info, emulated: bool) -> Counted:
    """A real device's ticks are time; an emulator's are what its board file says."""
    if not (emulated and board.emulator):
        return Counted(info.clock_kind, 1.0, info.clock_hz)
    meaning = board.emulator.clock
    is_time = meaning.kind == "microseconds"
    return Counted(meaning.kind, meaning.ticks_per_unit, 1_000_000 if is_time else None)


def _emulator(board: Board) -> dict[str, Any] | None:
    emulator = board.emulator
    return {key: getattr(emulator, key) for key in ("name", "faithful", "not_faithful")} if emulator else None


def _settings(board: Board | None, baud: int | None) -> ports.Settings:
    """The line as the board wants it, or the usual one."""
    if not board:
        return ports.Settings(baud=baud or ports.Settings.baud)
    serial = board.serial
    return ports.Settings(baud or serial.baud, serial.dtr, serial.rts, serial.settle_seconds)


def _only_model(ask: Ask, board: Board) -> str:
    """The model to emulate: the one named, or the only one built for the board."""
    found = built.firmwares(ask.name, board.name, ask.runtime or board.usual_runtime)
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} models are built for it: {', '.join(found)}" if found else "no model is built for it"
    hint = f"choose one: --name {found[0]}" if found else f"run: make model board={board.name}"
    raise Problem(f"board {board.name}", what, hint)
