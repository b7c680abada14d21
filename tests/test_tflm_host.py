"""The board tflm-host: TFLite Micro's own interpreter speaks the protocol; it and compiled firmware agree."""

from __future__ import annotations

import fcntl
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, stage

from pipeline import build, files, wire
from pipeline.board import load_board
from pipeline.files import board_names
from pipeline.problem import Problem
from pipeline.tflm_host import Interpreter, Session, info_body
from pipeline.wire import Frame

MODELS = ("rehab", "bearing")
# Every board with an emulator of its own; labwired is too slow for all windows, and rehab does not fit the uno.
RUNS = [
    (name, board)
    for name in MODELS
    for board in board_names()
    if load_board(board).emulator
    and not board.endswith(("-labwired", "-usb", "tflm-host"))
    and (name, board) != ("rehab", "uno")
]

PLAN = {
    "board": "tflm-host", "model": "doubles", "model_id": "0011223344556677", "weights_bytes": 99, "kernel_version": 0,
    "input": {"bytes": 4, "scale": 0.5, "zero_point": -3}, "output": {"bytes": 4, "scale": 0.25, "zero_point": 7},
    "operators": [{}, {}], "arena": {"pointers_of_8_bytes": {"bytes": 640}},
}  # fmt: skip


class Doubles(Interpreter):
    """Answers twice each value; counts its runs, and fails at a window of zeros."""

    def __init__(self) -> None:
        self.runs = 0

    def run(self, window: bytes, go_on: bool = False) -> bytes:
        self.runs += 1
        if not any(window):
            raise RuntimeError("TFLM failed to invoke")
        return bytes((2 * value) & 0xFF for value in window)


@pytest.fixture
def session() -> Session:
    return Session(PLAN, Doubles())


def ask(session: Session, kind: int, body: bytes, seq: int = 5) -> Frame:
    return session.answer(wire.encode(Frame(kind, seq, body))[:-1])


def error(frame: Frame) -> tuple[bool, str, str]:
    assert frame.type == wire.ERROR
    told = wire.parse_error(frame.body)
    return told.fault, told.code, told.text


def test_says_who_it_is(session: Session) -> None:
    info = wire.parse_info(ask(session, wire.HELLO, b"\x01").body)
    assert info == wire.parse_info(info_body(PLAN))
    assert (info.board, info.model, info.runtime) == ("tflm-host", "doubles", "tflm")
    assert (info.arena_bytes, info.weights_bytes, info.operators, info.model_id) == (640, 99, 2, PLAN["model_id"])
    assert (info.input_scale, info.input_zero_point, info.output_zero_point) == (0.5, -3, 7)
    assert info.kernel_build.startswith("tflite-micro ")


def test_answers_a_window_and_a_repeated_one_from_memory(session: Session) -> None:
    ask(session, wire.HELLO, b"\x01")
    first = ask(session, wire.RUN, b"\x01\x02\x03\xff", seq=9)
    result = wire.parse_result(first.body, 4)
    assert (first.type, first.seq, result.output) == (wire.RESULT, 9, b"\x02\x04\x06\xfe")
    assert (result.input_crc, result.ticks > 0) == (zlib.crc32(b"\x01\x02\x03\xff"), True)
    assert ask(session, wire.RUN, b"\x01\x02\x03\xff", seq=9) == first
    assert ask(session, wire.RUN, b"\x01\x02\x03\xff", seq=10) != first
    assert session._interpreter.runs == 2


@pytest.mark.parametrize(
    ("kind", "body", "greeted", "told"),
    [
        (wire.RUN, b"\x01\x02\x03\x04", False, (False, "session", "HELLO comes first")),
        (wire.RUN, b"\x01\x02\x03", True, (False, "length", "RUN and STREAM have a body of exactly one window")),
        (wire.RUN, bytes(4), True, (True, "runtime", "TFLM failed to invoke")),
        (wire.HELLO, b"", False, (False, "length", "HELLO has a body of 1 byte")),
        (wire.HELLO, b"\x09", False, (False, "protocol", "this device speaks protocol 1")),
        (0x55, b"", True, (False, "type", "unknown type of frame")),
    ],
)
def test_refuses_as_the_firmware_does(kind: int, body: bytes, greeted: bool, told: Any, session: Session) -> None:
    if greeted:
        ask(session, wire.HELLO, b"\x01")
    assert error(ask(session, kind, body)) == told


def test_a_damaged_frame_is_answered_as_one_whose_seq_nobody_knows(session: Session) -> None:
    block = bytearray(wire.encode(Frame(wire.RUN, 3, b"\x01\x02\x03\x04"))[:-1])
    block[4] ^= 0x10
    answer = session.answer(bytes(block))
    assert (answer.seq, error(answer)) == (0xFFFF, (False, "crc", "the CRC does not match"))


def test_hello_forgets_answers(session: Session) -> None:
    ask(session, wire.HELLO, b"\x01")
    for _ in range(2):
        ask(session, wire.RUN, b"\x01\x02\x03\x04")
        ask(session, wire.HELLO, b"\x01")
    assert session._interpreter.runs == 2


