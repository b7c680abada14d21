"""Firmware with a state, whole: windows in hops and windows of its own, from the .tflite to the report."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, stage
from fake_device import FakeDevice, answer
from test_streaming import Stack, with_last_step

from pipeline import flatbuffer, hil, hops, live, transport, wire
from pipeline.board import load_board
from pipeline.device import Device
from pipeline.emulator import emulate
from pipeline.evaluate import answer as answer_to
from pipeline.importer import import_model, operators
from pipeline.ops.base import Int8s, known_ops
from pipeline.problem import Problem

MODEL = """
import pathlib
from pipeline.spec import Provenance, Ready

MADE_UP = Provenance("none", "0", "none", "0" * 64, "made up")
READY = Ready("classification", tuple("LABELS"), MADE_UP, windows=5)


def flatbuffer():
    return (pathlib.Path(__file__).parent / "model.tflite").read_bytes()
"""


def causal(head: str) -> bytes:
    stack = Stack(np.random.default_rng(5), 3)
    stack.conv(3, dilation=2)
    stack.relu()
    stack.conv(4, stride=2)
    stack.head(head)
    return flatbuffer.write(stack.graph())


def lstm() -> bytes:
    """Twelve steps of seven values, nine units, the last step alone."""
    made = known_ops()["UNIDIRECTIONAL_SEQUENCE_LSTM"].cases(np.random.default_rng(4))
    return flatbuffer.write(with_last_step(next(graph for graph in made if graph.tensors[0].shape[1] == 12)))


def loop() -> bytes:
    """Twelve steps of a cell with two states, the last result."""
    return flatbuffer.write(list(known_ops()["WHILE"].cases(np.random.default_rng(4)))[2])


def bring(project: Path, content: bytes, **facts: int) -> None:
    """The model's file and its .tflite, with a label for each value of the output."""
    text = MODEL.replace("LABELS", "abcdefghijkl"[: flatbuffer.read(content, "m").edge("output")[0].count])
    more = "".join(f", {name}={value}" for name, value in facts.items())
    (project / "models" / "m" / "model.py").write_text(text.replace("windows=5", f"windows=5{more}"))
    (project / "models" / "m" / "model.tflite").write_bytes(content)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "models" / "m").mkdir(parents=True)
    shutil.copytree(ROOT / "boards", tmp_path / "boards")
    shutil.copytree(ROOT / "firmware", tmp_path / "firmware")
    return tmp_path


@pytest.mark.parametrize(
    ("board", "content", "stream"),
    [
        ("host", causal("mean"), ["--stream", "8"]),
        ("cortex-m4", causal("flat"), ["--stream", "12"]),
        ("host", lstm(), []),
        ("host", lstm(), ["--stream", "4"]),
        ("host", loop(), ["--stream", "4"]),
    ],
    ids=["mean", "flat", "lstm", "lstm in hops", "loop in hops"],
)
def test_every_window_equals_the_reference(project: Path, board: str, content: bytes, stream: list[str]) -> None:
    bring(project, content)
    for words in (["ready", "m"], ["generate", "m", *stream], ["build", "m"], ["hil", "--name", "m"]):
        done = stage(*words, *(["--board", board] if words[0] != "ready" else []), cwd=project)
        assert done.returncode == 0, done.stdout + done.stderr
    folder = project / "build" / "m" / f"{board}-compiled"
    report, plan = (json.loads((folder / f"{name}.json").read_text()) for name in ("report", "plan"))
    assert (report["verdict"], report["windows"]["equal"]) == ("pass", 5)
    assert plan.get("hop") == (int(stream[1]) if stream else None)
    assert sum(step["state_bytes"] for step in plan["operators"]) > 0


