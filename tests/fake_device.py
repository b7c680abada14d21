"""A device in Python on a real pseudo-terminal, with faults to switch on; shares no code with pipeline.wire."""

from __future__ import annotations

import hashlib
import os
import select
import struct
import threading
import time
import tty
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from cobs import cobs

MODEL_ID = hashlib.sha256(b"fake").digest()[:8]


def answer(window: bytes, output_bytes: int) -> bytes:
    """What the fake model computes: the complement of the first bytes."""
    return bytes(255 - byte for byte in window[:output_bytes])


@dataclass
class Faults:
    """What goes wrong; the defaults are a perfect device on a perfect line."""

    silent: bool = False
    greeting: bytes = b""  # said once when the host's first byte arrives
    babble: bytes = b""  # log text before every answer
    drop_sent_every: int = 0  # each Nth byte from the host never arrives
    drop_every: int = 0  # each Nth byte to the host is lost
    flip_every: int = 0  # each Nth byte to the host has a bit flipped
    flip_sent_every: int = 0
    zero_every: int = 0  # after each Nth byte to the host a 0x00 is inserted
    duplicate: bool = False  # every answer twice
    late_duplicate: bool = False  # every answer again after the next one
    reverse: bool = False  # answers of a batch in reversed order
    fault_at: int = -1  # ERROR fault instead of the answer of this RUN
    refuse_at: int = -1  # ERROR refusal (length) with a trusted seq
    die_at: int = -1  # the port vanishes at this RUN
    mute_at: int = -1  # no byte more from this RUN on
    reset_at: int = -1  # forgets all it received, says boot text
    reset_every: int = 0  # the same again and again
    other_firmware: bool = False  # after a reset another model answers
    wrong_crc_at: int = -1  # that many RUNs report a wrong input CRC
    wrong_crc_times: int = 1
    short_at: int = -1  # RESULT one byte short
    wrong_output_at: int = -1  # silently wrong bytes, as a bad kernel gives
    stuck_clock: bool = False
    slow: float = 0.0  # seconds an inference takes
    other_id_after: int = -1  # the model id that HELLO gives after so many RUNs
    hello_error: bool = False
    hello_garbled: bool = False


