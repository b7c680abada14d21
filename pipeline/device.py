"""A device at the end of a transport: handshake, and windows run through it, each accounted for exactly once."""

from __future__ import annotations

import secrets
import time
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline import wire
from pipeline.flight import TRIES, Flight, Patience, Sent, Waits
from pipeline.frames import Frames, LinkStats
from pipeline.problem import EXIT_DEVICE, Problem
from pipeline.transport import Gone, Transport
from pipeline.wire import Frame, Info

HELLO_SECONDS = 8.0  # an AVR bootloader takes 1 s, an ESP32 with log 2 s
HELLO_EVERY = 0.5
HELLO_DAMAGED = 0.05  # sooner when the line damaged the question or the answer
FAST_TRIES = 3  # unanswered sends at a rate that was agreed on, before the usual one is tried
INTERRUPTIONS = 200  # restarts and lost lines that one run puts up with


@dataclass(frozen=True)
class Answer:
    """The device's answer to the window of this index: clock ticks of the inference and the int8 output."""

    index: int
    ticks: int
    output: bytes


class Restarted(Problem):
    """The device refuses a window because it was not greeted: it has restarted since."""


class TooFast(Problem):
    """Nothing is understood any more at a line rate that was agreed on."""


class Device:
    """Speaks the protocol over a transport; every error of the line or the device is a Problem with exit code 3.

    A line that goes and comes back and a device that restarts cost time only: the device is asked who it is, and what
    was under way is sent again. It must be the same firmware as before.
    """

    def __init__(self, transport: Transport, waits: Waits | None = None) -> None:
        self._frames = Frames(transport)
        self._waits = waits
        self._seq = secrets.randbelow(wire.UNTRUSTED_SEQ)  # an answer to an earlier session is then known as stale
        self._flight = Flight()
        self._answers: deque[Answer] = deque()
        self._info: Info | None = None
        self._baud: tuple[int, int] | None = None  # agreed on, and the one before

    @property
    def name(self) -> str:
        """The port, as it is called now."""
        return self._frames.name

    @property
    def stats(self) -> LinkStats:
        """What happened on the line so far."""
        return self._frames.stats

    @property
    def noise_bytes(self) -> int:
        """Bytes that were no frames, since the line was opened."""
        return self._frames.noise_bytes

    def hello(self, seconds: float | None = None) -> Info:
        """Ask who is there, again and again while the board may still be starting."""
        seconds = seconds or HELLO_SECONDS
        seq, end = self._next_seq(), time.monotonic() + seconds
        question = b"\0" + wire.encode(Frame(wire.HELLO, seq, bytes([wire.PROTOCOL])))
        while time.monotonic() < end:
            if not self._frames.waiting:
                self._frames.queue(question)
            again = min(end, time.monotonic() + HELLO_EVERY)
            while (left := again - time.monotonic()) > 0:
                troubles = self.stats.refused + self.stats.damaged
                for frame in self._frames.receive(left):
                    if info := self._info_in(frame, seq):
                        self._info = info
                        self._frames.forget_noise()
                        return info
                if self.stats.refused + self.stats.damaged > troubles:
                    again = min(again, time.monotonic() + HELLO_DAMAGED)
        raise self._frames.silence(f"no answer to HELLO in {seconds:g} s")

    def run(self, windows: Iterable[bytes]) -> Iterator[Answer]:
        """Run every window, `credits` at a time, and yield each one's answer once, in the order they arrive."""
        info = self._info or self.hello()
        supply, lost = enumerate(windows), None
        self._flight = Flight(patience=Patience(self._waits))
        try:
            while True:
                try:
                    if lost:
                        self._go_on(lost, info)
                    lost = None
                    self._top_up(supply, info)  # first: the device works while the caller looks at the answers
                    yield from self._landed()
                    if not self._flight:
                        return
                    self._listen(info)
                except (Gone, Restarted, TooFast) as interruption:
                    lost = interruption
        except (Problem, KeyboardInterrupt):
            yield from self._landed()
            raise

    def confirm(self, before: Info) -> None:
        """Ask once more who is there; a Problem when it is not the firmware of `before`."""
        while True:
            try:
                now = self.hello()
                break
            except Gone as gone:
                self._interrupted(gone)
        differs = wire.difference(before, now)
        if not differs:
            return
        what = f"the firmware changed during the run: {differs}"
        raise Problem(self.name, what, "keep other programs off the board and run again", EXIT_DEVICE)

    def ask(self, type_: int, body: bytes, seconds: float) -> Frame:
        """The answer to one frame, asked again when the line loses it; ERROR is an answer too."""
        seq = self._next_seq()  # the same in each try: what was run is answered from memory
        for _ in range(TRIES):
            end = time.monotonic() + seconds
            self._frames.queue(b"\0" + wire.encode(Frame(type_, seq, body)))
            while (left := end - time.monotonic()) > 0:
                refused = self.stats.refused
                for frame in self._frames.receive(left):
                    if frame.seq == seq:
                        return frame
                    untrusted = frame.type == wire.ERROR and frame.seq == wire.UNTRUSTED_SEQ
                    self.stats.refused += untrusted
                    self.stats.stale += not untrusted
                if self.stats.refused > refused:
                    break
            self.stats.retries += 1
        raise self._frames.silence(f"no answer to frame {type_:#04x} in {TRIES} tries")

    def set_baud(self, baud: int, usual: int) -> None:
        """Change this side's line rate; where nothing is understood at it any more, a run goes on at the usual one."""
        self._frames.transport.set_baud(baud)
        self._baud = (baud, usual) if baud != usual else None
        self.stats.baud = baud if baud != usual else self.stats.baud

    def close(self) -> None:
        """Give the line back."""
        self._frames.close()

    def _go_on(self, lost: Gone | Restarted | TooFast, info: Info) -> None:
        """After an interruption: make sure who is there, and send again what was under way."""
        self._interrupted(lost)
        self.confirm(info)
        for sent in self._flight.in_order():
            sent.ends_at = 0
            self._again(sent)

    def _interrupted(self, lost: Gone | Restarted | TooFast) -> None:
        if self.stats.restarts + self.stats.returns >= INTERRUPTIONS:
            raise Problem(lost.where, lost.what, lost.hint, lost.code) from lost
        if isinstance(lost, Gone):
            self._frames.come_back(lost)
            self._baud = None  # the port was opened at the usual rate
        elif isinstance(lost, TooFast) and self._baud:
            self.stats.slower += 1
            self.set_baud(self._baud[1], self._baud[1])
        else:
            self.stats.restarts += 1

    def _landed(self) -> Iterator[Answer]:
        """The answers that are there."""
        while self._answers:
            yield self._answers.popleft()

    def _top_up(self, supply: Iterator[tuple[int, bytes]], info: Info) -> None:
        """Send windows while the device has credits."""
        while len(self._flight) < info.credits and (following := next(supply, None)):
            index, window = following
            if len(window) != info.input_bytes:
                what = f"window {index} has {len(window)} bytes, the device's model takes {info.input_bytes}"
                raise Problem(self.name, what, "build and flash the firmware again", EXIT_DEVICE)
            seq = self._next_seq()
            frame = wire.encode(Frame(wire.RUN, seq, window))
            self._send(Sent(index, seq, frame, zlib.crc32(window)))
        self._frames.push()

    def _listen(self, info: Info) -> None:
        """Wait for bytes or the next deadline, and deal with what came or did not."""
        damaged_before = self.stats.damaged
        frames = self._frames.receive(max(0.0, self._flight.next_deadline() - time.monotonic()))
        suspect = self._flight.oldest() if self.stats.damaged > damaged_before else None
        sends = self._flight.sends
        for frame in frames:
            if frame.type == wire.RESULT:
                self._take_result(frame, info)
            elif frame.type == wire.ERROR:
                suspect = self._take_error(frame) or suspect
            elif frame.type != wire.INFO:  # a second answer to a repeated HELLO is nothing special
                self.stats.stale += 1
        if suspect is None or suspect.seq not in self._flight.under_way:
            suspect = self._flight.overdue(time.monotonic(), self._frames.waiting)
            if suspect and self._baud and suspect.tries >= FAST_TRIES:
                raise TooFast(self.name, f"nothing is understood at {self._baud[0]} baud", "", EXIT_DEVICE)
        if suspect and suspect.order <= sends:  # else it was just sent again for another reason
            self._again(suspect)

    def _take_result(self, frame: Frame, info: Info) -> None:
        sent = self._flight.under_way.get(frame.seq)
        if sent is None:
            self.stats.stale += 1
            return
        try:
            result = wire.parse_result(frame.body, info.output_bytes)
        except ValueError as error:
            raise self._broken(str(error)) from error
        if result.input_crc != sent.input_crc:
            self.stats.wrong_input += 1
            self._again(sent)
            return
        if result.ticks == 0:
            raise Problem(self.name, f"its clock did not advance during window {sent.index}", _CLOCK_HINT, EXIT_DEVICE)
        self._flight.land(frame.seq, time.monotonic())
        self._answers.append(Answer(sent.index, result.ticks, result.output))
        for lost in self._flight.overtaken_by(sent):
            self._again(lost)

    def _take_error(self, frame: Frame) -> Sent | None:
        """The frame that an ERROR most likely refused because the line damaged it; any other error ends the run."""
        try:
            error = wire.parse_error(frame.body)
        except ValueError as broken:
            raise self._broken(str(broken)) from broken
        if frame.seq == wire.UNTRUSTED_SEQ:
            self.stats.refused += 1
            return self._flight.oldest()
        if frame.seq not in self._flight.under_way:
            self.stats.stale += 1
            return None
        if error.code == "session":
            what = f"the device restarted again and again, {self.stats.restarts + 1} times in this run"
            raise Restarted(self.name, what, "a weak supply, a watchdog, or firmware that crashes", EXIT_DEVICE)
        index = self._flight.under_way[frame.seq].index
        kind = "reports a fault at" if error.fault else "refuses"
        hint = _CLOCK_HINT if error.code == "clock" else "build and flash the firmware again"
        raise Problem(self.name, f"the device {kind} window {index}: {error.code}: {error.text}", hint, EXIT_DEVICE)

    def _info_in(self, frame: Frame, seq: int) -> Info | None:
        """The INFO when this frame is the answer to our HELLO, None when it is something else."""
        if frame.type in (wire.HELLO, wire.RUN):
            raise Problem(
                self.name, "the line echoes what is sent", "TX and RX are joined, or a shell is there", EXIT_DEVICE
            )
        if frame.type == wire.ERROR and frame.seq == wire.UNTRUSTED_SEQ:
            self.stats.refused += 1
        elif frame.seq != seq:
            self.stats.stale += 1
        else:
            try:
                if frame.type == wire.INFO:
                    return wire.parse_info(frame.body)
                if frame.type == wire.ERROR:
                    error = wire.parse_error(frame.body)
                    raise self._broken(f"refuses HELLO: {error.code}: {error.text}")
            except ValueError as error:
                raise self._broken(str(error)) from error
        return None

    def _again(self, sent: Sent) -> None:
        """Send a frame once more, or give up on the line."""
        if sent.tries >= TRIES:
            waiting = self._frames.waiting
            stuck = f"; the line takes no more bytes, {waiting} wait" if waiting else ""
            raise self._frames.silence(f"no good answer to window {sent.index} in {TRIES} tries{stuck}")
        self.stats.retries += 1
        self._send(sent, b"\0")  # ends whatever half frame the device still holds

    def _send(self, sent: Sent, before: bytes = b"") -> None:
        if sent.ends_at <= self.stats.sent_bytes:  # else it still waits here and need not be queued twice
            sent.ends_at = self._frames.queue(before + sent.frame)
        self._flight.launch(sent, time.monotonic(), self._frames.waiting)

    def _next_seq(self) -> int:
        self._seq = (self._seq + 1) % wire.UNTRUSTED_SEQ
        return self._seq

    def _broken(self, what: str) -> Problem:
        hint = "firmware and harness are of different versions: build and flash the firmware again"
        return Problem(self.name, f"the device {what}", hint, EXIT_DEVICE)


_CLOCK_HINT = "the port's clock does not count: see port_ticks() in firmware/ports"
