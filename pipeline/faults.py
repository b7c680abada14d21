"""A line that does harm on purpose: a transport around a transport, between the harness and a device that is right."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from random import Random

from pipeline import wire
from pipeline.problem import EXIT_DEVICE, Problem
from pipeline.transport import Gone, Transport
from pipeline.wire import Frame

TO, FROM = "to the device", "from the device"

# Bytes, in either direction.
LINE = {
    "flip": "a flipped bit",
    "drop": "a lost byte",
    "double": "a doubled byte",
    "insert": "an inserted byte",
    "zero": "an inserted 0x00",
    "swap": "two bytes swapped",
    "burst": "a burst of noise",
    "cut": "a run of bytes lost",
}
# Frames, the port, and the device itself: the run goes on and every byte is right.
SURVIVED = {
    "lose": "a frame lost",
    "repeat": "a frame twice",
    "late": "an answer that comes late",
    "stall": "a line that stalls",
    "log": "a line of a log",
    "noise": "noise between frames",
    "restart": "a restart",
    "half": "a restart within a frame",
    "unplug": "a port that goes and returns",
    "seq": "an answer under another seq",
    "input": "a window damaged in the device",
}
# The device is wrong: the verdict must not be a pass.
FATAL = {
    "exchange": "other firmware after a restart",
    "byte": "a wrong byte in an answer",
    "other": "another window's result",
    "clock": "a clock that stands",
    "fault": "a fault of the runtime",
}
WORDS = {**LINE, **SURVIVED, **FATAL}
HARMLESS = {"repeat", "late", "stall", "log", "zero", "double", "insert"}  # may pass without a trace

_BOOT = b"\r\nets Jul 29 2019 12:21:46\r\nrst:0x1 (POWERON_RESET),boot:0x13\r\n\x80\xf8\x00\x1e"
_LOGS = (b"I (4711) wifi: reconnect\r\n", b"watchdog fed\n", b"[warn] low battery 3.31 V\r\n")


class Harm:
    """Damages one of every `every` bytes or so (exponentially distributed) in the ways of `kinds`."""

    def __init__(self, kinds: tuple[str, ...], every: float, chance: Random, counts: Counter[str]) -> None:
        self._kinds, self._every, self._chance, self._counts = kinds, every, chance, counts
        self._gap = self._draw()

    def apply(self, text: bytes) -> bytes:
        """The bytes as they arrive."""
        if not self._kinds:
            return text
        arrived, at = bytearray(), 0
        while len(text) - at > self._gap:
            arrived += text[at : at + self._gap]
            at += self._gap
            kind = self._chance.choice(self._kinds)
            taken, put = self._fault(kind, text[at : at + 40])
            self._counts[kind] += put != text[at : at + taken]
            arrived += put
            at += taken
            self._gap = self._draw()
        self._gap -= len(text) - at
        return bytes(arrived + text[at:])

    def _draw(self) -> int:
        return 1 + int(self._chance.expovariate(1 / self._every)) if self._kinds else 0

    def _fault(self, kind: str, rest: bytes) -> tuple[int, bytes]:
        """How many of the next bytes are taken away, and what comes in their place."""
        chance, first = self._chance, rest[:1]
        if kind == "flip":
            return 1, bytes([first[0] ^ 1 << chance.randrange(8)])
        if kind in ("burst", "cut"):
            count = min(len(rest), chance.randint(2, 40))
            return count, chance.randbytes(count) if kind == "burst" else b""
        ways = {
            "drop": (1, b""),
            "double": (1, first * 2),
            "insert": (0, bytes([chance.randint(1, 255)])),
            "zero": (0, b"\0"),
            "swap": (2, rest[1:2] + first),
        }
        return ways[kind]


class Faulty:
    """A transport with faults `to` and `from_` in the bytes each way and of `kinds` in the frames, all in `counts`.

    `power_cycle` gives a device anew at another port; without it, a restart is acted: frames of the session before are
    dropped, and windows are refused as a device does that was not greeted.
    """

    returns = True

    def __init__(
        self,
        inner: Transport,
        chance: Random,
        to: tuple[str, ...] = (),
        from_: tuple[str, ...] = (),
        kinds: tuple[str, ...] = (),
        every: tuple[float, float] = (1000.0, 1000.0),
        power_cycle: Callable[[], Transport] | None = None,
    ) -> None:
        self.name, self.counts, self.armed = inner.name, Counter[str](), False
        self.inner, self._chance, self._kinds, self._power_cycle = inner, chance, kinds, power_cycle
        self._to = Harm(to, every[0], chance, self.counts)
        self._from = Harm(from_, every[1], chance, self.counts)
        self._apart = 25 if {"restart", "half", "unplug"} & set(kinds) else 6
        self._due = chance.randint(1, self._apart)  # frames until the next fault
        self._to_device, self._to_host = bytearray(), bytearray()
        self._half: dict[str, bytes] = {TO: b"", FROM: b""}
        self._held: deque[tuple[float, bytes]] = deque()
        self._still_until = self._dead_until = 0.0
        self._boots = self._exchanged = self._gone = False
        self._restarted, self._greeting, self._last = False, -1, b""

    def exchange(self, outgoing: bytearray, timeout: float) -> bytes:
        """See Transport."""
        end = time.monotonic() + timeout
        while True:
            if outgoing:
                self._hear(bytes(outgoing[:4096]))
                del outgoing[:4096]
            self._check_port()
            now = time.monotonic()
            if now < self._still_until:
                time.sleep(min(self._still_until, end) - now if end > now else 0)
            else:
                left = max(0.0, min(end - now, 0.005 if self._held or now < self._dead_until else 1e9))
                self._say(self.inner.exchange(self._to_device, left))
            self._tick()
            if self._to_host or time.monotonic() >= end:
                said = bytes(self._to_host)
                self._to_host.clear()
                return said

    def reopen(self) -> None:
        """See Transport: not at once, then at another name; the device has restarted."""
        if self._chance.random() < 0.3:
            raise Problem(self.name, "there is no such port", "", EXIT_DEVICE)
        if self._power_cycle:
            self.inner = self._power_cycle()
        elif self.inner.returns:
            self.inner.reopen()
        self._gone, self.name = False, f"{self.inner.name} again"
        self._half = {TO: b"", FROM: b""}
        self._to_device.clear()
        self._restarted = True

    def set_baud(self, baud: int) -> None:
        """See Transport."""
        self.inner.set_baud(baud)

    def close(self) -> None:
        """The inner transport stays open for the next one."""

    # What passes

    def _hear(self, text: bytes) -> None:
        """Bytes of the host, through the line, then frame by frame."""
        for block in self._blocks(TO, self._to.apply(text) if self.armed else text):
            self._to_device += self._from_host(block)

    def _say(self, text: bytes) -> None:
        """Bytes of the device, frame by frame, then through the line."""
        said = b"".join(self._from_device(block) for block in self._blocks(FROM, text))
        self._to_host += self._from.apply(said) if self.armed else said

    def _blocks(self, way: str, text: bytes) -> list[bytes]:
        *whole, self._half[way] = (self._half[way] + text).split(b"\0")
        return [block + b"\0" for block in whole]

    def _from_host(self, block: bytes) -> bytes:
        frame = wire.decode(block[:-1])
        if time.monotonic() < self._dead_until:
            return b""
        if frame and frame.type == wire.HELLO:
            self._greeting = frame.seq
        elif frame and self._restarted:
            self._to_host += wire.encode(Frame(wire.ERROR, frame.seq, b"\x00\x07HELLO comes first"))
            return b""
        return self._fault_of_host(block) if frame and frame.type == wire.RUN else block

    def _from_device(self, block: bytes) -> bytes:
        frame = wire.decode(block[:-1])
        if time.monotonic() < self._dead_until:
            return b""
        if self._restarted:
            if not frame or frame.type != wire.INFO or frame.seq != self._greeting:
                return b""  # of the session before
            self._restarted = False
        if frame and frame.type == wire.INFO and self._exchanged:
            return wire.encode(Frame(frame.type, frame.seq, self._another(frame.body)))
        return self._fault_of_device(block, frame) if frame and frame.type == wire.RESULT else block

    # What goes wrong

    def _next(self, kinds: tuple[str, ...]) -> str:
        """The fault of this frame, most often none."""
        if not self.armed or not kinds or self._exchanged or self._gone:
            return ""
        self._due -= 1
        if self._due > 0:
            return ""
        self._due = self._chance.randint(1, self._apart)
        return self._chance.choice(kinds)

    def _fault_of_host(self, block: bytes) -> bytes:
        chosen = {"lose", "repeat", "stall", "restart", "half", "unplug", "exchange"} & set(self._kinds)
        kind = self._next(tuple(sorted(chosen)))
        self.counts[kind] += 1
        if kind in ("restart", "half", "exchange"):
            self._restart()
            self._exchanged = kind == "exchange"  # and that is all that happens then
            return block[: len(block) // 2] if kind == "half" else b""
        if kind == "stall":
            self._still_until = time.monotonic() + self._chance.uniform(0.001, 0.15)
        self._gone = self._gone or kind == "unplug"
        return {"lose": b"", "repeat": block * 2, "unplug": b""}.get(kind, block)

    def _fault_of_device(self, block: bytes, frame: Frame) -> bytes:
        chosen = {"lose", "repeat", "late", "log", "noise", "seq", "input", "byte", "other", "clock", "fault"}
        kind = self._next(tuple(sorted(chosen & set(self._kinds))))
        ticks, output, before = frame.body[:4], frame.body[8:], self._last
        self._last = output
        if kind == "other" and before in (b"", output):
            self._due, kind = 1, ""
        self.counts[kind] += 1
        if kind == "late":
            self._held.append((time.monotonic() + self._chance.uniform(0.001, 0.2), block))
            return b""
        noise = bytes(self._chance.randint(1, 255) for _ in range(self._chance.randint(1, 60)))
        other = bytes([output[0] ^ 1 << self._chance.randrange(8)]) + output[1:]
        body = {
            "input": ticks + self._chance.randbytes(4) + output,
            "byte": frame.body[:8] + other,
            "other": frame.body[:8] + before,
            "clock": bytes(4) + frame.body[4:],
        }
        changed = {
            "lose": b"",
            "repeat": block * 2,
            "log": self._chance.choice(_LOGS) + block,
            "noise": noise + block,
            "seq": wire.encode(Frame(frame.type, (frame.seq + 1) % wire.UNTRUSTED_SEQ, frame.body)),
            "fault": wire.encode(Frame(wire.ERROR, frame.seq, b"\x01\x05out of memory")),
        }
        if kind in body:
            return wire.encode(Frame(frame.type, frame.seq, body[kind]))
        return changed.get(kind, block)

    def _another(self, body: bytes) -> bytes:
        """INFO of firmware that another model or another compiler made."""
        at = 44 if self._chance.random() < 0.5 else len(body) - 1  # in the model id; in the kernel build
        return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]

    def _restart(self) -> None:
        self._dead_until = time.monotonic() + self._chance.uniform(0.001, 0.05)
        self._restarted = self._boots = True
        self._to_device.clear()
        self._half[FROM] = b""

    def _check_port(self) -> None:
        if self._gone:
            raise Gone(self.name, "the line is gone", "", EXIT_DEVICE)

    def _tick(self) -> None:
        """What happens by the clock: a boot text, held answers."""
        now = time.monotonic()
        if self._boots and now >= self._dead_until:
            self._boots = False
            self._to_host += _BOOT
        while self._held and self._held[0][0] <= now:
            self._to_host += self._held.popleft()[1]


def settle(transport: Transport, seconds: float = 0.02) -> None:
    """Read away what is still under way."""
    while transport.exchange(bytearray(), seconds):
        pass
