"""A small project around the echo runtime, and a bare host side of the protocol, for tests of the firmware."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import zlib
from pathlib import Path

import pytest
import serial
from cobs import cobs

PROJECT = Path(__file__).resolve().parents[1]
FIXTURES = PROJECT / "tests" / "fixtures"
HELLO, RUN, INFO, RESULT, ERROR = 0x01, 0x02, 0x81, 0x82, 0x8F
RUNTIMES = re.compile("^runtimes = .*$", re.MULTILINE)  # a board may be fit for some only; this one is for any
INPUT_BYTES, OUTPUT_BYTES = 24, 16


def make_project(folder: Path, board: str) -> Path:
    """A project whose only model is `echo`, generated for `board`; build it with `--runtime echo`."""
    shutil.copytree(PROJECT / "boards", folder / "boards")
    for path in (folder / "boards").glob("*.toml"):
        path.write_text(RUNTIMES.sub("", path.read_text()))
    shutil.copytree(PROJECT / "firmware", folder / "firmware")
    shutil.copytree(FIXTURES / "echo_runtime", folder / "firmware" / "runtimes" / "echo")
    (folder / "models" / "echo").mkdir(parents=True)
    (folder / "models" / "echo" / "model.py").touch()
    built = folder / "build" / "echo" / f"{board}-echo"
    shutil.copytree(FIXTURES / "echo_model", built)
    (built / "plan.json").write_text(json.dumps({"arena_bytes": 64, "weights_bytes": 0}))
    return built


def frame(kind: int, seq: int, body: bytes) -> bytes:
    """One frame as PROTOCOL.md has it, with its 0x00."""
    payload = struct.pack("<BH", kind, seq) + body
    return cobs.encode(payload + struct.pack("<I", zlib.crc32(payload))) + b"\0"


def parse(raw: bytes) -> tuple[int, int, bytes]:
    """(type, seq, body) of one frame without its 0x00; the CRC is checked."""
    decoded = cobs.decode(raw)
    assert zlib.crc32(decoded[:-4]) == struct.unpack("<I", decoded[-4:])[0]
    kind, seq = struct.unpack_from("<BH", decoded)
    return kind, seq, decoded[3:-4]


class Line:
    """A serial line to firmware: send bytes, await one frame."""

    def __init__(self, path: str) -> None:
        self.port = serial.Serial(path, 115200, timeout=10, write_timeout=30)

    def ask(self, raw: bytes) -> tuple[int, int, bytes]:
        self.port.write(raw)
        return self.answer()

    def answer(self) -> tuple[int, int, bytes]:
        raw = self.port.read_until(b"\0")
        assert raw.endswith(b"\0"), f"no answer, only {raw!r}"
        return parse(raw[:-1])


def need(*tools: str) -> None:
    """Skip a test whose tools are not installed; fail it where REQUIRE_TOOLS is set, as in CI."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing and os.environ.get("REQUIRE_TOOLS"):
        pytest.fail(f"not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def include_flags(folder: Path = PROJECT) -> list[str]:
    """Where the core finds its headers, and what build would define."""
    firmware = folder / "firmware"
    return [
        f"-I{FIXTURES / 'echo_model'}",
        f"-I{firmware / 'core'}",
        f"-I{firmware / 'kernels'}",
        '-DBOARD_NAME="test"',
        '-DKERNEL_BUILD="test"',
    ]
