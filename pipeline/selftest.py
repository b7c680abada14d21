"""The harness tested on a device that is right: harm done on purpose, and every verdict judged."""

from __future__ import annotations

import secrets
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import bench, faults, verdict
from pipeline.bench import Ask
from pipeline.built import Built
from pipeline.device import Device
from pipeline.faults import FATAL, FROM, HARMLESS, LINE, SURVIVED, TO, Faulty
from pipeline.flight import Waits
from pipeline.problem import EXIT_DEVICE, EXIT_LIMIT, Problem
from pipeline.progress import progress
from pipeline.transport import Transport
from pipeline.verdict import FAIL, FAILED, PASS, Facts, Outcome
from pipeline.wire import Info

WINDOWS = 24  # in one round
FRAMES_APART = 3.0  # from one damaged byte to the next, on average
SHORTEST = 0.02  # seconds: a line that loses bytes on purpose needs no patience for slow boards
_FRAME = 10  # bytes of a frame beside its window


@dataclass(frozen=True)
class Round:
    """One run under faults: of which kinds, in which direction; `name` is its line in the table."""

    name: str
    to: tuple[str, ...] = ()
    from_: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    @property
    def fatal(self) -> bool:
        """Whether the device itself is made wrong."""
        return any(kind in FATAL for kind in self.kinds)


@dataclass
class Tally:
    """What came of the rounds of one name."""

    rounds: int = 0
    faults: int = 0
    passed: int = 0  # every window once, with the right bytes
    ended: int = 0  # the run failed and said why
    wrong: list[str] = field(default_factory=list)


def rounds() -> list[Round]:
    """Every kind of fault by itself in each direction, and all that a run survives at once."""
    to = [Round(f"{words}, {TO}", to=(kind,)) for kind, words in LINE.items()]
    from_ = [Round(f"{words}, {FROM}", from_=(kind,)) for kind, words in LINE.items()]
    single = [Round(words, kinds=(kind,)) for kind, words in (SURVIVED | FATAL).items()]
    return [*to, *from_, *single, Round("all of these at once", tuple(LINE), tuple(LINE), tuple(SURVIVED))]


class Bed:
    """The device under the faults, its files and the windows it answers."""

    def __init__(self, ask: Ask, stack: ExitStack) -> None:
        self._ask, self._stack = ask, stack
        self.line = self._open()
        device = Device(self.line)
        self.info: Info = device.hello()
        self.built: Built = bench.identify(ask, self.info, self.line.name, self.emulated)
        self.expected = self.built.reference["outputs"]
        if self.built.sizes[0] != self.info.input_bytes:
            what = f"takes hops of {self.info.input_bytes} bytes, the self-test sends whole windows"
            raise Problem(self.line.name, what, "generate and build the firmware with --stream 0 for it")

    def power_cycle(self) -> Transport:
        """The emulator ended and started anew."""
        self._stack.close()
        return self._open()

    def _open(self) -> Transport:
        line, self.emulated = self._stack.enter_context(bench.line(self._ask))
        return line

    def run(self, line: Transport, asked: NDArray[np.int64]) -> tuple[Outcome, Device, int]:
        """One run of the harness over these windows: its outcome, and how often windows were counted."""
        outcome = Outcome.of(asked, self.expected.shape[1:])
        device, counted = Device(line, Waits(first=1.0, shortest=SHORTEST, longest=2.0)), 0
        try:
            info = device.hello()
            if isinstance(line, Faulty):
                line.armed = True
            for answer in device.run(self.built.reference["inputs"][index].tobytes() for index in asked):
                outcome.take(answer.index, answer.ticks, answer.output)
                counted += 1
            device.confirm(info)
        except Problem as problem:
            outcome.stopped, outcome.reason = FAILED, str(problem)
        return outcome, device, counted


def judge(round_: Round, outcome: Outcome, counted: int, expected: NDArray[np.int8], line: Faulty, trace: int) -> str:
    """What is wrong with the verdict of a round; nothing when it is right."""
    windows = verdict.compare(outcome, expected)
    result, _ = verdict.judge(outcome, windows, [])
    done = sum(line.counts[kind] for kind in (*LINE, *SURVIVED, *FATAL))
    if counted != int(outcome.answered.sum()):
        return f"{counted} answers were counted for {int(outcome.answered.sum())} windows"
    if result == PASS and windows["equal"] != len(outcome.asked):
        return f"a pass with {windows['equal']} of {len(outcome.asked)} windows equal"
    if round_.fatal:
        wanted = {"byte": FAIL, "other": FAIL}.get(round_.kinds[0], FAILED)
        wrong = line.counts["byte"] + line.counts["other"]
        if done and (result != wanted or windows["failed"] > wrong):
            return f"{result} ({outcome.reason or windows['failed']}), {wanted} is right"
        return ""
    if windows["failed"]:
        return f"{windows['failed']} windows with wrong bytes"
    kinds = {kind for kind, count in line.counts.items() if count and kind}
    if kinds - HARMLESS and not trace and result == PASS:
        return f"{done} faults passed unnoticed"
    return "" if result in (PASS, FAILED) else f"the verdict {result}"