@dataclass
class FakeDevice:
    """Serves the protocol until close(); `path` is the pty to open."""

    input_bytes: int = 16
    output_bytes: int = 4
    credits: int = 1
    model: str = "demo"
    board: str = "host"
    runtime: str = "compiled"
    model_id: bytes = MODEL_ID
    kernel_version: int = 1
    protocol: int = 1
    clock_kind: int = 2
    clock_hz: int = 1_000_000
    arena: int = 256
    weights: int = 100
    scales: tuple[float, int, float, int] = (0.5, 3, 0.25, -7)
    compute: Callable[[bytes], bytes] | None = None
    rates: list[int] | None = None  # that were agreed on; None: it has one only
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        self.runs = 0  # inferences really made
        self.received = 0  # RUN frames that arrived whole
        self.most_waiting = 0  # most whole frames found in the receive buffer at once
        self._buffer = bytearray()
        self._memory: dict[tuple[int, int], bytes] = {}
        self._counts = {"in": 0, "out": 0}
        self._late = b""
        self._boots = 0
        self._greeted = False
        self._session = False  # HELLO was answered since the last start
        self._muted = False
        self._stop = threading.Event()
        self._master, self._slave = os.openpty()
        self._open = [self._slave, self._master]
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> FakeDevice:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the thread and give the pty back."""
        self._stop.set()
        self._thread.join(10)
        self._close_pty()

    def _close_pty(self) -> None:
        """Once only: the numbers soon belong to other files."""
        open_, self._open = self._open, []
        for descriptor in open_:
            os.close(descriptor)

    def _serve(self) -> None:
        while not self._stop.is_set():
            if not select.select([self._master], [], [], 0.02)[0]:
                continue
            try:
                self._hear(os.read(self._master, 4096))
            except OSError:
                return

    def _hear(self, received: bytes) -> None:
        if self.faults.silent:
            return
        if not self._greeted:
            self._greeted = True
            self._say(self.faults.greeting, raw=True)
        self._buffer += self._line(received, "in", self.faults.drop_sent_every, self.faults.flip_sent_every, 0)
        *blocks, rest = bytes(self._buffer).split(b"\0")
        self._buffer = bytearray(rest)
        blocks = [block for block in blocks if block]
        self.most_waiting = max(self.most_waiting, len(blocks))
        for block in reversed(blocks) if self.faults.reverse else blocks:
            self._frame(block)

    def _frame(self, block: bytes) -> None:
        try:
            content = cobs.decode(block)
            body, crc = content[:-4], struct.unpack("<I", content[-4:])[0]
            type_, seq = struct.unpack_from("<BH", body)
        except (cobs.DecodeError, struct.error):
            self._error(0xFFFF, 0, 1, b"broken frame")
            return
        if zlib.crc32(body) != crc:
            self._error(0xFFFF, 0, 1, b"crc")
        elif type_ == 0x01:
            self._hello(seq)
        elif type_ == 0x02:
            self._run(seq, body[3:])
        elif type_ == 0x06 and self.rates is not None:
            self.rates.append(struct.unpack("<I", body[3:])[0])
            self._send(0x86, seq, body[3:])
        else:
            self._error(seq, 0, 3, b"unknown type")

    def _hello(self, seq: int) -> None:
        self._memory.clear()
        self._session = not self.faults.hello_error
        if self.faults.hello_error:
            self._error(seq, 0, 4, b"protocol 1 is not known")
            return
        changed = 0 <= self.faults.other_id_after <= self.runs or (self.faults.other_firmware and self._boots)
        identity = bytes(8) if changed else self.model_id
        in_scale, in_zero, out_scale, out_zero = self.scales
        numbers = (self.input_bytes, self.output_bytes, self.arena, self.weights, 3, self.kernel_version)
        body = struct.pack("<BBBBI", self.protocol, 1, self.clock_kind, self.credits, self.clock_hz)
        body += (
            struct.pack("<IIIIHH", *numbers) + struct.pack("<fifi", in_scale, in_zero, out_scale, out_zero) + identity
        )
        for text in (self.board, self.model, self.runtime, "fake kernels"):
            body += bytes([len(text)]) + text.encode()
        self._send(0x81, seq, body[:-3] if self.faults.hello_garbled else body)

    def _run(self, seq: int, window: bytes) -> None:
        number, faults = self.received, self.faults
        self.received += 1
        self._muted = self._muted or number == faults.mute_at
        if number == faults.die_at:
            self._vanish()
        elif number == faults.reset_at or (
            faults.reset_every and number % faults.reset_every == faults.reset_every - 1
        ):
            self._reset()
        elif not self._session:
            self._error(seq, 0, 7, b"HELLO comes first")
        elif number == faults.fault_at:
            self._error(seq, 1, 5, b"tensor arena too small")
        elif number == faults.refuse_at:
            self._error(seq, 0, 2, b"16 bytes wanted")
        elif len(window) != self.input_bytes:
            self._error(seq, 0, 2, b"length")
        else:
            self._send(0x82, seq, self._result(seq, window, number))

    def _vanish(self) -> None:
        self._stop.set()
        self._close_pty()

    def _reset(self) -> None:
        self._buffer.clear()
        self._memory.clear()
        self._session = False
        self._boots += 1
        time.sleep(0.05)
        self._say(b"rst:0x1 (POWERON_RESET)\r\nboot ok\r\n", raw=True)

    def _result(self, seq: int, window: bytes, number: int) -> bytes:
        faults, crc = self.faults, zlib.crc32(window)
        body = self._memory.get((seq, crc))
        if body is None:
            time.sleep(faults.slow)
            self.runs += 1
            output = self.compute(window) if self.compute else answer(window, self.output_bytes)
            if number == faults.wrong_output_at:
                output = bytes([output[0] ^ 1]) + output[1:]
            body = struct.pack("<II", 0 if faults.stuck_clock else 1000 + self.runs, crc) + output
            self._memory[seq, crc] = body
            while len(self._memory) > self.credits:
                del self._memory[next(iter(self._memory))]
        if 0 <= number - faults.wrong_crc_at < faults.wrong_crc_times and faults.wrong_crc_at >= 0:
            return body[:4] + bytes(4) + body[8:]
        return body[:-1] if number == faults.short_at else body

    def _error(self, seq: int, kind: int, code: int, text: bytes) -> None:
        self._send(0x8F, seq, bytes([kind, code]) + text)

    def _send(self, type_: int, seq: int, body: bytes) -> None:
        content = struct.pack("<BH", type_, seq) + body
        frame = cobs.encode(content + struct.pack("<I", zlib.crc32(content))) + b"\0"
        self._say(self.faults.babble)
        self._say(frame)
        if self.faults.duplicate:
            self._say(frame)
        if self.faults.late_duplicate:
            self._say(self._late)
            self._late = frame

    def _say(self, text: bytes, raw: bool = False) -> None:
        faults = self.faults
        if self._muted or self._stop.is_set():
            return
        if not raw:
            text = self._line(text, "out", faults.drop_every, faults.flip_every, faults.zero_every)
        while text:
            text = text[os.write(self._master, text) :]

    def _line(self, text: bytes, way: str, drop: int, flip: int, zero: int) -> bytes:
        """The bytes as a bad line delivers them."""
        if not (drop or flip or zero):
            return text
        arrived = bytearray()
        for byte in text:
            self._counts[way] += 1
            count = self._counts[way]
            if drop and count % drop == 0:
                continue
            arrived.append(byte ^ (1 << count % 8) if flip and count % flip == 0 else byte)
            if zero and count % zero == 0:
                arrived.append(0)
        return bytes(arrived)
