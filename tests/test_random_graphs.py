"""Random branched graphs through the whole compiler: TFLite Micro == tflite-runtime == the oracle == C, every byte.

A graph that fails is shrunk; its .tflite stays in build/random/, and hypothesis prints where.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import currently_in_test_context, given, note, settings
from hypothesis import strategies as st
from ops.cases_project import FIXTURES, Case, answers, serving, tflite_differs, write_project
from ops.random_graphs import random_graph
from ops.test_conformance import micro_answers, python_answers, reference_answers

from pipeline import edges, files, flatbuffer
from pipeline.evaluate import answer
from pipeline.generate import compile_model, sources
from pipeline.graph import Graph
from pipeline.importer import import_model, operators

ROOT = Path(__file__).resolve().parents[1]
IN_FLOAT = ("LOGISTIC", "TANH")  # tflite-runtime's table for them is made in float: at some scales it is off by one
FLAGS = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror",
         "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DBOARD_ARENA_BYTES=1000000"]  # fmt: skip


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    return random_graph(lambda below: draw(st.integers(0, below - 1)), draw(st.integers(1, 20)))


def case_of(graph: Graph) -> Case:
    """The graph as a case of six windows; its file stays where a failure can be looked at."""
    content = flatbuffer.write(graph)
    path = ROOT / "build" / "random" / f"{files.model_id(content)}.tflite"
    files.write_bytes(path, content)
    if currently_in_test_context():
        note(f"{path}: {', '.join(f'{node.op} {node.inputs} -> {node.outputs}' for node in graph.nodes)}")
    plan, rng = compile_model(content, path), np.random.default_rng(1)
    windows = np.array([edges.drawn(plan.graph.edge("input"), rng) for _ in range(6)])[:, np.newaxis]
    return Case(content, plan, windows)


def seeded(seed: int, nodes: int) -> Case:
    rng = np.random.default_rng(seed)
    return case_of(random_graph(lambda below: int(rng.integers(below)), nodes))


@pytest.mark.slow
@settings(max_examples=150)
@given(graphs())
def test_the_compiled_graph_the_files_graph_and_both_interpreters_agree(graph: Graph) -> None:
    case = case_of(graph)
    expected = micro_answers(case)
    assert np.array_equal(python_answers(case), expected)
    whole = import_model(case.content, "whole")
    ops = operators(whole, "whole")
    assert np.array_equal([answer(whole, ops, window)[np.newaxis] for window in case.windows], expected)
    if not (tflite_differs(graph) or any(node.op in IN_FLOAT for node in graph.nodes)):
        assert np.array_equal(reference_answers(case), expected)
    assert case.plan.layout.arena_bytes <= 1.02 * case.plan.layout.arena_bound + 4


@pytest.mark.slow
@settings(max_examples=25)
@given(graphs())
def test_c_under_sanitizers_gives_the_bytes_whatever_lies_in_the_arena(
    tmp_path_factory: pytest.TempPathFactory, graph: Graph
) -> None:
    case = case_of(graph)
    folder = tmp_path_factory.mktemp("random")
    for name, text in sources(case.plan, case.content, "random").items():
        (folder / name).write_text(text)
    program = folder / "random"
    places = [f"-I{folder}", f"-I{ROOT / 'firmware' / 'kernels'}"]
    c_files = [str(folder / "model.c"), str(folder / "weights.c"), str(FIXTURES / "windows" / "main.c")]
    subprocess.run(["gcc", *FLAGS, *places, *c_files, "-o", str(program)], check=True)
    done = subprocess.run([str(program)], input=case.windows.tobytes(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    expected = micro_answers(case)
    assert np.array_equal(np.frombuffer(done.stdout, np.int8).reshape(expected.shape), expected)


@pytest.mark.slow
@pytest.mark.parametrize("board", ["cortex-m4", "esp32c3"])
def test_c_on_an_emulated_board_gives_the_bytes(board: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [seeded(seed, 3 + seed) for seed in range(16)]
    write_project(tmp_path, board, cases)
    monkeypatch.chdir(tmp_path)
    with serving(tmp_path, board) as device:
        for number, (case, got) in enumerate(zip(cases, answers(device, cases), strict=True)):
            assert np.array_equal(got, micro_answers(case)), f"seed {number}: {files.model_id(case.content)}"


def test_the_graphs_are_of_all_kinds() -> None:
    """Branches, values that are read twice, constants as operands, dead ends, and every operator of KINDS."""
    drawn = [random_graph(lambda below, rng=rng: int(rng.integers(below)), 20)  # type: ignore[misc]
             for rng in map(np.random.default_rng, range(60))]  # fmt: skip
    ops = {node.op for graph in drawn for node in graph.nodes}
    assert len(ops) >= 24
    reads = [[i for node in graph.nodes for i in node.inputs] for graph in drawn]
    assert sum(any(read.count(i) > 2 for i in read) for read in reads) > 20
    assert sum(any(g.tensors[i].data is not None and g.tensors[i].dtype == "int8" for n in g.nodes for i in n.inputs
                   if n.op in ("ADD", "MUL", "SUB")) for g in drawn) > 10  # fmt: skip
    assert sum(any(i in node.inputs for node in graph.nodes for i in graph.outputs) for graph in drawn) > 3
