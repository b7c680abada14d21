"""Frames to and from a transport: what waits to be sent, what has come, what happened on the line."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pipeline import wire
from pipeline.noise import describe, likely_cause
from pipeline.problem import EXIT_DEVICE, Problem
from pipeline.transport import Gone, Transport
from pipeline.wire import Frame

RETURN_SECONDS = 15.0  # a cable plugged back, a board that boots and enumerates again
RETURN_EVERY = 0.1


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
    restarts: int = 0  # the device forgot that it had been greeted
    returns: int = 0  # the port was gone and came back
    baud: int = 0  # the rate agreed on, 0: the usual one
    slower: int = 0  # the line went back to its usual rate


class Frames:
    """Sends and receives whole frames; a line that is gone is a Gone, whatever else is wrong is only counted."""

    def __init__(self, transport: Transport) -> None:
        self.stats = LinkStats()
        self.transport = transport
        self._splitter = wire.Splitter()
        self._outbox = bytearray()
        self._early = b""  # received while sending, not yet looked at
        self._damaged_before = 0  # by splitters of earlier openings

    @property
    def name(self) -> str:
        """The port, as it is called now."""
        return self.transport.name

    @property
    def waiting(self) -> int:
        """Bytes that have not left this machine."""
        return len(self._outbox)

    @property
    def noise_bytes(self) -> int:
        """Bytes that were no frames, since the line was opened."""
        return self._splitter.noise_bytes

    def queue(self, content: bytes) -> int:
        """Put bytes behind those that wait; returns how many bytes must have left in all for these to be gone."""
        self._outbox += content
        return self.stats.sent_bytes + len(self._outbox)

    def push(self) -> None:
        """Send what the line takes at once."""
        if self._outbox:
            self._early += self._exchange(0.0)

    def receive(self, timeout: float) -> list[Frame]:
        """Frames that arrive within `timeout` seconds, as soon as there are bytes."""
        received, self._early = self._early, b""
        received = received or self._exchange(timeout)
        self.stats.received_bytes += len(received)
        frames = self._splitter.feed(received)
        self.stats.damaged = self._damaged_before + self._splitter.damaged
        return frames

    def forget_noise(self) -> None:
        """What came so far is not the fault of what comes after."""
        self._splitter.forget_noise()

    def come_back(self, gone: Gone) -> None:
        """Wait until a line that is gone can be opened again; else the reason why it was gone, and that it stayed."""
        if not self.transport.returns:
            raise Problem(gone.where, gone.what, gone.hint, gone.code) from gone
        end = time.monotonic() + RETURN_SECONDS
        while time.monotonic() < end:
            time.sleep(RETURN_EVERY)
            try:
                self.transport.reopen()
            except Problem:
                continue
            self.stats.returns += 1
            self._outbox.clear()
            self._early, self._splitter = b"", wire.Splitter()
            self._damaged_before = self.stats.damaged
            return
        what = f"{gone.what}, and did not come back in {RETURN_SECONDS:g} s"
        raise Problem(gone.where, what, gone.hint, gone.code) from gone

    def silence(self, what: str) -> Problem:
        """The Problem for an answer that did not come: what the line did instead, and what that usually means."""
        noise, stats = self._splitter.noise(), self.stats
        troubles = {
            "answers damaged": stats.damaged,
            "frames refused": stats.refused,
            "wrong inputs": stats.wrong_input,
            "restarts": stats.restarts,
        }
        counts = ", ".join(f"{count} {trouble}" for trouble, count in troubles.items() if count)
        return Problem(
            self.name, f"{what}{counts and f' ({counts})'}; {describe(noise)}", likely_cause(noise), EXIT_DEVICE
        )

    def close(self) -> None:
        """Give the line back."""
        self.transport.close()

    def _exchange(self, timeout: float) -> bytes:
        waiting = len(self._outbox)
        received = self.transport.exchange(self._outbox, timeout)
        self.stats.sent_bytes += waiting - len(self._outbox)
        return received
