"""The device's half of the protocol, byte by byte: core and echo runtime under ASan and UBSan, the line is a pipe."""

from __future__ import annotations

import struct
import subprocess
import zlib
from pathlib import Path

import echo
import pytest
from echo import ERROR, HELLO, INFO, RESULT, RUN, frame, parse
from hypothesis import given, settings
from hypothesis import strategies as st

SANITIZE = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
WINDOW = bytes(range(24))
UNKNOWN_SEQ, STREAM = 0xFFFF, 0x07
CRC, LENGTH, TYPE, PROTOCOL, RUNTIME, CLOCK, SESSION = 1, 2, 3, 4, 5, 6, 7


def compile_device(folder: Path, *flags: str, runtime: Path = echo.FIXTURES / "echo_runtime" / "runtime.c") -> Path:
    """Core, echo runtime and pipe port as one native program."""
    sources = [*(echo.PROJECT / "firmware" / "core").glob("*.c"), runtime, echo.FIXTURES / "pipe_port" / "port.c"]
    device = folder / "device"
    argv = ["gcc", "-std=gnu11", *SANITIZE, *echo.include_flags(), *flags, *map(str, sources), "-o", str(device)]
    subprocess.run(argv, check=True)
    return device


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_device(tmp_path_factory.mktemp("device"))


