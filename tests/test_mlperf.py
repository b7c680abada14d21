"""MLPerf Tiny's text commands: the echo runtime on a pipe under ASan and UBSan, and real numbers without floats."""

from __future__ import annotations

import itertools
import random
import struct
import subprocess
from fractions import Fraction
from pathlib import Path

import echo
import pytest
import serial
from echo import ERROR, HELLO, INFO, RESULT, RUN, frame
from hypothesis import given, settings
from hypothesis import strategies as st
from test_session import CRC, UNKNOWN_SEQ, WINDOW, compile_device, error

from pipeline import build
from pipeline.board import load_board
from pipeline.emulator import emulate

READY = "m-ready"


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_device(tmp_path_factory.mktemp("device"), "-DWITH_MLPERF")


def raw(device: Path, line: bytes) -> bytes:
    """All that the device says to these bytes; the sanitizers must be silent."""
    done = subprocess.run([device], input=line, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def say(device: Path, *commands: str) -> list[str]:
    """The lines that answer commands, without the m-ready that must end each."""
    lines = raw(device, "".join(f"{command}%" for command in commands).encode()).decode("ascii").split("\r\n")
    assert lines.pop() == ""
    assert lines.count(READY) == len(commands)
    assert lines[-1] == READY
    return [line for line in lines if line != READY]


def load(window: bytes, step: int = 31) -> list[str]:
    parts = [f"db {window[i : i + step].hex()}" for i in range(0, len(window), step)]
    return [f"db load {len(window)}", *parts]


def results(line: str) -> list[float]:
    assert line.startswith("m-results-[") and line.endswith("]")
    return [float(number) for number in line[11:-1].split(",")]


def test_says_who_it_is(device: Path) -> None:
    assert say(device, "name", "profile") == [
        "m-name-dut-[test]",
        "m-profile-[ULPMark for tinyML Firmware V0.0.1]",
        "m-model-[echo]",
    ]


def test_timestamps_are_microseconds_and_go_on_where_the_clock_wraps(device: Path) -> None:
    laps = [int(line.removeprefix("m-lap-us-")) for line in say(device, *["timestamp"] * 4)]
    assert [b - a for a, b in itertools.pairwise(laps)] == [5000] * 3  # 5 ticks of 1000 Hz a reading


def test_a_window_is_loaded_run_and_its_results_are_real_numbers(device: Path) -> None:
    lines = say(device, *load(WINDOW), "infer 3 2")
    assert lines[:2] == ["m-[Expecting 24 bytes]", "m-load-done"]
    assert lines[2:5] == ["m-warmup-start-2", "m-warmup-done", "m-infer-start-3"]
    assert [line.split("-us-")[0] for line in lines[5:7]] == ["m-lap"] * 2
    assert lines[7] == "m-infer-done"
    expected = [~value for value in WINDOW[:14]] + [5, 0]  # the fifth run
    assert results(lines[8]) == [0.25 * (value - 2) for value in expected]


def test_infer_warms_up_ten_times_and_runs_once_unless_told(device: Path) -> None:
    lines = say(device, *load(WINDOW), "infer")
    assert "m-warmup-start-10" in lines and "m-infer-start-1" in lines
    assert results(lines[-1])[-2] == 0.25 * (11 - 2)


def test_results_can_be_had_again(device: Path) -> None:
    lines = say(device, *load(WINDOW), "infer 1 0", "results")
    assert lines[-1] == lines[-2]
    assert say(device, "results") == ["e-[There are no results]"]


@pytest.mark.parametrize("step", [1, 2, 24, 30])
def test_the_window_may_come_in_pieces_of_any_size(device: Path, step: int) -> None:
    printed = say(device, *load(WINDOW, step), "db print")[-3:]
    assert [line.removeprefix("m-buffer-").split("-") for line in printed] == [
        [f"{value:02x}" for value in WINDOW[i : i + 8]] for i in (0, 8, 16)
    ]


@pytest.mark.parametrize(
    ("commands", "words"),
    [
        (["db load 25"], "e-[This model takes 24 bytes]"),
        (["db load"], "e-[This model takes 24 bytes]"),
        (["db load 99999999999"], "e-[This model takes 24 bytes]"),
        (["db"], "e-[Command 'db' requires a subcommand]"),
        (["db load 24", "db 123"], "e-[Insufficient number of hex digits]"),
        (["db load 24", "db 1g"], "e-[Invalid hex digit]"),
        (["db load 24", "db 0102", "infer 1 0"], "e-[2 of 24 bytes are loaded]"),
        (["infer 1 0"], "e-[0 of 24 bytes are loaded]"),
        ([*load(WINDOW), "infer 0"], "e-[Inference iterations are 1 to 65535, warmups 0 to 65535]"),
        (
            [*load(WINDOW), "infer 65536 0"],
            "e-[Inference iterations are 1 to 65535, warmups 0 to 65535]",
        ),
        ([*load(WINDOW), "infer 1 x"], "e-[Inference iterations are 1 to 65535, warmups 0 to 65535]"),
        ([*load(b"\x63" + WINDOW[1:]), "infer 1 0"], "e-[the window begins with 99]"),
        (["fly"], "e-[Unknown command: fly]"),
        (["x" * 300], "e-[Unknown command: (too-long)]"),
        (["db 00"], None),
        (["", "\r\n"], None),
    ],
)
def test_what_is_wrong_is_told_and_gives_no_results(device: Path, commands: list[str], words: str | None) -> None:
    lines = say(device, *commands)
    assert not any(line.startswith("m-results") for line in lines)
    assert (lines[-1:] or [None]) == [words]


def test_a_runtime_that_could_not_start_says_so(tmp_path: Path) -> None:
    device = compile_device(tmp_path, "-DWITH_MLPERF", '-DECHO_FAULT="arena too small"')
    assert say(device, *load(WINDOW), "infer 1 0")[-1] == "e-[arena too small]"


def test_a_model_of_other_inputs_and_outputs_is_none_of_the_benchmarks(tmp_path: Path) -> None:
    device = compile_device(tmp_path, "-DWITH_MLPERF", "-DMODEL_PARTS=3")
    words = "e-[The benchmark's models have one int8 input and one int8 output]"
    assert say(device, *load(WINDOW), "infer 1 0", "results")[-2:] == [words, "e-[There are no results]"]


def test_frames_and_commands_share_the_line(device: Path) -> None:
    hello, run = frame(HELLO, 1, b"\1"), frame(RUN, 2, WINDOW)
    said = raw(device, b"name%" + hello + b"name%\r\n\0" + run + b"name%")
    named = b"m-name-dut-[test]\r\nm-ready\r\n"
    assert said.startswith(named) and said.endswith(named)
    blocks = said.removeprefix(named).removesuffix(named).split(b"\0")
    answers = [echo.parse(block.removeprefix(named)) for block in blocks if block]
    assert [answer[0] for answer in answers] == [INFO, ERROR, RESULT]  # the ERROR is for \r\n


def test_a_frame_forgets_the_loaded_window(device: Path) -> None:
    text = "".join(f"{command}%" for command in [*load(WINDOW), "infer 1 0"]).encode()
    said = raw(device, text + frame(HELLO, 1, b"\1") + b"infer 1 0%results%")
    assert said.endswith(b"e-[0 of 24 bytes are loaded]\r\nm-ready\r\ne-[There are no results]\r\nm-ready\r\n")


def test_no_frame_looks_like_a_command(device: Path) -> None:
    for size in range(16, 120):
        broken = frame(RUN, 7, b"name%" * (size // 5))
        assert b"m-" not in raw(device, broken)


@settings(max_examples=100)
@given(noise=st.lists(st.one_of(st.binary(max_size=90), st.text("db loadinfer%0123 \r\n", max_size=90)), max_size=5))
def test_no_garbage_keeps_it_from_answering_the_next_frame_and_command(device: Path, noise: list[bytes | str]) -> None:
    garbage = b"\0".join(part.encode() if isinstance(part, str) else part for part in noise)
    said = raw(device, garbage + b"\0" + frame(HELLO, 77, b"\1") + b"name%")
    *_, info, named = said.split(b"\0")
    assert echo.parse(info.rpartition(b"\n")[2] if b"m-ready" in info else info)[:2] == (INFO, 77)
    assert named == b"m-name-dut-[test]\r\nm-ready\r\n"


def test_text_that_is_no_command_is_a_broken_frame(device: Path) -> None:
    answer = raw(device, b"I (123) boot: hello\r\n\0").split(b"\0")[0]
    assert error(echo.parse(answer))[:3] == (UNKNOWN_SEQ, 0, CRC)


def test_the_benchmarks_models_of_images_are_loaded_as_unsigned_bytes(tmp_path: Path) -> None:
    runtime = tmp_path / "runtime.c"
    text = (echo.FIXTURES / "echo_runtime" / "runtime.c").read_text()
    runtime.write_text(text.replace('.name = "echo"', '.name = "ic"'))
    device = compile_device(tmp_path, "-DWITH_MLPERF", runtime=runtime)
    pixels = bytes(range(232, 256))
    assert say(device, "profile")[1] == "m-model-[ic01]"
    lines = say(device, *load(pixels), "db print", "infer 1 0")
    assert lines[2] == "m-buffer-e8-e9-ea-eb-ec-ed-ee-ef"
    assert results(lines[-1])[0] == 0.25 * (~(232 - 128) - 2)


@pytest.fixture(scope="module")
def square_device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 values in and out: echo of floats, as anomaly detection has it."""
    flags = ("-DWITH_MLPERF", "-DMODEL_INPUT_BYTES=16", "-DMODEL_OUTPUT_BYTES=16")
    return compile_device(tmp_path_factory.mktemp("square"), *flags)


def test_floats_are_quantized_and_answered_by_the_mean_squared_error(square_device: Path) -> None:
    rng = random.Random(3)
    values = [struct.unpack("<f", struct.pack("<f", rng.uniform(-60, 60)))[0] for _ in range(14)] + [0.25, -0.25]
    lines = say(square_device, *load(struct.pack("<16f", *values)), "db print", "infer 1 0")
    assert lines[0] == "m-[Expecting 64 bytes]"
    quantized = [max(-128, min(127, int(abs(v) / 0.5 + 0.5) * (1 if v > 0 else -1) - 1)) for v in values]
    printed = "".join(line.removeprefix("m-buffer-").replace("-", "") for line in lines[2:4])
    assert bytes.fromhex(printed) == struct.pack("16b", *quantized)
    outputs = [0.25 * (~q - 2) for q in quantized[:14]] + [0.25 * (1 - 2), 0.25 * (0 - 2)]
    error_ = sum((o - v) ** 2 for o, v in zip(outputs, values, strict=True)) / 16
    assert results(lines[-1]) == [pytest.approx(error_, rel=1e-3)]


def test_a_square_model_takes_int8_too(square_device: Path) -> None:
    assert len(results(say(square_device, *load(WINDOW[:16]), "infer 1 0")[-1])) == 16


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("real") / "real"
    core = echo.PROJECT / "firmware" / "core"
    sources = [str(core / "real.c"), str(echo.FIXTURES / "real" / "main.c")]
    flags = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DWITH_MLPERF", f"-I{core}"]
    subprocess.run(["gcc", *flags, *sources, "-o", str(program)], check=True)
    return program


def ask(program: Path, lines: list[str]) -> list[str]:
    done = subprocess.run([program], input="\n".join(lines), capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def bits(value: float) -> int:
    return int(struct.unpack("<I", struct.pack("<f", value))[0])


def scales(count: int) -> list[float]:
    rng = random.Random(7)
    drawn = [2.0 ** rng.uniform(-30, 20) for _ in range(count)]
    return [struct.unpack("<f", struct.pack("<f", value))[0] for value in (1 / 256, 1.0, 0.5, 3e-9, *drawn)]


def test_a_real_number_has_twelve_digits_that_count(numbers: Path) -> None:
    rng = random.Random(1)
    pairs = [(rng.randint(-255, 255), scale) for scale in scales(2000)]
    for (n, scale), text in zip(pairs, ask(numbers, [f"t {n} {bits(scale)}" for n, scale in pairs]), strict=True):
        exact = n * Fraction(scale)
        assert abs(Fraction(text) - exact) <= abs(exact) / 10**11 + Fraction(1, 2**58)
    assert ask(numbers, [f"t 128 {bits(1 / 256)}", f"t -1 {bits(0.1)}", f"t 255 {bits(1e30)}", f"t 0 {bits(0.1)}"]) == [
        "0.5",
        "-0.100000001490",
        "4294967295.0",
        "0.0",
    ]


def test_a_ratio_is_cut_to_256ths(numbers: Path) -> None:
    rng = random.Random(2)
    pairs = [(rng.choice([-1, 1]) * scale * rng.uniform(0, 300), scale) for scale in scales(1000)]
    pairs = [(struct.unpack("<f", struct.pack("<f", a))[0], b) for a, b in pairs]
    made = ask(numbers, [f"r {bits(a)} {bits(b)} 65280" for a, b in pairs])
    for (a, b), text in zip(pairs, made, strict=True):
        exact = min(int(abs(256 * Fraction(a) / Fraction(b))), 65280)
        assert abs(int(text)) == exact and (int(text) == 0 or (int(text) < 0) == (a < 0))
    infinite = ask(numbers, [f"r {0x7F800000} {bits(1)} 9", f"r {0xFF800000} {bits(1e-30)} 9", f"r 1 {bits(1e30)} 9"])
    assert infinite == ["9", "-9", "0"]


def test_a_scale_in_2_to_the_minus_24(numbers: Path) -> None:
    drawn = [scale for scale in scales(300) if scale < 100]
    made = ask(numbers, [f"q {bits(scale)}" for scale in drawn])
    assert [int(text) for text in made] == [int(Fraction(scale) * 2**24 + Fraction(1, 2)) for scale in drawn]


class Client:
    """A client of the benchmark's protocol on a serial port, as its official runner is one."""

    def __init__(self, path: str) -> None:
        self.port = serial.Serial(path, 115200, timeout=30)

    def ask(self, command: str) -> list[str]:
        """The lines of one answer, without its m-ready."""
        self.port.write(f"{command}%".encode())
        answer = self.port.read_until(b"m-ready\r\n")
        assert answer.endswith(b"m-ready\r\n"), answer
        return answer.decode("ascii").split("\r\n")[:-2]

    def infer(self, window: bytes, count: int) -> tuple[int, list[float]]:
        """Microseconds of `count` runs of a window, and its results."""
        for command in load(window):
            self.ask(command)
        *_, start, end, done, found = self.ask(f"infer {count} 1")
        assert done == "m-infer-done"
        return int(end.removeprefix("m-lap-us-")) - int(start.removeprefix("m-lap-us-")), results(found)


@pytest.mark.parametrize("name", ["host", "cortex-m4", "esp32"])
def test_a_client_drives_the_board_between_two_runs_of_the_harness(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = echo.make_project(tmp_path, name)
    monkeypatch.chdir(tmp_path)
    board = load_board(name)
    assert build.main(["echo", "--board", name, "--runtime", "echo"]) == 0
    with emulate(board, folder) as path:
        line = echo.Line(path)
        assert line.ask(b"\0" + frame(HELLO, 3, b"\1"))[0] == INFO
        client = Client(path)
        assert client.ask("name") == [f"m-name-dut-[{name}]"]
        assert client.ask("profile")[1] == "m-model-[echo]"
        # A host may be interrupted in a lap, which makes it longer, never shorter: the best of some short ones counts.
        laps = []
        for count in (20, 20, 20, 20, 20, 20000):
            time, found = client.infer(WINDOW, count)
            assert found[:14] == [0.25 * (~value - 2) for value in WINDOW[:14]]
            laps.append(time)
        assert laps[-1] > min(laps[:-1])
        assert client.ask("db load 24") == ["m-[Expecting 24 bytes]"]
        assert client.ask("db 0102") == []
        assert client.ask("infer 1 0") == ["e-[2 of 24 bytes are loaded]"]
        assert line.ask(frame(RUN, 4, WINDOW))[:2] == (RESULT, 4)
