"""Firmware that holds many one-operator models at once, so that a board checks them all in one run."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import jinja2
import numpy as np
from numpy.typing import NDArray

from pipeline import edges, files, flatbuffer, transport
from pipeline.build import build, firmware
from pipeline.cores import PORTABLE, Core
from pipeline.device import Device
from pipeline.emulator import emulate
from pipeline.evaluate import answer
from pipeline.generate import compile_model, sources
from pipeline.graph import Graph, Quant, Tensor
from pipeline.importer import operators
from pipeline.ops.base import known_ops
from pipeline.plan import Plan
from pipeline.problem import Problem, Problems

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
HEAD = 4  # bytes before a case's input: its number, 1 to keep the state, and padding that keeps the input aligned


@dataclass(frozen=True)
class Case:
    """One small model with windows int8 [n, 1, *shape] for it (see pipeline/edges.py)."""

    content: bytes
    plan: Plan
    windows: NDArray[np.int8]
    kept: bool = False  # True: the state goes from window to window


def tflite_differs(graph: Graph) -> bool:
    """Whether tflite-runtime gives other bytes than TFLite Micro for an operator here, or none, for a reason known."""
    differing = [(node, cls) for node in graph.nodes if hasattr(cls := known_ops().get(node.op), "tflite_differs")]
    return any(getattr(cls, "tflite_same", None) != graph.input(node).dtype for node, cls in differing)


def cases_of(op: str, windows: int = 4, core: Core = PORTABLE) -> list[Case]:
    """The operator's own random cases, with the extremes and random values as windows; the seed is the name's."""
    rng = np.random.default_rng(zlib.crc32(op.encode()))
    made = []
    for graph in graphs_of(op, rng):
        content = flatbuffer.write(graph)
        plan = compile_model(content, op, core)
        inputs = plan.graph.edge("input")
        ranges = [edges.RANGES[tensor.dtype] for tensor in inputs]
        lows, highs = (
            edges.join(inputs, [np.full(t.shape, pair[end]) for t, pair in zip(inputs, ranges, strict=True)])
            for end in (0, 1)
        )
        steps = edges.join(inputs, [counting(tensor) for tensor in inputs])
        drawn = [edges.drawn(inputs, rng) for _ in range(windows)]
        made.append(Case(content, plan, np.array([lows, highs, steps, *drawn])[:, np.newaxis]))
    return [*made, *(replace(case, kept=True) for case in made if case.plan.layout.states)]


def graphs_of(op: str, rng: np.random.Generator) -> Iterator[Graph]:
    """The operator's cases, two of three calibrated, then the first of each of its names in other types it moves."""
    first: dict[str, Graph] = {}
    for number, graph in enumerate(known_ops()[op].cases(rng)):
        first.setdefault(graph.nodes[0].op, graph)
        yield calibrated(graph, np.random.default_rng(number)) if number % 3 else graph
    for name, types in getattr(known_ops()[op], "types", {}).items():
        yield from (retyped(first[name], dtype) for dtype in types if name in first)


def retyped(graph: Graph, dtype: str) -> Graph:
    """What is int8 is of another type; 16 bits have no zero point, 32 bits and bools no quantization."""

    def other(tensor: Tensor) -> Tensor:
        if tensor.dtype != "int8" or tensor.quant is None:
            return tensor
        quant = replace(tensor.quant, zero_point=(0,)) if dtype == "int16" else None
        return replace(
            tensor, dtype=dtype, quant=quant, data=None if tensor.data is None else tensor.data.astype(dtype)
        )

    return replace(graph, tensors=tuple(other(tensor) for tensor in graph.tensors))


def calibrated(graph: Graph, rng: np.random.Generator) -> Graph:
    """The graph with an output scale and zero point that its outputs just fill; as it is where these are prescribed.

    Without it many outputs are the smallest or the largest value, where a wrong one is not seen.
    """
    y = graph.tensors[graph.outputs[0]]
    if len(graph.outputs) != 1 or y.dtype not in ("int8", "int16") or y.quant is None:
        return graph
    (least, most), steps = edges.RANGES[y.dtype], 2 ** (8 * y.itemsize)
    windows = [edges.drawn(graph.edge("input"), rng) for _ in range(4)]
    scale, zero_point = y.scale, 0
    for _ in range(40):
        made = quantized_as(graph, scale, zero_point)
        try:
            ops = operators(made, "case")
        except (Problem, Problems):
            return graph
        made_of = [edges.split([y], answer(made, ops, window))[0] for window in windows]
        values = np.stack(made_of).astype(np.float64)
        low, high = values.min() - zero_point, values.max() - zero_point
        inside = low + zero_point > least and high + zero_point < most
        spread = high - low if y.dtype == "int8" else 2 * max(high, -low)  # around the zero point, and around zero
        if inside and spread > 0.78 * steps:
            return made
        if not spread:
            return graph
        wider = 2.0 if not inside else max(spread / (0.94 * steps), 1 / 16)
        scale, zero_point = scale * wider, 0 if not inside or y.dtype != "int8" else round(-(high + low) / 2 / wider)
        zero_point = min(max(zero_point, least), most)
    return graph


