"""Every kind of Keras layer: converted by TensorFlow, compiled by us, equal to TFLite Micro in every byte."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ops.cases_project import Case, answers, serving, write_project
from ops.test_conformance import micro_answers, python_answers, reference_answers

from pipeline import edges, flatbuffer, metrics
from pipeline.board import load_board
from pipeline.cores import Core, core_of
from pipeline.generate import compile_model
from pipeline.ops.base import known_ops
from pipeline.problem import Problem

FIXTURE = Path(__file__).resolve().parent / "fixtures" / "keras" / "layers.py"
WINDOWS = 6

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("keras")]


def converted(folder: Path, bits: int) -> Path:
    """The fixture's networks with activations of so many bits."""
    environment = {**os.environ, "PYTHONPATH": str(FIXTURE.parents[3])}
    argv = [sys.executable, str(FIXTURE), str(folder), str(bits)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def cases(paths: Iterable[Path]) -> dict[str, Case]:
    """One case per network, by name."""
    rng, made = np.random.default_rng(5), {}
    for path in sorted(paths):
        plan = compile_model(path.read_bytes(), path.stem)
        windows = np.array([edges.drawn(plan.graph.edge("input"), rng) for _ in range(WINDOWS)])[:, np.newaxis]
        made[path.stem] = Case(path.read_bytes(), plan, windows)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All networks with 8 bits."""
    return converted(tmp_path_factory.mktemp("keras"), 8)


@pytest.fixture(scope="module")
def layers(folder: Path) -> dict[str, Case]:
    """Every network with 8 bits."""
    made = cases(folder.glob("*.tflite"))
    assert len(made) > 75
    return made


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the networks in 16x8, and of what is said of others."""
    return converted(tmp_path_factory.mktemp("keras16"), 16)


def lacking(case: Case) -> bool:
    """Whether TFLite Micro has not all of the operators: then tflite-runtime is the truth."""
    return any(hasattr(known_ops().get(node.op), "micro_lacks") for node in flatbuffer.read(case.content).nodes)


def test_the_integer_oracle_equals_tflite_micro_on_every_layer(layers: dict[str, Case]) -> None:
    truth = {name: (reference_answers if lacking(case) else micro_answers) for name, case in layers.items()}
    different = [name for name, case in layers.items() if not np.array_equal(python_answers(case), truth[name](case))]
    assert different == []
    assert sum(map(lacking, layers.values())) <= 4  # GELU, EXP, SELECT


def test_recurrent_layers_of_many_steps_are_loops_close_to_float(layers: dict[str, Case], folder: Path) -> None:
    long = {name: case for name, case in layers.items() if name.endswith("_long")}
    assert len(long) == 6
    for name, case in long.items():
        assert sum(step.op == "WHILE" for step in case.plan.steps) == (2 if "stacked" in name or "bi" in name else 1)
        assert len(case.plan.all_steps) < 45
        real = np.load(folder / f"{name}.npz")
        x, y = (edges.facts([each]) for each in (case.plan.input, case.plan.output))
        asked = replace(case, windows=metrics.quantize(real["x"], x)[:, np.newaxis])
        apart = np.abs(metrics.dequantize(python_answers(asked)[:, 0], y) - real["y"]).mean() / real["y"].std()
        assert apart < 0.1, name


def test_the_outputs_are_not_all_alike(layers: dict[str, Case]) -> None:
    flat = [name for name, case in layers.items() if len(np.unique(python_answers(case))) < 4]
    assert flat == []


def test_the_arena_is_packed_within_two_percent_of_the_bound(layers: dict[str, Case]) -> None:
    layouts = {name: case.plan.layout for name, case in layers.items()}
    loose = [n for n, made in layouts.items() if made.arena_bytes > 1.02 * made.arena_bound + 4]
    assert loose == []


def _for(core: Core, case: Case) -> Case:
    return replace(case, plan=compile_model(case.content, "case", core))


def different_on(board: str, layers: dict[str, Case], folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The networks whose answers on a board, compiled for its core, are not the integer oracle's."""
    core, names, wrong = core_of(load_board(board).core), sorted(layers), list[str]()
    for start in range(0, len(names), 16):  # so many fit the smallest board
        chosen = names[start : start + 16]
        some, project = [_for(core, layers[name]) for name in chosen], folder / str(start)
        write_project(project, board, some)
        monkeypatch.chdir(project)
        with serving(project, board) as device:
            got = answers(device, some)
        wrong += [n for n, c, g in zip(chosen, some, got, strict=True) if not np.array_equal(g, python_answers(c))]
    return wrong


@pytest.mark.parametrize("board", ["host", "cortex-m4", "esp32"])
def test_c_equals_the_integer_oracle_on_every_layer(
    layers: dict[str, Case], board: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert different_on(board, layers, tmp_path, monkeypatch) == []


# What has no 16x8 form: in the converter, and of what it makes, in TFLite Micro.
NARROW = {
    "prelu": "PRELU", "elu": "ELU", "hard_swish": "HARD_SWISH", "softsign": "DIV", "log_softmax": "LOG_SOFTMAX",
    "unit_norm": "L2_NORMALIZATION", "selu": "GREATER", "waves": "NEG, ROUND, SIN",
}  # fmt: skip
NARROW_IN_MICRO = {
    "gelu": "GELU", "gelu_tanh": "GELU", "exponential": "EXP", "global_max1d": "REDUCE_MAX",
    "global_max2d": "REDUCE_MAX", "up_sampling_bilinear": "RESIZE_BILINEAR",
}  # fmt: skip


def test_16x8_layers_equal_tflite_micro_and_the_others_are_refused(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = {path.stem: path.read_text() for path in wide.glob("*.refused")}
    for name, said in refused.items():
        op = "UNIDIRECTIONAL_SEQUENCE_LSTM" if name.startswith("lstm") else NARROW[name]
        assert said.startswith(f"error: activations=16: TensorFlow's converter has no {op} with 16 bits\n  hint: "), (
            name
        )
    assert refused.keys() >= NARROW.keys() and len(refused) == 16
    for name, op in NARROW_IN_MICRO.items():
        with pytest.raises(Problem, match=f"{op}: .* is int16, not quantized int8") as caught:
            compile_model((wide / f"{name}.tflite").read_bytes(), name)
        assert caught.value.hint == "with 16 bits it has no kernel: activations=8 has one; or another layer"
    made = cases(path for path in wide.glob("*.tflite") if path.stem not in NARROW_IN_MICRO)
    assert len(made) > 60
    assert [name for name, case in made.items() if not np.array_equal(python_answers(case), micro_answers(case))] == []
    assert [name for name, case in made.items() if len(np.unique(python_answers(case))) < 4] == []
    assert different_on("host", made, tmp_path, monkeypatch) == []
