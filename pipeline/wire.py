"""The wire protocol of firmware/core/PROTOCOL.md: frames and bodies as bytes, nothing about ports or time."""

from __future__ import annotations

import dataclasses
import math
import struct
import zlib
from dataclasses import dataclass

from cobs import cobs

PROTOCOL = 1
HELLO, RUN, LAYERS, TENSOR, STACK, BAUD, STREAM = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07
INFO, RESULT, LAYERS_ANSWER, TENSOR_ANSWER, STACK_ANSWER, ERROR = 0x81, 0x82, 0x83, 0x84, 0x85, 0x8F
BAUD_ANSWER = 0x86
UNTRUSTED_SEQ = 0xFFFF  # the device's answer to a frame whose seq it could not read

CLOCKS = {1: "cycles", 2: "microseconds"}
RESETS = {0: "unknown", 1: "power-on", 2: "reset pin", 3: "software", 4: "watchdog"}
ERRORS = {1: "crc", 2: "length", 3: "type", 4: "protocol", 5: "runtime", 6: "clock", 7: "session", 8: "step", 9: "baud"}
FAULT = 1  # kind of an ERROR: 0 refuses one frame, 1 is a fault of the device

_HEAD = struct.Struct("<BH")
_CRC = struct.Struct("<I")
_RESULT = struct.Struct("<II")
_RECORD = struct.Struct("<II")
_PART = struct.Struct("<HHIH")
_SIZE = struct.Struct("<II")
_INFO = struct.Struct("<BBBBIIIIIHHfifi8s")
_NOISE_KEPT = 512
_LONGEST_BLOCK = 1 << 20
_LOG_LINES = 64  # so many line ends are tried as the start of a frame


@dataclass(frozen=True)
class Frame:
    """One frame without its CRC: type, seq (echoed by the device) and body."""

    type: int
    seq: int
    body: bytes = b""


@dataclass(frozen=True)
class Info:
    """What a device says of itself: its model and board, sizes in bytes, quantization, clock, credits."""

    protocol: int
    reset_cause: str
    clock_kind: str
    credits: int
    clock_hz: int
    input_bytes: int
    output_bytes: int
    arena_bytes: int
    weights_bytes: int
    operators: int
    kernel_version: int
    input_scale: float
    input_zero_point: int
    output_scale: float
    output_zero_point: int
    model_id: str
    board: str
    model: str
    runtime: str
    kernel_build: str


@dataclass(frozen=True)
class Result:
    """One answered window: clock ticks of the inference, CRC-32 of the input as the device had it, int8 output."""

    ticks: int
    input_crc: int
    output: bytes


@dataclass(frozen=True)
class Error:
    """The device's own error: a fault of the device or the refusal of one frame, its code's name, its words."""

    fault: bool
    code: str
    text: str


def encode(frame: Frame) -> bytes:
    """The bytes that go over the line, ending in 0x00."""
    content = _HEAD.pack(frame.type, frame.seq) + frame.body
    return bytes(cobs.encode(content + _CRC.pack(zlib.crc32(content)))) + b"\0"


def decode(block: bytes) -> Frame | None:
    """The frame in what stood between two 0x00, or None when it is not one or was damaged on the way."""
    try:
        content = cobs.decode(block)
    except cobs.DecodeError:
        return None
    if len(content) < _HEAD.size + _CRC.size:
        return None
    body_end = len(content) - _CRC.size
    if _CRC.unpack_from(content, body_end)[0] != zlib.crc32(content[:body_end]):
        return None
    type_, seq = _HEAD.unpack_from(content)
    return Frame(type_, seq, content[_HEAD.size : body_end])


def parse_info(body: bytes) -> Info:
    """INFO's body; ValueError says what is wrong with it."""
    if len(body) < 1 or body[0] != PROTOCOL:
        raise ValueError(f"speaks protocol {body[0] if body else 'none'}, this harness speaks {PROTOCOL}")
    if len(body) < _INFO.size:
        raise ValueError(f"sent an INFO of {len(body)} bytes, at least {_INFO.size} are needed")
    protocol, reset, clock, *numbers, model_id = _INFO.unpack_from(body)
    names = RESETS.get(reset, RESETS[0]), CLOCKS.get(clock, f"unknown ({clock})")
    info = Info(*[protocol, *names, *numbers, model_id.hex(), *_strings(body[_INFO.size :], 4)])
    _check_info(info)
    return info


def difference(before: Info, after: Info) -> str:
    """In words, the first fact in which two INFOs differ, but for the reset; nothing when they are of one firmware."""
    if before.model_id != after.model_id:
        return f"it was {before.model_id[:8]}, now it is {after.model_id[:8]}"
    for fact in dataclasses.fields(Info):
        was, is_ = getattr(before, fact.name), getattr(after, fact.name)
        if was != is_ and fact.name != "reset_cause":
            return f"its {fact.name.replace('_', ' ')} was {was}, now it is {is_}"
    return ""


def parse_result(body: bytes, output_bytes: int) -> Result:
    """RESULT's body; ValueError when its output is not exactly `output_bytes` long."""
    if len(body) != _RESULT.size + output_bytes:
        raise ValueError(f"answered {len(body) - _RESULT.size} output bytes, its INFO says {output_bytes}")
    ticks, input_crc = _RESULT.unpack_from(body)
    return Result(ticks, input_crc, body[_RESULT.size :])


