"""A device at the end of a transport: handshake, and windows run through it, each accounted for exactly once."""

from __future__ import annotations

import secrets
import time
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline import wire
from pipeline.flight import TRIES, Flight, Sent
from pipeline.noise import describe, likely_cause
from pipeline.problem import EXIT_DEVICE, Problem
from pipeline.transport import Transport
from pipeline.wire import Frame, Info

HELLO_SECONDS = 8.0  # an AVR bootloader takes 1 s, an ESP32 with log 2 s
HELLO_EVERY = 0.5
HELLO_REFUSED = 0.05  # sooner when the device is there and could not read it


@dataclass(frozen=True)
class Answer:
    """The device's answer to the window of this index: clock ticks of the inference and the int8 output."""

    index: int
    ticks: int
    output: bytes


@dataclass
class LinkStats:
    """What happened on the line."""

    sent_bytes: int = 0
    received_bytes: int = 0
    retries: int = 0  # frames sent again
    damaged: int = 0  # blocks from the device that were no whole frame
    refused: int = 0  # frames the device could not read
    stale: int = 0  # answers nobody waited for: duplicates, or of an earlier session
    wrong_input: int = 0  # answers whose input CRC is not that of the window sent


class Device:
    """Speaks the protocol over a transport; every error of the line or the device is a Problem with exit code 3."""

    def __init__(self, transport: Transport) -> None:
        self.name = transport.name
        self.stats = LinkStats()
        self._transport = transport
        self._splitter = wire.Splitter()
        self._outbox = bytearray()
        self._early = b""  # received while sending, not yet looked at
        self._seq = secrets.randbelow(wire.UNTRUSTED_SEQ)  # an answer to an earlier session is then known as stale
        self._flight = Flight()
        self._answers: deque[Answer] = deque()
        self._info: Info | None = None

    def hello(self, seconds: float | None = None) -> Info:
        """Ask who is there, again and again while the board may still be starting."""
        seconds = seconds or HELLO_SECONDS
        seq, end = self._next_seq(), time.monotonic() + seconds
        question = b"\0" + wire.encode(Frame(wire.HELLO, seq, bytes([wire.PROTOCOL])))
        while time.monotonic() < end:
            if not self._outbox:
                self._outbox += question
            again = min(end, time.monotonic() + HELLO_EVERY)
            while (left := again - time.monotonic()) > 0:
                refused = self.stats.refused
                for frame in self._receive(left):
                    if info := self._info_in(frame, seq):
                        self._info = info
                        self._splitter.forget_noise()
                        return info
                if self.stats.refused > refused:
                    again = min(again, time.monotonic() + HELLO_REFUSED)
        raise self._silence(f"no answer to HELLO in {seconds:g} s")

    def run(self, windows: Iterable[bytes]) -> Iterator[Answer]:
        """Run every window, `credits` at a time, and yield each one's answer once, in the order they arrive."""
        info = self._info or self.hello()
        supply = enumerate(windows)
        self._flight = Flight()
        try:
            while True:
                self._top_up(supply, info)  # first, so that the device works while the caller looks at the answers
                yield from self._landed()
                if not self._flight:
                    return
                self._listen(info)
        except (Problem, KeyboardInterrupt):
            yield from self._landed()
            raise

    def close(self) -> None:
        """Give the line back."""
        self._transport.close()

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
        if self._outbox:
            self._early += self._exchange(0.0)

    def _listen(self, info: Info) -> None:
        """Wait for bytes or the next deadline, and deal with what came or did not."""
        damaged_before = self.stats.damaged
        frames = self._receive(max(0.0, self._flight.next_deadline() - time.monotonic()))
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
            suspect = self._flight.overdue(time.monotonic(), len(self._outbox))
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
            stuck = f"; the line takes no more bytes, {len(self._outbox)} wait" if self._outbox else ""
            raise self._silence(f"no good answer to window {sent.index} in {TRIES} tries{stuck}")
        self.stats.retries += 1
        self._send(sent, b"\0")  # ends whatever half frame the device still holds

    def _send(self, sent: Sent, before: bytes = b"") -> None:
        if sent.ends_at <= self.stats.sent_bytes:  # else it still waits here and need not be queued twice
            self._outbox += before + sent.frame
            sent.ends_at = self.stats.sent_bytes + len(self._outbox)
        self._flight.launch(sent, time.monotonic(), len(self._outbox))

    def _receive(self, timeout: float) -> list[Frame]:
        """Frames that arrive within `timeout` seconds, as soon as there are bytes."""
        received, self._early = self._early, b""
        received = received or self._exchange(timeout)
        self.stats.received_bytes += len(received)
        frames = self._splitter.feed(received)
        self.stats.damaged = self._splitter.damaged
        return frames

    def _exchange(self, timeout: float) -> bytes:
        waiting = len(self._outbox)
        received = self._transport.exchange(self._outbox, timeout)
        self.stats.sent_bytes += waiting - len(self._outbox)
        return received

    def _next_seq(self) -> int:
        self._seq = (self._seq + 1) % wire.UNTRUSTED_SEQ
        return self._seq

    def _silence(self, what: str) -> Problem:
        noise, stats = self._splitter.noise(), self.stats
        troubles = {
            "answers damaged": stats.damaged,
            "frames refused": stats.refused,
            "wrong inputs": stats.wrong_input,
        }
        counts = ", ".join(f"{count} {trouble}" for trouble, count in troubles.items() if count)
        return Problem(
            self.name, f"{what}{counts and f' ({counts})'}; {describe(noise)}", likely_cause(noise), EXIT_DEVICE
        )

    def _broken(self, what: str) -> Problem:
        hint = "firmware and harness are of different versions: build and flash the firmware again"
        return Problem(self.name, f"the device {what}", hint, EXIT_DEVICE)


_CLOCK_HINT = "the port's clock does not count: see port_ticks() in firmware/ports"