def test_without_its_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tflite_micro", None)
    with pytest.raises(Problem) as caught:
        Interpreter(b"", 1000)
    assert caught.value.lines() == ["error: tflite_micro: is not installed", "  hint: pip install tflite-micro"]


def test_an_interpreter_runs_only_its_own_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(Problem) as caught:
        build.firmware("rehab", "tflm-host", "compiled")
    assert caught.value.lines() == [
        "error: board tflm-host: does not run runtime=compiled", "  hint: it runs: tflm",
    ]  # fmt: skip


def test_too_small_an_arena_ends_it_with_tflite_micros_words(trained: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes((trained("bearing") / "model.tflite").read_bytes())
    plan = {**PLAN, "arena": {"pointers_of_8_bytes": {"bytes": 256}}}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    done = stage("tflm_host", str(tmp_path / "model.tflite"))
    assert done.returncode != 0
    assert "Failed to allocate" in done.stderr


def outputs(name: str, board: str, runtime: str) -> Any:
    """What a board answered to the whole test split, from its last run unless anything has changed since."""
    folder = ROOT / "build" / name / f"{board}-{runtime}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_fresh(folder):
            target = ["--board", board, "--runtime", runtime]
            for words in (["generate", name], ["build", name], ["hil", "--name", name]):
                done = stage(*words, *target)
                assert done.returncode == 0, done.stdout + done.stderr
        return files.read_arrays(folder / "outputs.npz", "make hil")["outputs"]


def is_fresh(folder: Path) -> bool:
    """Whether the last report is of the whole split and of today's sources and model."""
    report = folder / "report.json"
    if not report.exists() or not json.loads(report.read_text())["whole_test_split"]:
        return False
    sources = [path for part in ("pipeline", "firmware", "boards") for path in (ROOT / part).rglob("*.*")]
    newest = max(path.stat().st_mtime for path in [*sources, folder.parent / "model.tflite"])
    return report.stat().st_mtime > newest


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_tflite_micro_equals_the_reference_on_every_window(name: str, trained: Callable[[str], Path]) -> None:
    reference = files.read_arrays(trained(name) / "reference.npz", "make")
    assert np.array_equal(outputs(name, "tflm-host", "tflm"), reference["outputs"])
    report = json.loads((ROOT / "build" / name / "tflm-host-tflm" / "report.json").read_text())
    assert (report["verdict"], report["runtime"]) == ("pass", "tflm")
    assert report["windows"]["equal"] == len(reference["inputs"]) >= 300
    assert report["emulator"]["name"].startswith("TFLite Micro's interpreter")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "board"), RUNS)
def test_compiled_firmware_equals_tflite_micro_window_by_window(
    name: str, board: str, trained: Callable[[str], Path]
) -> None:
    trained(name)
    assert np.array_equal(outputs(name, board, "compiled"), outputs(name, "tflm-host", "tflm"))


def test_a_result_is_packed_as_the_protocol_says(session: Session) -> None:
    ask(session, wire.HELLO, b"\x01")
    body = ask(session, wire.RUN, b"\x01\x00\x00\x00").body
    assert struct.unpack_from("<I", body, 4)[0] == zlib.crc32(b"\x01\x00\x00\x00")


class Keeps(Doubles):
    """Two operators: tensor 3 is the window doubled, tensor 7 its complement."""

    def tensors(self, window: bytes, indices: Any) -> list[bytes]:
        made = {3: bytes((2 * value) & 0xFF for value in window), 7: bytes(255 - value for value in window)}
        return [made[index] for index in indices]


def test_it_shows_its_layers_from_preserved_tensors() -> None:
    session = Session({**PLAN, "operators": [{"output": 3}, {"output": 7}]}, Keeps())
    window, made = b"\1\2\3\4", [b"\2\4\6\x08", b"\xfe\xfd\xfc\xfb"]
    assert wire.parse_error(ask(session, wire.LAYERS, window).body).code == "session"
    ask(session, wire.HELLO, b"\1")
    answer = ask(session, wire.LAYERS, window)
    assert wire.parse_layers(answer.body, window) == [(0, zlib.crc32(content)) for content in made]
    for maker, content in ((0, made[0]), (1, made[1]), (-1, window)):
        answer = ask(session, wire.TENSOR, wire.ask_tensor(window, maker, 1, 1, 2))
        assert wire.parse_tensor(answer.body, window) == (4, content[1:3])
    assert wire.parse_error(ask(session, wire.TENSOR, wire.ask_tensor(window, 2, 2, 0, 9)).body).code == "step"
    assert wire.parse_error(ask(session, wire.TENSOR, window).body).code == "length"


def test_preserved_tensors_are_tflite_runtimes(tmp_path: Path) -> None:
    from ops.cases_project import cases_of

    from pipeline import oracle

    case = cases_of("CONV_2D")[0]
    output = case.plan.graph.outputs[0]
    window = case.windows[0]
    found = Interpreter(case.content, 100_000).tensors(window.tobytes(), [output])[0]
    assert found == oracle.tensors(case.content, window[0])[output].tobytes()
