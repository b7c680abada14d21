"""One run of the harness: find the device, make sure who it is, stream the test split through it, judge what came."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline import (
    built,
    facts,
    files,
    gates,
    hops,
    journal,
    layers,
    metrics,
    ports,
    sample,
    speed,
    transport,
    verdict,
)
from pipeline.board import Board, load_board
from pipeline.built import Built
from pipeline.device import Device
from pipeline.emulator import emulate
from pipeline.journal import Journal
from pipeline.problem import EXIT_DEVICE, EXIT_INTERRUPTED, EXIT_LIMIT, Problem
from pipeline.progress import progress
from pipeline.transport import Transport
from pipeline.verdict import FAIL, FAILED, PARTIAL, PASS, Facts, Outcome
from pipeline.wire import Info

JOURNAL = "journal"


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
    seed: int = 0
    until_sure: float | None = None
    resume: bool = False
    gates: Facts | None = None  # of pipeline.gates


@dataclass(frozen=True)
class Finished:
    """A run that got as far as windows: what the report says, where it goes, the arrays, why it stopped if it did."""

    report: Facts
    folder: Path
    outcome: Outcome
    built: Built
    info: Info
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
            folder = ask.out or model.folder
            with journal.opened(folder / JOURNAL) as book, speed.agreed(device, info, *rates(ask, model.board)):
                outcome = begin(ask, info, model, book)
                stream(device, info, model, outcome, book)
            outcome.layers = show_layers(ask, device, info, model, outcome, emulated)
    except Problem as stopped:
        if outcome is None:
            raise
        outcome.stopped, outcome.reason, problem = FAILED, str(stopped), stopped
    except KeyboardInterrupt:
        if outcome is None:
            raise
        outcome.stopped, outcome.reason = PARTIAL, "interrupted"
    report = facts.describe(model, info, outcome, port.name, emulated)
    return Finished(report, folder, outcome, model, info, problem)


def rates(ask: Ask, board: Board) -> tuple[int, int]:
    """The rate at which the line is opened, and the fastest that may be agreed on; one that was asked for stays."""
    return ask.baud or board.serial.baud, 0 if ask.baud else board.serial.max_baud


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


def begin(ask: Ask, info: Info, model: Built, book: Journal) -> Outcome:
    """Which windows are asked; with --resume, those that an unfinished run was answered are there already."""
    reference, emulated = model.reference, bool(ask.board and not ask.port)
    timed = facts.counted(model.board, info, emulated).hz is not None
    gates.check(ask.gates, model.quantize, (model.name, model.board.name, emulated), timed)
    asked = sample.choose(reference["labels"], ask.windows, ask.seed)
    outcome = Outcome.of(asked, reference["outputs"].shape[1:])
    outcome.gates = ask.gates
    outcome.seed, outcome.sure = ask.seed, sample.sequential(model.quantize["task"], ask.until_sure)
    if outcome.sure:
        outcome.asked = sample.shuffled(asked, ask.seed)
    firmware = {key: getattr(info, key) for key in ("model_id", "board", "runtime", "kernel_build")}
    content = journal.digest(reference["inputs"], reference["outputs"])
    run = {**firmware, "reference": content, "asked": journal.digest(outcome.asked)}
    if ask.resume:
        outcome.resumed = book.replay(run, outcome)
    else:
        book.begin(run)
    return outcome


def stream(device: Device, info: Info, model: Built, outcome: Outcome, book: Journal) -> None:
    """Run the windows not answered yet; whatever ends the run, `outcome` holds what was and what the line did."""
    began, todo = time.monotonic(), np.flatnonzero(~outcome.answered)
    judge_early(outcome, model, np.flatnonzero(outcome.answered))
    try:
        with progress(f"{model.name} on {model.board.name}", len(todo)) as advance:
            for answer in hops.answers(device, info, supply(model, outcome, todo), *model.sizes):
                index = int(todo[answer.index])
                book.note(index, answer.ticks, answer.output)
                outcome.take(index, answer.ticks, answer.output)
                judge_early(outcome, model, [index])
                advance()
        device.confirm(info)
    finally:
        seconds = time.monotonic() - began
        rate = round(int(outcome.answered[todo].sum()) / seconds, 1) if seconds else 0.0
        link = {"seconds": round(seconds, 3), "windows_per_second": rate, "credits": info.credits}
        outcome.link = {**link, "resumed": outcome.resumed, **dataclasses.asdict(device.stats)}
    if outcome.sure and outcome.sure.decided:
        outcome.keep_answered()


def supply(model: Built, outcome: Outcome, todo: NDArray[np.int64]) -> Iterator[bytes]:
    """The windows to do, until a sequential test is decided."""
    for index in outcome.asked[todo]:
        if outcome.sure and outcome.sure.decided:
            return
        yield model.reference["inputs"][index].tobytes()


def judge_early(outcome: Outcome, model: Built, indices: Iterable[int]) -> None:
    """Let the sequential test, if there is one, see the answers to these windows."""
    for index in indices if outcome.sure else ():
        assert outcome.sure
        real = metrics.dequantize(outcome.outputs[index : index + 1], model.quantize["output"])
        outcome.sure.take(bool(real.argmax() == model.reference["labels"][outcome.asked[index]]))


def show_layers(ask: Ask, device: Device, info: Info, model: Built, outcome: Outcome, emulated: bool) -> Facts | None:
    """The first window that differed, else the first, once more step by step; None when the firmware cannot."""
    differing = verdict.compare(outcome, model.reference["outputs"])["differing"]
    index = differing[0]["index"] if differing else int(outcome.asked[0])
    per_unit = facts.counted(model.board, info, emulated).ticks_per_unit
    try:
        why = layers.DIFFERED if differing else layers.COMPARE if ask.layers else layers.PROFILE
        return layers.look(device, model, index, per_unit, why)
    except Problem as problem:  # the verdict stands without it
        return {"window": index, "steps": [], "first": None, "words": str(problem)}


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
