"""Several boards at once: windows split over identical boards, or all of them on each; one report for all."""

from __future__ import annotations

import dataclasses
import threading
import time
from array import array
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import bench, facts, hops, journal, speed
from pipeline.bench import Ask, Finished
from pipeline.built import Built
from pipeline.device import Answer, Device
from pipeline.problem import EXIT_DEVICE, Problem
from pipeline.progress import Advance, progress
from pipeline.verdict import FAILED, PARTIAL, Outcome
from pipeline.wire import Info

_SUMMED = (
    "sent_bytes",
    "received_bytes",
    "retries",
    "damaged",
    "refused",
    "stale",
    "wrong_input",
    "restarts",
    "returns",
)


class Work:
    """Windows to be handed out, by their place in the outcome; a board that dies gives its own back."""

    def __init__(self, places: NDArray[np.int64]) -> None:
        self._places, self._given, self._back = places, 0, deque[int]()
        self._out, self._news = 0, threading.Condition()

    def _left(self) -> int:
        return len(self._back) + len(self._places) - self._given

    def draw(self) -> Iterator[int]:
        """Places until there are none to hand out."""
        while True:
            with self._news:
                if not self._left():
                    return
                if self._back:
                    place = self._back.popleft()
                else:
                    place = int(self._places[self._given])
                    self._given += 1
                self._out += 1
            yield place

    def done(self, back: list[int] | None = None) -> None:
        """One that was drawn is answered, or these that were drawn go back."""
        with self._news:
            self._out -= 1 if back is None else len(back)
            self._back.extend(back or ())
            self._news.notify_all()

    def stop(self) -> None:
        """Hand out no more."""
        with self._news:
            self._back.clear()
            self._given = len(self._places)
            self._news.notify_all()

    def wait(self) -> bool:
        """True as soon as there are places to hand out, False when all that were drawn are answered."""
        with self._news:
            self._news.wait_for(lambda: self._left() or not self._out)
            return bool(self._left())


@dataclass
class Member:
    """One board of several: its line, what it answered, and why it ended, if it did."""

    device: Device
    info: Info
    work: Work
    outcome: Outcome
    mine: array[int] = field(default_factory=lambda: array("q"))  # places it answered
    seconds: float = 0.0
    problem: Problem | None = None


def check(ask: Ask, ports: list[str], each: bool) -> Finished:
    """The main line for several ports; as bench.check for one."""
    if each and ask.resume:
        raise Problem("--each", "a run on each board keeps no journal to resume", "run without --resume")
    with ExitStack() as stack:
        devices = [Device(stack.enter_context(bench.line(dataclasses.replace(ask, port=port)))[0]) for port in ports]
        infos = [device.hello() for device in devices]
        same(devices, infos)
        model = bench.identify(ask, infos[0], ports[0], False)
        folder = ask.out or model.folder
        book = stack.enter_context(journal.opened(folder / bench.JOURNAL))
        whole = bench.begin(ask, infos[0], model, book)
        for device, info in zip(devices, infos, strict=True):
            stack.enter_context(speed.agreed(device, info, *bench.rates(ask, model.board)))
        members = gather(devices, infos, whole, each)
        began = time.monotonic()
        run(members, model, None if each else book)
        outcome = merged(members) if each else whole
        outcome.gates = whole.gates
        outcome.boards = [column(member, model) for member in members]
        outcome.link = link(members, outcome, time.monotonic() - began)
        problem = ending(members, outcome, whole)
        if not problem and not outcome.stopped:
            outcome.layers = bench.show_layers(ask, _living(members).device, infos[0], model, outcome, False)
    report = facts.describe(model, infos[0], outcome, ", ".join(ports), False)
    return Finished(report, folder, outcome, model, infos[0], problem)


def same(devices: list[Device], infos: list[Info]) -> None:
    """Refuse boards that are not identical: their answers could not be one report."""
    for device, info in zip(devices[1:], infos[1:], strict=True):
        for fact in dataclasses.fields(Info):
            first, other = getattr(infos[0], fact.name), getattr(info, fact.name)
            if fact.name != "reset_cause" and first != other:
                what = f"has {fact.name.replace('_', ' ')} {other}, {devices[0].name} has {first}"
                hint = "several ports are for identical boards: flash them alike"
                raise Problem(device.name, what, hint, EXIT_DEVICE)


def gather(devices: list[Device], infos: list[Info], whole: Outcome, each: bool) -> list[Member]:
    """Boards with one heap of windows, or with a heap each."""
    todo = np.flatnonzero(~whole.answered)
    shared = Work(todo)
    pairs = zip(devices, infos, strict=True)
    if not each:
        return [Member(device, info, shared, whole) for device, info in pairs]
    shape = whole.outputs.shape[1:]
    return [Member(device, info, Work(todo), Outcome.of(whole.asked, shape)) for device, info in pairs]


