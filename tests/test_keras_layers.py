"""Every kind of Keras layer: converted by TensorFlow, compiled by us, equal to TFLite Micro in every byte."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ops.cases_project import Case, answers, serving, write_project
from ops.test_conformance import micro_answers, python_answers, reference_answers

from pipeline import edges, flatbuffer
from pipeline.generate import compile_model
from pipeline.ops.base import known_ops

FIXTURE = Path(__file__).resolve().parent / "fixtures" / "keras" / "layers.py"
WINDOWS = 6

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("keras")]


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """One case per network of the fixture, by name."""
    folder = tmp_path_factory.mktemp("keras")
    environment = {**os.environ, "PYTHONPATH": str(FIXTURE.parents[3])}
    argv = [sys.executable, str(FIXTURE), str(folder)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    rng, made = np.random.default_rng(5), {}
    for path in sorted(folder.glob("*.tflite")):
        plan = compile_model(path.read_bytes(), path.stem)
        windows = np.array([edges.drawn(plan.graph.edge("input"), rng) for _ in range(WINDOWS)])[:, np.newaxis]
        made[path.stem] = Case(path.read_bytes(), plan, windows)
    assert len(made) > 75
    return made


def lacking(case: Case) -> bool:
    """Whether TFLite Micro has not all of the operators: then tflite-runtime is the truth."""
    return any(hasattr(known_ops().get(node.op), "micro_lacks") for node in flatbuffer.read(case.content).nodes)


def test_the_integer_oracle_equals_tflite_micro_on_every_layer(layers: dict[str, Case]) -> None:
    truth = {name: (reference_answers if lacking(case) else micro_answers) for name, case in layers.items()}
    different = [name for name, case in layers.items() if not np.array_equal(python_answers(case), truth[name](case))]
    assert different == []
    assert sum(map(lacking, layers.values())) <= 4  # GELU, EXP, SELECT


def test_the_outputs_are_not_all_alike(layers: dict[str, Case]) -> None:
    flat = [name for name, case in layers.items() if len(np.unique(python_answers(case))) < 4]
    assert flat == []


def test_the_arena_is_packed_within_two_percent_of_the_bound(layers: dict[str, Case]) -> None:
    layouts = {name: case.plan.layout for name, case in layers.items()}
    loose = [n for n, made in layouts.items() if made.arena_bytes > 1.02 * made.arena_bound + 4]
    assert loose == []


@pytest.mark.parametrize("board", ["host", "cortex-m4", "esp32"])
def test_c_equals_the_integer_oracle_on_every_layer(
    layers: dict[str, Case], board: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = sorted(layers)
    for start in range(0, len(names), 16):  # so many fit the smallest board
        chosen = names[start : start + 16]
        cases, folder = [layers[name] for name in chosen], tmp_path / str(start)
        write_project(folder, board, cases)
        monkeypatch.chdir(folder)
        with serving(folder, board) as device:
            got = answers(device, cases)
        different = [n for n, c, g in zip(chosen, cases, got, strict=True) if not np.array_equal(g, python_answers(c))]
        assert different == []