def talk(device: Path, line: bytes, greeted: bool = True) -> list[tuple[int, int, bytes]]:
    """All answers to these bytes, after a HELLO when `greeted`. The sanitizers must have nothing to say."""
    line = frame(HELLO, 0xF00D, b"\1") + line if greeted else line
    done = subprocess.run([device], input=line, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"" or done.stdout.endswith(b"\0")
    return [parse(raw) for raw in done.stdout.split(b"\0")[:-1]][greeted:]


def error(answer: tuple[int, int, bytes]) -> tuple[int, int, int, str]:
    """(seq, kind, code, text) of an ERROR."""
    kind, seq, body = answer
    assert kind == ERROR
    return seq, body[0], body[1], body[2:].decode("ascii")


def run_count(answer: tuple[int, int, bytes]) -> int:
    """How many times the echo runtime had run when it gave this RESULT."""
    assert answer[0] == RESULT
    return answer[2][-2] + 128 * answer[2][-1]


def test_hello_is_answered_with_everything_the_host_must_know(device: Path) -> None:
    ((kind, seq, body),) = talk(device, frame(HELLO, 0x1234, b"\1"))
    assert (kind, seq) == (INFO, 0x1234)
    head = struct.unpack_from("<BBBBIIIIIHHfifi8s", body)
    ident = bytes([0xEC, 0x40, 1, 2, 3, 4, 5, 6])
    assert head == (1, 3, 1, 2, 1000, 24, 16, 64, 0, 1, 1, 0.5, -1, 0.25, 2, ident)
    assert body[struct.calcsize("<BBBBIIIIIHHfifi8s") :] == b"\4test\4echo\4echo\4test"


def test_run_gives_ticks_the_crc_of_the_input_and_the_output(device: Path) -> None:
    ((kind, seq, body),) = talk(device, frame(RUN, 7, WINDOW))
    assert (kind, seq) == (RESULT, 7)
    assert struct.unpack_from("<II", body) == (5, zlib.crc32(WINDOW))
    assert body[8:] == bytes(~value & 255 for value in WINDOW[:14]) + b"\1\0"


def test_a_run_before_hello_is_refused(device: Path) -> None:
    line = frame(RUN, 7, WINDOW) + frame(HELLO, 8, b"\1") + frame(RUN, 9, WINDOW)
    first, info, result = talk(device, line, greeted=False)
    assert error(first) == (7, 0, SESSION, "HELLO comes first")
    assert (info[0], run_count(result)) == (INFO, 1)


def test_a_hello_that_is_refused_greets_nobody(device: Path) -> None:
    _, refused = talk(device, frame(HELLO, 7, b"\2") + frame(RUN, 8, WINDOW), greeted=False)
    assert error(refused)[:3] == (8, 0, SESSION)


def test_a_repeated_run_is_answered_from_memory(device: Path) -> None:
    first, again, other = talk(device, frame(RUN, 7, WINDOW) * 2 + frame(RUN, 8, WINDOW))
    assert again == first
    assert run_count(other) == 2


def test_the_same_seq_with_another_window_is_another_run(device: Path) -> None:
    answers = talk(device, frame(RUN, 7, WINDOW) + frame(RUN, 7, bytes(24)))
    assert [run_count(answer) for answer in answers] == [1, 2]


def test_it_remembers_as_many_answers_as_it_gives_credits(device: Path) -> None:
    line = b"".join(frame(RUN, seq, WINDOW) for seq in (1, 2, 1, 2, 3, 2, 3, 1))
    assert [run_count(answer) for answer in talk(device, line)] == [1, 2, 1, 2, 3, 2, 3, 4]


def test_hello_forgets_the_answers(device: Path) -> None:
    answers = talk(device, frame(RUN, 7, WINDOW) + frame(HELLO, 8, b"\1") + frame(RUN, 7, WINDOW))
    assert run_count(answers[2]) == 2


def test_stream_goes_on_where_the_window_before_ended(tmp_path: Path) -> None:
    stateful = compile_device(tmp_path, "-DMODEL_RESET=1")
    line = b"".join(frame(kind, seq, WINDOW) for seq, kind in enumerate((RUN, STREAM, STREAM, RUN, STREAM)))
    assert [run_count(answer) for answer in talk(stateful, line)] == [1, 2, 3, 1, 2]
    again = b"".join(frame(STREAM, seq, WINDOW) for seq in (7, 7, 8))
    assert [run_count(answer) for answer in talk(stateful, again)] == [1, 1, 2]


def test_a_model_without_state_refuses_stream(device: Path) -> None:
    (refused,) = talk(device, frame(STREAM, 7, WINDOW))
    assert error(refused) == (7, 0, TYPE, "unknown type of frame")


def test_credits_are_capped_by_the_answers_it_can_remember(tmp_path: Path) -> None:
    ((_, _, body),) = talk(compile_device(tmp_path, "-DPIPE_CREDITS=200"), frame(HELLO, 1, b"\1"))
    assert body[3] == 4


def test_a_flipped_bit_is_a_crc_refusal_and_the_next_frame_is_served(device: Path) -> None:
    broken = bytearray(frame(RUN, 7, WINDOW))
    broken[10] ^= 0x80
    first, second = talk(device, bytes(broken) + frame(RUN, 8, WINDOW))
    assert error(first) == (UNKNOWN_SEQ, 0, CRC, "the CRC does not match")
    assert run_count(second) == 1


@pytest.mark.parametrize("noise", [b"\x05ab\0", b"\x01\0", b"\x03ab\0", b"\x05abcd\0"])
def test_noise_too_short_for_a_crc_or_broken_cobs_is_a_crc_refusal(device: Path, noise: bytes) -> None:
    first, second = talk(device, noise + frame(HELLO, 8, b"\1"))
    assert error(first)[:3] == (UNKNOWN_SEQ, 0, CRC)
    assert second[0] == INFO


def test_zeros_are_empty_frames(device: Path) -> None:
    assert [answer[0] for answer in talk(device, b"\0\0\0" + frame(HELLO, 8, b"\1") + b"\0")] == [INFO]


def test_a_zero_resynchronises_after_noise(device: Path) -> None:
    first, second = talk(device, b"boot: hello\r\n" + b"\0" + frame(HELLO, 8, b"\1"))
    assert error(first)[:3] == (UNKNOWN_SEQ, 0, CRC)
    assert second[0] == INFO


def test_a_frame_longer_than_any_is_skipped_to_its_end(device: Path) -> None:
    first, second = talk(device, frame(RUN, 7, bytes(5000)) + frame(RUN, 8, WINDOW))
    assert error(first) == (UNKNOWN_SEQ, 0, LENGTH, "the frame is longer than this device takes")
    assert run_count(second) == 1


def test_a_window_one_byte_too_long_does_not_fit_the_buffer(device: Path) -> None:
    assert error(talk(device, frame(RUN, 7, bytes(25)))[0])[:3] == (UNKNOWN_SEQ, 0, LENGTH)


@pytest.mark.parametrize("length", [0, 1, 23])
def test_a_short_window_is_a_length_refusal(device: Path, length: int) -> None:
    assert error(talk(device, frame(RUN, 7, bytes(length)))[0]) == (
        7,
        0,
        LENGTH,
        "RUN and STREAM have a body of exactly one window",
    )


@pytest.mark.parametrize("body", [b"", b"\1\1"])
def test_hello_of_the_wrong_length_is_refused(device: Path, body: bytes) -> None:
    assert error(talk(device, frame(HELLO, 7, body))[0]) == (7, 0, LENGTH, "HELLO has a body of 1 byte")


def test_hello_of_another_protocol_is_refused(device: Path) -> None:
    assert error(talk(device, frame(HELLO, 7, b"\2"))[0]) == (7, 0, PROTOCOL, "this device speaks protocol 1")


def test_an_unknown_type_is_refused(device: Path) -> None:
    assert error(talk(device, frame(0x55, 7, b"abc"))[0]) == (7, 0, TYPE, "unknown type of frame")


def test_a_frame_without_a_seq_is_refused(device: Path) -> None:
    line = echo.cobs.encode(b"\2" + struct.pack("<I", zlib.crc32(b"\2"))) + b"\0"
    assert error(talk(device, line)[0]) == (UNKNOWN_SEQ, 0, LENGTH, "a frame has a type and a seq")


def test_a_fault_of_the_runtime_is_told_in_its_own_words_and_not_remembered(device: Path) -> None:
    bad = bytes([99, *WINDOW[1:]])
    first, again, good = talk(device, frame(RUN, 7, bad) * 2 + frame(RUN, 7, WINDOW))
    assert error(first) == error(again) == (7, 1, RUNTIME, "the window begins with 99")
    assert run_count(good) == 1


def test_a_runtime_that_could_not_start_answers_every_run_with_that_fault(tmp_path: Path) -> None:
    device = compile_device(tmp_path, '-DECHO_FAULT="arena too small"')
    line = frame(HELLO, 1, b"\1") + frame(RUN, 2, WINDOW) + frame(RUN, 3, b"short") + frame(HELLO, 4, b"\1")
    info, first, second, info_again = talk(device, line)
    assert info[0] == info_again[0] == INFO
    assert error(first) == (2, 1, RUNTIME, "arena too small")
    assert error(second) == (3, 1, RUNTIME, "arena too small")


def test_a_clock_that_stands_is_a_fault_and_not_a_zero(tmp_path: Path) -> None:
    answer = talk(compile_device(tmp_path, "-DPIPE_TICK=0"), frame(RUN, 7, WINDOW))[0]
    assert error(answer) == (7, 1, CLOCK, "the clock stands still")


def test_a_run_of_less_than_a_tick_counts_as_one(tmp_path: Path) -> None:
    device = compile_device(tmp_path, "-DPIPE_READINGS=100", "-DPIPE_TICK=1")
    (_, _, body) = talk(device, frame(RUN, 7, WINDOW))[0]
    assert struct.unpack_from("<I", body) == (1,)


@pytest.mark.parametrize("input_bytes", [23, 25])
def test_a_model_h_of_another_model_is_a_fault(tmp_path: Path, input_bytes: int) -> None:
    runtime = tmp_path / "runtime.c"
    text = (echo.FIXTURES / "echo_runtime" / "runtime.c").read_text()
    runtime.write_text(text.replace(".input_bytes = MODEL_INPUT_BYTES", f".input_bytes = {input_bytes}"))
    answer = talk(compile_device(tmp_path, runtime=runtime), frame(RUN, 7, WINDOW))[0]
    assert error(answer) == (7, 1, RUNTIME, "model.h and the runtime's model differ in size")


@pytest.fixture(scope="module")
def wide_device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """800 values in and out, so that frames span several COBS blocks."""
    folder = tmp_path_factory.mktemp("wide")
    return compile_device(folder, "-DMODEL_INPUT_BYTES=800", "-DMODEL_OUTPUT_BYTES=800")


@pytest.mark.parametrize("zero", [None, 0, 249, 250, 251, 252, 253, 254, 255, 256, 505, 506, 507, 760, 799])
def test_zeros_around_the_ends_of_cobs_blocks_go_through_both_ways(wide_device: Path, zero: int | None) -> None:
    windows = [bytearray(b"\1" * 800), bytearray(b"\1" * 800)]
    if zero is not None:
        windows[0][zero], windows[1][zero] = 0x00, 0xFF  # echoed as 0xFF and 0x00
    answers = talk(wide_device, b"".join(frame(RUN, seq, bytes(window)) for seq, window in enumerate(windows)))
    assert [body[8:-2] for _, _, body in answers] == [bytes(~value & 255 for value in each[:-2]) for each in windows]


@settings(max_examples=150)
@given(noise=st.lists(st.binary(max_size=90), max_size=5))
def test_no_garbage_keeps_it_from_answering_the_next_good_frame(device: Path, noise: list[bytes]) -> None:
    answers = talk(device, b"\0".join(noise) + b"\0" + frame(RUN, 77, WINDOW))
    assert answers[-1][:2] == (RESULT, 77)
