"""Every operator, every case: reference interpreters == Python oracle == C on the host == C in the emulators."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from ops.cases_project import Case, answers, cases_of, serving, tflite_differs, write_project
from ops.coverage import COLUMNS, LEFT_OUT, TABLE, TFLM, record, render, table

from pipeline import edges, flatbuffer, oracle
from pipeline.cores import CORES, core_of
from pipeline.evaluate import States, answer
from pipeline.importer import operators
from pipeline.ops.base import known_ops
from pipeline.problem import Problem

OPS = sorted({min(name for name, cls in known_ops().items() if cls is each) for each in known_ops().values()})
BOARDS = {"host-sanitized": "host", "cortex-m4": "cortex-m4", "esp32": "xtensa-lx6", "esp32c3": "rv32imc", "avr": "avr"}
# In the portable kernels:
LAYOUTS = {f"host-{name}": name for name, core in CORES.items() if core.packing and not core.like}
SPARSE = {"host-rv32imc": "rv32imc"}  # one of the cores that take sparse weights
RUNS = [(op, board) for op in OPS for board in (*BOARDS, *(LAYOUTS if hasattr(known_ops()[op], "ways") else ()))]
WITH_ZEROS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")  # or before a layer with zeros
RUNS += [(op, board) for op in WITH_ZEROS for board in SPARSE]
RUNS.remove(("DEPTHWISE_CONV_2D", "host-cortex-m55"))  # it has tiles for sums over channels only
VECTORS = {"cortex-m55": "cortex-m55"}  # whose kernels are the portable ones but for these
RUNS += [(op, board) for op in ("ADD", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED") for board in VECTORS]
ROOT = Path(__file__).resolve().parents[2]
AVR = ROOT / "tests" / "fixtures" / "avr_port" / "board.toml"


def python_answers(case: Case) -> NDArray[np.int8]:
    """What the integer oracle makes of the case's windows."""
    graph = case.plan.graph
    ops = operators(graph, "case")
    states: States | None = {} if case.kept else None
    return np.stack([answer(graph, ops, window, states) for window in case.windows])[:, np.newaxis]


def reference_answers(case: Case) -> NDArray[np.int8]:
    """What tflite-runtime's reference kernels make of them."""
    return oracle.run(case.content, case.windows[:, 0])[:, np.newaxis]


def micro_answers(case: Case) -> NDArray[np.int8]:
    """What TFLite Micro's own interpreter makes of them."""
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(case.content, arena_size=2_000_000)
    inputs, outputs = (case.plan.graph.edge(name) for name in edges.EDGES)
    made = []
    for window in case.windows:
        if not case.kept:
            interpreter.reset()
        for number, values in enumerate(edges.split(inputs, window)):
            interpreter.set_input(values, number)
        interpreter.invoke()
        made.append(edges.join(outputs, [interpreter.get_output(number) for number in range(len(outputs))]))
    return np.stack(made)[:, np.newaxis]


def assert_equal(op: str, engine: str, cases: list[Case], got: list[NDArray[np.int8]]) -> None:
    """Byte for byte, with the first difference in words."""
    for number, (case, output) in enumerate(zip(cases, got, strict=True)):
        expected = python_answers(case)
        assert output.shape == expected.shape
        different = np.argwhere(output != expected)
        assert not len(different), (
            f"{op} case {number}: {engine} and the integer oracle differ in {len(different)} of {expected.size} bytes, "
            f"first at {different[0]}: {output[tuple(different[0])]} and {expected[tuple(different[0])]}"
        )


@pytest.mark.parametrize("op", OPS)
def test_python_oracle_equals_tflite_and_tflite_micro(op: str) -> None:
    cases = cases_of(op, windows=8)
    assert len(cases) >= 3
    record(op, "oracle", len(cases), len(cases))
    if hasattr(known_ops()[op], "micro_lacks"):  # why, in words: then tflite-runtime is the truth
        with pytest.raises(RuntimeError, match="TFLM failed to allocate tensors"):
            micro_answers(cases[0])
        record(op, "TFLM", len(cases), 0)
    else:
        assert_equal(op, "TFLite Micro", cases, [micro_answers(case) for case in cases])
        record(op, "TFLM", len(cases), len(cases))
    cases = [case for case in cases if not case.kept]
    same = [case for case in cases if not tflite_differs(flatbuffer.read(case.content))]
    assert_equal(op, "tflite-runtime BUILTIN_REF", same, [reference_answers(case) for case in same])
    equal = sum(equals_reference(case) for case in cases)
    assert equal < len(cases) or not hasattr(known_ops()[op], "tflite_differs")  # its words must be true
    record(op, "tflite-runtime", len(cases), equal)


def equals_reference(case: Case) -> bool:
    """Whether tflite-runtime takes the case and gives the oracle's bytes."""
    try:
        return np.array_equal(reference_answers(case), python_answers(case))
    except Problem:
        return False


def test_the_table_of_operators_is_of_those_there_are() -> None:
    """The numbers in it each test of the suite checks for itself."""
    rows = table()
    assert sorted(rows) == OPS, "make operators"
    assert all(rows[op]["oracle"] == str(len(cases_of(op))) for op in OPS), "make operators"
    text = TABLE.read_text()
    assert text == render(rows), "make operators"
    assert TFLM - known_ops().keys() <= LEFT_OUT.keys(), "an operator of TFLite Micro needs a reason why it is left out"


@pytest.mark.parametrize(("op", "board"), RUNS)
def test_c_equals_python_oracle(op: str, board: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core = core_of((BOARDS | LAYOUTS | SPARSE | VECTORS)[board])
    cases = cases_of(op, core=core)
    assert board not in LAYOUTS or any(step.call.plain is not None for case in cases for step in case.plan.steps)
    sparse = "_sparse_pairs_" if core.packing == "pairs" else "_sparse_"
    pools = op == "CONV_2D" and core.packing != "tiles"
    assert not pools or any("_pool" + sparse * core.sparse in s.call.kernel for case in cases for s in case.plan.steps)
    wanted = op in WITH_ZEROS and core.sparse
    assert not wanted or any(sparse in step.call.kernel for case in cases for step in case.plan.steps)
    host = (ROOT / "boards" / "host.toml").read_text()
    sanitized = host.replace("flags = [", 'flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", ', 1)
    sanitized = sanitized.replace("_bytes = ", "_bytes = 9_")  # the sanitizers add code, tables and red zones
    assert sanitized != host
    hosts = dict.fromkeys(("host-sanitized", *LAYOUTS, *SPARSE), sanitized)
    write_project(tmp_path, board, cases, {**hosts, "avr": AVR.read_text()})
    monkeypatch.chdir(tmp_path)
    with serving(tmp_path, board) as device:
        assert_equal(op, f"C on {board}", cases, answers(device, cases))
    if board in BOARDS:
        record(op, COLUMNS[board], len(cases), len(cases))
