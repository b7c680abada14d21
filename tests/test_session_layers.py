"""LAYERS and TENSOR on the device: the echo runtime's three steps, under ASan and UBSan."""

from __future__ import annotations

import contextlib
import struct
import subprocess
import zlib
from pathlib import Path

import echo
import pytest
from echo import ERROR, RESULT, RUN, frame
from hypothesis import given, settings
from hypothesis import strategies as st
from test_session import LENGTH, RUNTIME, SESSION, TYPE, UNKNOWN_SEQ, WINDOW, compile_device, error, run_count, talk

from pipeline import build
from pipeline.board import load_board
from pipeline.emulator import emulate

LAYERS, TENSOR, STEP = 0x03, 0x04, 8
INPUT = 0xFFFF
COMPLEMENT = bytes(~value & 255 for value in WINDOW)
LAYERS_C = str(echo.FIXTURES / "echo_runtime" / "layers.c")


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_device(tmp_path_factory.mktemp("device"), "-DWITH_LAYERS", LAYERS_C)


def tensor(seq: int, maker: int, when: int, offset: int = 0, count: int = 1000) -> bytes:
    return frame(TENSOR, seq, WINDOW + struct.pack("<HHIH", maker, when, offset, count))


def test_layers_gives_ticks_and_the_crc_of_what_each_step_wrote(device: Path) -> None:
    ((kind, seq, body),) = talk(device, frame(LAYERS, 7, WINDOW))
    assert (kind, seq) == (0x83, 7)
    assert body[:4] == struct.pack("<I", zlib.crc32(WINDOW))
    output = COMPLEMENT[:14] + b"\1\0"
    assert list(struct.iter_unpack("<II", body[4:])) == [(5, zlib.crc32(made)) for made in (WINDOW, output, COMPLEMENT)]


@pytest.mark.parametrize(
    ("maker", "when", "made"),
    [
        (INPUT, INPUT, WINDOW),
        (INPUT, 2, WINDOW),
        (0, 0, WINDOW),
        (0, 1, WINDOW),
        (0, 2, COMPLEMENT),
        (1, 2, COMPLEMENT[:14] + b"\1\0"),
    ],
)
def test_tensor_gives_what_a_step_wrote_as_it_is_behind_a_later_one(
    device: Path, maker: int, when: int, made: bytes
) -> None:
    ((kind, seq, body),) = talk(device, tensor(7, maker, when))
    assert (kind, seq) == (0x84, 7)
    assert body == struct.pack("<II", zlib.crc32(WINDOW), len(made)) + made


@pytest.mark.parametrize(("offset", "count"), [(0, 0), (0, 5), (5, 19), (20, 100), (24, 1), (2**32 - 1, 65535)])
def test_a_part_of_a_tensor_ends_where_the_tensor_ends(device: Path, offset: int, count: int) -> None:
    ((_, _, body),) = talk(device, tensor(7, 0, 0, offset, count))
    assert body[4:] == struct.pack("<I", 24) + WINDOW[offset : offset + count]


@pytest.mark.parametrize(("maker", "when"), [(3, 3), (0, 3), (2, 1), (0, INPUT), (1, 0)])
def test_a_step_that_there_is_not_is_refused_behind_a_broken_answer(device: Path, maker: int, when: int) -> None:
    broken, good = whole_answers(device, tensor(7, maker, when) + frame(RUN, 8, WINDOW))
    assert error(broken) == (7, 0, STEP, "there is no such step")
    assert good[:2] == (RESULT, 8)


def test_a_fault_in_the_middle_breaks_the_answer_off(device: Path) -> None:
    bad = bytes([99, *WINDOW[1:]])
    broken, good = whole_answers(device, frame(LAYERS, 7, bad) + frame(LAYERS, 8, WINDOW))
    assert error(broken) == (7, 1, RUNTIME, "the window begins with 99")
    assert good[:2] == (0x83, 8)


def whole_answers(device: Path, line: bytes) -> list[tuple[int, int, bytes]]:
    """The answers that are whole, as a host sees them that drops what is no frame; some are broken off."""
    line = frame(echo.HELLO, 0xF00D, b"\1") + line
    done = subprocess.run([device], input=line, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    whole = []
    for raw in done.stdout.split(b"\0"):
        with contextlib.suppress(AssertionError, struct.error, echo.cobs.DecodeError):
            whole.append(echo.parse(raw))
    return whole[1:]


def test_what_was_seen_step_by_step_is_no_remembered_answer(device: Path) -> None:
    line = frame(RUN, 1, WINDOW) + frame(RUN, 2, WINDOW) + frame(LAYERS, 3, WINDOW)
    answers = talk(device, line + frame(RUN, 2, WINDOW) + frame(RUN, 1, WINDOW))
    assert [run_count(answers[i]) for i in (0, 1, 3, 4)] == [1, 2, 2, 4]


@pytest.mark.parametrize(("kind", "length"), [(LAYERS, 23), (LAYERS, 25), (TENSOR, 24), (TENSOR, 33)])
def test_a_body_of_another_length_is_refused(device: Path, kind: int, length: int) -> None:
    words = (
        "LAYERS has a body of exactly one window" if kind == LAYERS else "TENSOR has a body of one window and 10 bytes"
    )
    assert error(talk(device, frame(kind, 7, bytes(length)))[0]) == (7, 0, LENGTH, words)


def test_layers_before_hello_is_refused(device: Path) -> None:
    assert error(talk(device, frame(LAYERS, 7, WINDOW), greeted=False)[0])[2] == SESSION


def test_firmware_without_layers_does_not_know_them(tmp_path: Path) -> None:
    device = compile_device(tmp_path)
    assert error(talk(device, frame(LAYERS, 7, WINDOW))[0])[2] == TYPE
    assert error(talk(device, tensor(7, 0, 0))[0])[:3] == (UNKNOWN_SEQ, 0, LENGTH)


def test_a_stack_without_bounds_is_not_measured(device: Path) -> None:
    assert talk(device, frame(0x05, 7, b"")) == [(0x85, 7, bytes(8))]


@pytest.mark.parametrize("name", ["cortex-m4", "esp32", "esp32c3"])
def test_the_deepest_use_of_the_stack_is_measured(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = echo.make_project(tmp_path, name)
    monkeypatch.chdir(tmp_path)
    board = load_board(name)
    assert build.main(["echo", "--board", name, "--runtime", "echo"]) == 0
    with emulate(board, folder) as path:
        line = echo.Line(path)
        line.ask(b"\0" + frame(echo.HELLO, 1, b"\1"))
        before = struct.unpack("<II", line.ask(frame(0x05, 2, b""))[2])
        line.ask(frame(LAYERS, 3, WINDOW))
        after = struct.unpack("<II", line.ask(frame(0x05, 4, b""))[2])
    assert before[0] == after[0] == 4096
    assert 64 < before[1] <= after[1] < 2048


@settings(max_examples=60)
@given(asks=st.lists(st.tuples(*[st.integers(0, 0xFFFF)] * 2, st.integers(0, 2**32 - 1), st.integers(0, 0xFFFF))))
def test_no_question_reads_beside_a_tensor(device: Path, asks: list[tuple[int, int, int, int]]) -> None:
    answers = whole_answers(
        device, b"".join(tensor(seq, *ask) for seq, ask in enumerate(asks)) + frame(RUN, 999, WINDOW)
    )
    assert [answer[1] for answer in answers] == [*range(len(asks)), 999]
    assert {answer[0] for answer in answers[:-1]} <= {0x84, ERROR}