def play(bed: Bed, round_: Round, chance: Random, tally: Tally) -> int:
    """One round; returns how many faults there were."""
    sizes = bed.info.input_bytes + _FRAME, bed.info.output_bytes + _FRAME + 8
    every = (FRAMES_APART * sizes[0], FRAMES_APART * sizes[1])
    cycle = bed.power_cycle if bed.emulated else None
    line = Faulty(bed.line, chance, round_.to, round_.from_, round_.kinds, every, cycle)
    count = min(WINDOWS, len(bed.expected))
    asked = np.array(chance.sample(range(len(bed.expected)), count))
    outcome, device, counted = bed.run(line, asked)
    bed.line = line.inner
    faults.settle(bed.line)
    stats = device.stats
    trace = stats.retries + stats.damaged + stats.refused + stats.stale + stats.wrong_input + device.noise_bytes
    line.counts.pop("", None)
    tally.rounds += 1
    tally.faults += line.counts.total()
    tally.passed += not outcome.stopped
    tally.ended += bool(outcome.stopped)
    if mistake := judge(round_, outcome, counted, bed.expected, line, trace):
        tally.wrong.append(mistake)
    return line.counts.total()


def check(ask: Ask, wanted: int, seed: int | None) -> Facts:
    """Rounds until `wanted` faults were injected, and every kind at least once."""
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    with ExitStack() as stack:
        bed = Bed(ask, stack)
        healthy(bed)
        tallies = {round_.name: Tally() for round_ in rounds()}
        done = 0
        with progress(f"self-test of {bed.info.model} on {bed.info.board}, seed {seed}", wanted) as advance:
            for number, round_ in enumerate(_turns(seed)):
                found = play(bed, round_, Random(f"{seed}/{number}"), tallies[round_.name])
                advance(min(found, wanted - done))
                done = min(wanted, done + found)
                if done >= wanted and all(tally.rounds for tally in tallies.values()):
                    break
        link = {"model": bed.info.model, "board": bed.info.board, "emulated": bed.emulated, "port": bed.line.name}
    wrong = sum(len(tally.wrong) for tally in tallies.values())
    total = sum(tally.faults for tally in tallies.values())
    kinds = [{"fault": name, **vars(tally)} for name, tally in tallies.items()]
    return {**link, "seed": seed, "faults": total, "wrong_verdicts": wrong, "kinds": kinds}


def healthy(bed: Bed) -> None:
    """The device must be right before harm is done; else the self-test would blame the harness."""
    asked = np.arange(min(200, len(bed.expected)))
    outcome, _, _ = bed.run(bed.line, asked)
    result, reasons = verdict.judge(outcome, verdict.compare(outcome, bed.expected), [])
    if result != PASS:
        what = f"the self-test needs a device that is right: {'; '.join(reasons)}"
        raise Problem(bed.line.name, what, "run the harness without --self-test first", EXIT_DEVICE)


def _turns(seed: int) -> Iterator[Round]:
    """Every round in a new order again and again."""
    chance, order = Random(seed), rounds()
    while True:
        chance.shuffle(order)
        yield from order


def as_text(report: Facts) -> str:
    """The table of a self-test."""
    lines = [f"{'fault':<42}{'injected':>9}{'runs':>7}{'passed':>8}{'ended':>7}{'wrong':>7}"]
    lines += [
        f"{each['fault']:<42}{each['faults']:>9}{each['rounds']:>7}{each['passed']:>8}{each['ended']:>7}"
        f"{len(each['wrong']):>7}"
        for each in report["kinds"]
    ]
    mistakes = Counter(f"{each['fault']}: {what}" for each in report["kinds"] for what in each["wrong"])
    lines += [f"  - {what} ({count} times)" for what, count in mistakes.items()]
    where = f"{report['board']}{', emulated' if report['emulated'] else ''}"
    total = f"{report['faults']:,} faults on {where}: {report['wrong_verdicts']} wrong verdicts (seed {report['seed']})"
    legend = "passed: every window once, with the right bytes; ended: the run failed and said why"
    return "\n".join(["", *lines, "", legend, total, ""])


def run(ask: Ask, wanted: int, seed: int | None, as_json: bool) -> int:
    """The command: exit code 0 when no verdict was wrong."""
    report = check(ask, wanted, seed)
    sys.stdout.write(_json(report) if as_json else as_text(report))
    return EXIT_LIMIT if report["wrong_verdicts"] else 0


def _json(report: Any) -> str:
    import json

    return json.dumps(report, indent=2) + "\n"