class Bench:
    """What the boards share: the windows, the journal, the bar; one answer is taken at a time."""

    def __init__(self, model: Built, book: journal.Journal | None, advance: Advance) -> None:
        self._model, self._book, self._advance, self._lock = model, book, advance, threading.Lock()

    def serve(self, member: Member) -> None:
        """One board, until there is nothing more to do for it or it dies."""
        began, drawn = time.monotonic(), array("q")
        try:
            while member.work.wait():
                del drawn[:]
                windows = self._windows(member, drawn)
                for answer in hops.answers(member.device, member.info, windows, *self._model.sizes):
                    self._take(member, drawn[answer.index], answer)
                    member.work.done()
            member.device.confirm(member.info)
        except Problem as problem:
            member.problem = problem
            member.work.done(back=[place for place in drawn if not member.outcome.answered[place]])
        finally:
            member.seconds = time.monotonic() - began

    def _windows(self, member: Member, drawn: array[int]) -> Iterator[bytes]:
        for place in member.work.draw():
            drawn.append(place)
            yield self._model.reference["inputs"][member.outcome.asked[place]].tobytes()

    def _take(self, member: Member, place: int, answer: Answer) -> None:
        with self._lock:
            member.outcome.take(place, answer.ticks, answer.output)
            member.mine.append(place)
            if self._book:
                self._book.note(place, answer.ticks, answer.output)
            bench.judge_early(member.outcome, self._model, [place])
            self._advance()
        if member.outcome.sure and member.outcome.sure.decided:
            member.work.stop()


def run(members: list[Member], model: Built, book: journal.Journal | None) -> None:
    """All boards at once, until every window is answered or no board is left."""
    outcomes = {id(member.outcome): member.outcome for member in members}
    total = sum(int((~outcome.answered).sum()) for outcome in outcomes.values())
    with progress(f"{model.name} on {len(members)} boards {model.board.name}", total) as advance:
        shared = Bench(model, book, advance)
        threads = [threading.Thread(target=shared.serve, args=(member,), daemon=True) for member in members]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except KeyboardInterrupt:
            for member in members:
                member.work.stop()
                member.outcome.stopped, member.outcome.reason = PARTIAL, "interrupted"
            for thread in threads:
                thread.join()


def merged(members: list[Member]) -> Outcome:
    """The answers of boards that each ran all windows, one board behind the other."""
    outcomes = [member.outcome for member in members]
    arrays = ("asked", "outputs", "ticks", "answered")
    joined = Outcome(*(np.concatenate([getattr(outcome, name) for outcome in outcomes]) for name in arrays))
    joined.stopped, joined.reason = outcomes[0].stopped, outcomes[0].reason
    return joined


def ending(members: list[Member], outcome: Outcome, whole: Outcome) -> Problem | None:
    """The Problem that ended the run: the first board's that died, when its windows were left undone."""
    if whole.sure and whole.sure.decided:
        whole.keep_answered()
    problem = next((member.problem for member in members if member.problem), None)
    changed = problem is not None and "firmware changed" in problem.what
    if problem and not outcome.stopped and (changed or not outcome.answered.all()):
        outcome.stopped, outcome.reason = FAILED, str(problem)
        return problem
    return None


def column(member: Member, model: Built) -> dict[str, Any]:
    """What the report says of one board."""
    places = np.sort(np.array(member.mine, dtype=np.int64))
    got, wanted = member.outcome.outputs[places], model.reference["outputs"][member.outcome.asked[places]]
    equal = (got == wanted).all(axis=tuple(range(1, got.ndim)))
    ticks = member.outcome.ticks[places]
    return {
        "port": member.device.name,
        "windows": len(places),
        "equal": int(equal.sum()),
        "median_ticks": float(np.median(ticks)) if len(places) else None,
        "windows_per_second": round(len(places) / member.seconds, 1) if member.seconds else 0.0,
        "reset_cause": member.info.reset_cause,
        "ended": str(member.problem) if member.problem else "",
        **dataclasses.asdict(member.device.stats),
    }


def link(members: list[Member], outcome: Outcome, seconds: float) -> dict[str, Any]:
    """The lines of all boards together."""
    stats = [dataclasses.asdict(member.device.stats) for member in members]
    done = sum(len(member.mine) for member in members)
    return {
        "seconds": round(seconds, 3),
        "windows_per_second": round(done / seconds, 1) if seconds else 0.0,
        "credits": members[0].info.credits,
        "resumed": outcome.resumed,
        **{name: sum(each[name] for each in stats) for name in stats[0]},
        "baud": max(each["baud"] for each in stats),
    }


def _living(members: list[Member]) -> Member:
    return next((member for member in members if not member.problem), members[0])
