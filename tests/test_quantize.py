"""Quantization: integers only, calibrated on training windows, and what the other stages read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import stage

from pipeline import metrics, prune, quantize
from pipeline.files import model_id
from pipeline.flatbuffer import read, write
from pipeline.graph import Graph, Node, Quant, Tensor
from pipeline.problem import Problem
from pipeline.spec import Side

NAMES = ("rehab", "bearing")
KEYS = {"model", "model_id", "tflite_bytes", "task", "input", "output", "metrics", "ladder", "limits", "sparsity"}


@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_is_int8_or_int32(trained: Callable[[str], Path], name: str) -> None:
    graph = read((trained(name) / "model.tflite").read_bytes())
    assert len(graph.tensors) > 8
    assert {tensor.dtype for tensor in graph.tensors} == {"int8", "int32"}


@pytest.mark.parametrize("name", NAMES)
def test_quantize_json_and_the_reference_hold_what_the_bench_needs(trained: Callable[[str], Path], name: str) -> None:
    folder = trained(name)
    facts = json.loads((folder / "quantize.json").read_text())
    flatbuffer = (folder / "model.tflite").read_bytes()
    assert set(facts) >= KEYS
    assert (facts["model_id"], facts["tflite_bytes"]) == (model_id(flatbuffer), len(flatbuffer))
    with np.load(folder / "reference.npz") as arrays:
        count = len(arrays["labels"])
        assert arrays["inputs"].dtype == arrays["outputs"].dtype == np.int8
        assert arrays["inputs"].shape == (count, *facts["input"]["shape"])
        assert arrays["outputs"].shape == (count, *facts["output"]["shape"])
        assert arrays["float_outputs"].shape == arrays["pruned_outputs"].shape == arrays["outputs"].shape
        assert arrays["groups"].shape == (count,)
        assert arrays["inputs"].nbytes < 1_000_000
        outputs = metrics.dequantize(arrays["outputs"], facts["output"])
        inputs = metrics.dequantize(arrays["inputs"], facts["input"])
        assert metrics.score(facts["task"], outputs, arrays["labels"], inputs, "int8") == facts["metrics"]["int8"]


@pytest.mark.parametrize("name", NAMES)
def test_the_int8_rung_meets_the_limits(trained: Callable[[str], Path], name: str) -> None:
    facts = json.loads((trained(name) / "quantize.json").read_text())
    limits, rungs = facts["limits"], facts["metrics"]
    metric = limits["metric"]
    assert rungs["int8"][metric] >= limits["minimum"]
    assert rungs["float"][metric] - rungs["int8"][metric] <= limits["drop_int8"]


def test_weights_are_per_channel(trained: Callable[[str], Path]) -> None:
    graph = read((trained("rehab") / "model.tflite").read_bytes())
    assert {16, 32} <= {len(tensor.quant.scale) for tensor in graph.tensors if tensor.quant}


def test_pruned_zeros_are_still_zeros_in_the_flatbuffer(trained: Callable[[str], Path]) -> None:
    graph = read((trained("rehab") / "model.tflite").read_bytes())
    weights = [t.data for t in graph.tensors if t.data is not None and t.dtype == "int8" and t.count >= 224]
    assert len(weights) == 4
    assert min(float(np.mean(data == 0)) for data in weights) >= 0.70


def test_calibration_draws_from_the_training_side_only(tiny_trained: Path) -> None:
    facts = json.loads((tiny_trained / "build/tiny/quantize.json").read_text())
    assert facts["calibration"] == {"windows": 174, "side": "train"}
    train = Side(np.zeros((1000, 2), np.float32), np.zeros(1000, np.int64), np.zeros(1000, np.int64))
    chosen = quantize.calibration(train, 1)
    assert len(set(chosen.tolist())) == quantize.CALIBRATION_WINDOWS
    assert chosen.max() < 1000
    assert quantize.calibration(train, 1).tolist() == chosen.tolist()


def test_the_input_range_ignores_windows_outside_the_training_side(tiny_copy: Path) -> None:
    first = json.loads((tiny_copy / "build/tiny/quantize.json").read_text())
    path = tiny_copy / "build/tiny/windows.npz"
    with np.load(path) as arrays:
        loud = {key: arrays[key] * (100 if key in ("x_val", "x_test") else 1) for key in arrays.files}
    np.savez_compressed(
        path, **{key: value.astype(np.float32) if key[0] == "x" else value for key, value in loud.items()}
    )
    stage("quantize", "tiny", cwd=tiny_copy)
    second = json.loads((tiny_copy / "build/tiny/quantize.json").read_text())
    assert second["input"] == first["input"]
    assert second["model_id"] == first["model_id"]


def test_the_ladder_is_one_table_with_deltas(tiny_trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = json.loads((tiny_trained / "build/tiny/quantize.json").read_text())
    ladder = facts["ladder"]
    assert [row["rung"] for row in ladder] == ["float", "pruned", "int8"]
    assert ladder[2]["delta"] == pytest.approx(ladder[2]["accuracy"] - ladder[0]["accuracy"])
    quantize.print_ladder(facts)
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith("│")]
    assert [row.split("│")[1].strip() for row in rows] == ["float", "pruned", "int8"]
    assert "delta accuracy" in printed


def test_a_limit_missed_by_int8_is_exit_1_and_the_bytes_are_the_same_as_ever(tiny_copy: Path) -> None:
    before = (tiny_copy / "build/tiny/model.tflite").read_bytes()
    path = tiny_copy / "models/tiny/model.py"
    path.write_text(path.read_text().replace("drop_int8=0.4", "drop_int8=-0.5"))
    done = stage("quantize", "tiny", "--json", cwd=tiny_copy)
    assert done.returncode == 1
    assert "limit missed: tiny int8: accuracy drops by " in done.stderr
    assert "hint: with 16 bits it loses less: python -m pipeline.quantize tiny --activations 16\n" in done.stderr
    assert json.loads(done.stdout)["model"] == "tiny"
    assert (tiny_copy / "build/tiny/model.tflite").read_bytes() == before


def test_an_anomaly_task_has_a_threshold_for_each_rung(trained: Callable[[str], Path]) -> None:
    facts = json.loads((trained("bearing") / "quantize.json").read_text())
    assert set(facts["task"]["threshold"]) == {"float", "pruned", "int8"}
    for rung, figures in facts["metrics"].items():
        assert figures["threshold"] == facts["task"]["threshold"][rung]
        assert figures["false_alarm_rate"] <= 0.10
        assert figures["detection_rate"] >= 0.95


def test_says_which_stage_is_missing(tiny_project: Path) -> None:
    with pytest.raises(Problem, match=r"prune\.json: does not exist yet") as caught:
        quantize.quantize("tiny")
    assert caught.value.hint == "run: python -m pipeline.prune tiny"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            '("slow", "fast")',
            '("fast", "slow")',
            r"labels was \['slow', 'fast'\], the model's file says \['fast', 'slow'\]",
        ),
        ("seed=3", "seed=3, output=1", "is of a network whose output was 0, the model's file says 1"),
        ("Window((32, 2)", "Window((16, 2)", r"has windows \(32, 2\), the model's file says \(16, 2\)"),
    ],
)
@pytest.mark.parametrize("run", [prune.prune, quantize.quantize])
def test_what_an_earlier_stage_made_of_another_spec_is_refused(
    tiny_copy: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[[str], int], old: str, new: str, said: str
) -> None:
    monkeypatch.setattr(quantize, "_networks", lambda *_: {})
    path = tiny_copy / "models/tiny/model.py"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(Problem, match=said) as caught:
        run("tiny")
    assert "python -m pipeline.train tiny" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "content", "lacks"),
    [
        ("prune.json", b"{}", "prune.json: lacks task, metrics, sparsity"),
        ("windows.json", b"{}", "windows.json: lacks sides, standardise, window, provenance, groups"),
        ("windows.npz", b"PK", "windows.npz: is not a readable .npz"),
    ],
)
def test_damaged_files_of_earlier_stages_are_refused(
    tiny_copy: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, lacks: str
) -> None:
    monkeypatch.setattr(quantize, "_networks", lambda *_: {})
    (tiny_copy / "build/tiny" / name).write_bytes(content)
    with pytest.raises(Problem, match=lacks):
        quantize.quantize("tiny")


def test_windows_of_which_a_part_is_gone_are_refused(tiny_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "_networks", lambda *_: {})
    path = tiny_copy / "build/tiny/windows.npz"
    with np.load(path) as arrays:
        left = {name: arrays[name] for name in arrays.files if name != "g_test"}
    np.savez(path, **left)
    with pytest.raises(Problem, match=r"windows\.npz: lacks g_test") as caught:
        quantize.quantize("tiny")
    assert caught.value.hint == "run: python -m pipeline.windows tiny"


def test_a_limit_for_a_board_that_is_none_is_told(tiny_project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tiny_project / "boards" / "nano33ble.toml").touch()
    quantize.warn_of_boards({"minimum": 0.8, "ticks": {"nano33ble": 1}, "ram": {"nano33": 1}}, "tiny")
    said = "tiny: a limit is for nano33, and there is no such board: did you mean nano33ble?\n"
    assert capsys.readouterr().err == said


def test_names_every_tensor_that_is_not_an_integer() -> None:
    kinds = {"a": "int8", "b": "float32", "c": "int32", "d": "float16"}
    graph = Graph(tuple(Tensor(name, (1,), kind) for name, kind in kinds.items()), (), (), ())
    with pytest.raises(Problem, match="watch: 2 tensors are not int8 or int32: b is float32, d is float16"):
        quantize.check_integer(graph, "watch")


def test_16x8_has_int16_activations_and_nothing_of_floats() -> None:
    kinds = {"a": "int8", "b": "int16", "c": "int32", "d": "int64"}
    graph = Graph(tuple(Tensor(name, (1,), kind) for name, kind in kinds.items()), (), (), ())
    quantize.check_integer(graph, "watch", 16)
    more = Graph((*graph.tensors, Tensor("e", (1,), "float32")), (), (), ())
    with pytest.raises(Problem, match="watch: 1 tensors are not int16, int8, int32 or int64: e is float32"):
        quantize.check_integer(more, "watch", 16)


def test_a_constant_of_zeros_without_a_scale_gets_one() -> None:
    y, zero = Quant((0.25,), (0,)), np.zeros((1, 4), np.int16)
    tensors = (Tensor("x", (1, 4), "int16", y), Tensor("c", (1, 4), "int16", Quant((0.0,), (0,)), zero))
    node = Node(0, "SUB", (1, 0), (2,), {"table": "SubOptions"})
    content = write(Graph((*tensors, Tensor("y", (1, 4), "int16", y)), (node,), (0,), (2,)))
    mended = quantize.with_scales(content)
    assert [tensor.quant for tensor in read(mended).tensors] == [y, y, y]
    assert quantize.with_scales(mended) == mended


def test_many_operators_are_told_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    nodes = tuple(Node(index, "ADD", (0, 0), (0,), {}) for index in range(301))
    quantize.warn_of_many(Graph((), nodes[:300], (), ()), "watch")
    assert capsys.readouterr().err == ""
    quantize.warn_of_many(Graph((), nodes, (), ()), "watch")
    assert "watch: 301 operators, for recurrent layers were unrolled step by step" in capsys.readouterr().err