def test_windows_follow_one_another_where_the_state_is_kept(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bring(project, lstm())
    for words in (["ready", "m"], ["generate", "m", "--board", "host"], ["build", "m", "--board", "host"]):
        assert stage(*words, cwd=project).returncode == 0
    monkeypatch.chdir(project)
    graph = import_model(lstm(), "m")
    ops, states = operators(graph, "m"), dict[int, Int8s]()
    with live.connect(board="host", name="m") as device:
        windows = device.built.reference["inputs"]
        followed, alone = device.follow(windows), device.stream(windows)
    assert np.array_equal(followed, [answer_to(graph, ops, window, states) for window in windows])
    assert np.array_equal(alone, device.built.reference["outputs"])
    assert np.array_equal(followed[0], alone[0]) and not np.array_equal(followed, alone)


def test_what_the_models_file_says_is_streamed_on_two_boards(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bring(project, causal("mean"), stream=8)
    for words in (["ready", "m"], ["generate", "m", "--board", "host"], ["build", "m", "--board", "host"]):
        assert stage(*words, cwd=project).returncode == 0
    folder = project / "build" / "m" / "host-compiled"
    assert json.loads((folder / "plan.json").read_text())["hop"] == 8
    monkeypatch.chdir(project)
    board = load_board("host")
    with emulate(board, folder) as one, emulate(board, folder) as two:
        assert hil.main(["--port", one, "--port", two, "--name", "m"]) == 0
    report = json.loads((folder / "report.json").read_text())
    assert (report["windows"]["equal"], sum(each["windows"] for each in report["boards"])) == (5, 5)
    with pytest.raises(Problem, match="takes hops of 24 bytes, the self-test sends whole windows"):
        hil.main(["--self-test", "--board", "host", "--name", "m"])
    whole = stage("generate", "m", "--board", "host", "--stream", "0", cwd=project)
    assert (whole.returncode, "hop" in json.loads((folder / "plan.json").read_text())) == (0, False)


def test_refuses_to_stream_in_tflite_micro(project: Path) -> None:
    bring(project, causal("mean"))
    assert stage("ready", "m", cwd=project).returncode == 0
    done = stage("generate", "m", "--board", "host", "--runtime", "tflm", "--stream", "8", cwd=project)
    assert (done.returncode, "runtime tflm takes whole windows" in done.stderr) == (2, True)


def ask(device: Device, windows: list[bytes], size: int) -> list[bytes]:
    info = device.hello()
    return [made.output for made in hops.answers(device, info, windows, size, 4)]


def test_a_window_of_one_hop_is_run_as_ever() -> None:
    with FakeDevice() as fake:
        device = Device(transport.connect(fake.path))
        assert ask(device, [bytes(16)], 16) == [answer(bytes(16), 4)]
        device.close()


def test_a_window_that_is_no_multiple_of_a_hop_and_a_device_without_state_are_problems() -> None:
    with FakeDevice() as fake:
        device = Device(transport.connect(fake.path))
        with pytest.raises(Problem, match="takes hops of 16 bytes, window 0 has 40"):
            ask(device, [bytes(40)], 40)
        with pytest.raises(Problem, match="refuses a hop of window 0: type"):
            ask(device, [bytes(32)], 32)
        device.close()


class Steps:
    """A device behind `ask` that counts the hops since a RUN, and once has restarted."""

    name = "steps"

    def __init__(self) -> None:
        self.count, self.sent, self.confirmed = 0, list[int](), 0
        self.stats = type("Stats", (), {"restarts": 0})()

    def ask(self, kind: int, body: bytes, seconds: float) -> wire.Frame:
        self.sent.append(kind)
        if len(self.sent) == 3:
            return wire.Frame(wire.ERROR, 1, b"\0\7HELLO comes first")
        self.count = 1 if kind == wire.RUN else self.count + 1
        return wire.Frame(wire.RESULT, 1, struct.pack("<II", 10, zlib.crc32(body)) + bytes([self.count]))

    def confirm(self, info: wire.Info) -> None:
        self.confirmed += 1


def test_a_restart_begins_the_window_anew() -> None:
    device = Steps()
    info = type("Info", (), {"input_bytes": 2, "output_bytes": 1})()
    made = list(hops.answers(device, info, [bytes(8), bytes(8)], 8, 4))  # type: ignore[arg-type]
    assert [(each.ticks, each.output) for each in made] == [(40, b"\1\2\3\4")] * 2
    again = [wire.RUN, wire.STREAM, wire.STREAM, wire.STREAM]
    assert (device.sent, device.confirmed) == ([wire.RUN, wire.STREAM, wire.STREAM, *again, *again], 1)