def quantized_as(graph: Graph, scale: float, zero_point: int) -> Graph:
    """The graph with another output scale and zero point."""
    index = graph.outputs[0]
    y = replace(graph.tensors[index], quant=Quant((float(np.float32(scale)),), (zero_point,)))
    return replace(graph, tensors=(*graph.tensors[:index], y, *graph.tensors[index + 1 :]))


def counting(tensor: Tensor) -> NDArray[np.int64]:
    """-128, -127, ... 127, and again; of 16 bits the whole range in 256 steps; of bools every second."""
    values = np.resize(np.arange(-128, 128), tensor.shape)
    if tensor.dtype == "int16":
        return 257 * values + 128
    return values % 2 if tensor.dtype == "bool" else values


def case_bytes(case: Case, name: Literal["input", "output"]) -> int:
    """Size of a window or an answer."""
    return edges.size(case.plan.graph.edge(name))


def models_of(cases: list[Case]) -> list[Case]:
    """One case for each model: some differ only in whether they keep the state."""
    return list({case.content: case for case in cases}.values())


def write_project(folder: Path, board: str, cases: list[Case], boards: dict[str, str] | None = None) -> None:
    """A project whose only model is `cases`, generated for `board`; `boards` are further board files by name."""
    cases = models_of(cases)
    for name in ("boards", "firmware"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copytree(FIXTURES / "cases_runtime", folder / "firmware" / "runtimes" / "cases")
    shutil.copytree(FIXTURES / "avr_port", folder / "firmware" / "ports" / "avr")
    for name, text in (boards or {}).items():
        (folder / "boards" / f"{name}.toml").write_text(text)
    (folder / "models" / "cases").mkdir(parents=True)
    (folder / "models" / "cases" / "model.py").touch()
    built = folder / "build" / "cases" / f"{board}-cases"
    view = {"cases": [f"case_{i:03}" for i in range(len(cases))], "head": HEAD,
            "input_bytes": HEAD + max(case_bytes(case, "input") for case in cases),
            "stateful": [f"case_{i:03}" for i, case in enumerate(cases) if case.plan.layout.states],
            "output_bytes": max(case_bytes(case, "output") for case in cases),
            "arena_bytes": max(max(case.plan.layout.arena_bytes for case in cases), 4)}  # fmt: skip
    for name, case in zip(view["cases"], cases, strict=True):
        for file, text in sources(case.plan, case.content, name).items():
            files.write_text(built / name / file, text)
        files.write_text(built / f"{name}.c", f'#include "{name}/model.c"\n#include "{name}/weights.c"\n')
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FIXTURES / "cases_model"), undefined=jinja2.StrictUndefined
    )
    for file in ("cases.h", "model.h"):
        files.write_text(built / file, templates.get_template(f"{file}.j2").render(view))
    files.write_json(built / "plan.json", {"arena_bytes": view["arena_bytes"], "weights_bytes": 0})


@contextmanager
def serving(folder: Path, board: str) -> Iterator[Device]:
    """Build the project in `folder` (the working directory) and talk to it on the board's emulator."""
    made = firmware("cases", board, "cases")
    build(made)
    with emulate(made.board, folder / made.folder) as path:
        line = transport.connect(path)
        try:
            yield Device(line)
        finally:
            line.close()


def answers(device: Device, cases: list[Case]) -> list[NDArray[np.int8]]:
    """What the device makes of every window of every case: int8 [n, 1, *output shape] per case."""
    info = device.hello()
    windows, models = [], [case.content for case in models_of(cases)]
    for case in cases:
        for index, window in enumerate(case.windows):
            head = bytes([models.index(case.content), case.kept and index > 0]).ljust(HEAD, b"\0")
            windows.append((head + window.tobytes()).ljust(info.input_bytes, b"\0"))
    outputs = [answer.output for answer in sorted(device.run(windows), key=lambda answer: answer.index)]
    made, start = [], 0
    for case in cases:
        part = outputs[start : start + len(case.windows)]
        start += len(part)
        count, shape = case_bytes(case, "output"), edges.shape(case.plan.graph.edge("output"))
        made.append(np.stack([np.frombuffer(output[:count], np.int8).reshape(1, *shape) for output in part]))
    return made