def ask_tensor(window: bytes, maker: int, when: int, offset: int, count: int) -> bytes:
    """TENSOR's body: `count` bytes from `offset` of what step `maker` wrote, as they are behind step `when`."""
    return window + _PART.pack(maker & 0xFFFF, when & 0xFFFF, offset, count)


def parse_layers(body: bytes, window: bytes) -> list[tuple[int, int]]:
    """(ticks, CRC-32 of the output) of every step; ValueError when they are of another window."""
    _check_input(body, window)
    if (len(body) - 4) % _RECORD.size:
        raise ValueError(f"answered {len(body)} bytes to LAYERS, which are no whole number of steps")
    return list(_RECORD.iter_unpack(body[4:]))


def parse_tensor(body: bytes, window: bytes) -> tuple[int, bytes]:
    """(size of the whole tensor, the bytes asked for); ValueError when they are of another window."""
    _check_input(body, window)
    if len(body) < _SIZE.size:
        raise ValueError(f"answered {len(body)} bytes to TENSOR, at least {_SIZE.size} are needed")
    return int(_SIZE.unpack_from(body)[1]), body[_SIZE.size :]


def parse_stack(body: bytes) -> tuple[int, int]:
    """(bytes of the stack, most that were ever in use)."""
    if len(body) != _SIZE.size:
        raise ValueError(f"answered {len(body)} bytes to STACK, {_SIZE.size} are needed")
    size, used = _SIZE.unpack(body)
    return int(size), int(used)


def _check_input(body: bytes, window: bytes) -> None:
    if body[:4] != _CRC.pack(zlib.crc32(window)):
        raise ValueError("looked at another window than it was asked about")


def parse_error(body: bytes) -> Error:
    """ERROR's body; ValueError when it is too short to have a kind and a code."""
    if len(body) < 2:
        raise ValueError(f"sent an ERROR of {len(body)} bytes, at least 2 are needed")
    text = body[2:].decode("ascii", "backslashreplace")
    return Error(body[0] == FAULT, ERRORS.get(body[1], f"code {body[1]}"), text)


def _strings(rest: bytes, count: int) -> list[str]:
    """`count` strings, each a length byte and that many ASCII bytes, and nothing after them."""
    texts = []
    for _ in range(count):
        end = 1 + rest[0] if rest else 0
        if not rest or len(rest) < end:
            raise ValueError("sent an INFO whose strings are cut short")
        texts.append(rest[1:end].decode("ascii", "backslashreplace"))
        rest = rest[end:]
    if rest:
        raise ValueError(f"sent an INFO with {len(rest)} bytes too many")
    return texts


def _check_info(info: Info) -> None:
    """Refuse an INFO that cannot be worked with."""
    scales = (info.input_scale, info.output_scale)
    if info.clock_kind not in CLOCKS.values():
        raise ValueError(f"counts by a clock of {info.clock_kind} kind, known are {', '.join(CLOCKS.values())}")
    if info.clock_hz == 0:
        raise ValueError("has a clock of 0 Hz: its latencies would mean nothing")
    if info.credits == 0:
        raise ValueError("gives no credits: it could never be sent a window")
    if info.input_bytes == 0 or info.output_bytes == 0:
        raise ValueError(f"has a model of {info.input_bytes} input and {info.output_bytes} output bytes")
    if not all(math.isfinite(scale) and scale > 0 for scale in scales):
        raise ValueError(f"has quantization scales {scales[0]:g} and {scales[1]:g}: they must be positive")


class Splitter:
    """Cuts a stream of bytes into frames; what was no frame is counted and its end kept, for error messages."""

    def __init__(self) -> None:
        self.damaged = 0  # blocks between two 0x00 that were no whole frame
        self.noise_bytes = 0
        self._pending = bytearray()
        self._noise = bytearray()

    def feed(self, received: bytes) -> list[Frame]:
        """The frames completed by `received`, in order."""
        *blocks, rest = received.split(b"\0")
        frames = []
        for block in blocks:
            if self._pending:
                block = bytes(self._pending) + block
                self._pending.clear()
            if block:
                frames += self._read(block)
        self._pending += rest
        if len(self._pending) > _LONGEST_BLOCK:
            self._keep(bytes(self._pending))
            self._pending.clear()
        return frames

    def _read(self, block: bytes) -> list[Frame]:
        """The frame in a block, alone or behind lines of a log that the firmware wrote to the same UART."""
        start = 0
        for _ in range(_LOG_LINES):
            frame = decode(block[start:])
            if frame is not None:
                self._keep(block[:start])
                return [frame]
            start = block.find(b"\n", start) + 1
            if start == 0:
                break
        self.damaged += 1
        self._keep(block)
        return []

    def noise(self) -> bytes:
        """The last bytes that were no frame, the unfinished block included."""
        return bytes(self._noise + self._pending)[-_NOISE_KEPT:]

    def forget_noise(self) -> None:
        """Start collecting anew (what came before the handshake is not the fault of what comes after)."""
        self._noise.clear()

    def _keep(self, block: bytes) -> None:
        self.noise_bytes += len(block)
        self._noise = (self._noise + block)[-_NOISE_KEPT:]
