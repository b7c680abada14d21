"""What kernels take on a core, measured: pipeline/costs.json, from which the Plan chooses kernels and predicts.

python benchmarks/calibrate.py --board cortex-m4              # or several: --board rv32 --board xtensa
python benchmarks/calibrate.py --board cortex-m4 --show       # also how far off each layer is

One firmware holds many small random layers, each in every way that the core's kernels allow. The board's emulator
counts each, and non-negative least squares, of relative errors, give what every feature of pipeline/costs.py takes.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from small_layers import BEHIND_RELU, KINDS, Kinds, Room, drawn, pooled, room_of, separables  # noqa: E402

from pipeline import costs, files, flatbuffer, layers, transport  # noqa: E402
from pipeline.board import Board, load_board  # noqa: E402
from pipeline.build import build, firmware  # noqa: E402
from pipeline.cores import Core, core_of  # noqa: E402
from pipeline.device import Device  # noqa: E402
from pipeline.emulator import emulate  # noqa: E402
from pipeline.generate import write  # noqa: E402
from pipeline.graph import Graph, Node, Quant, Tensor  # noqa: E402
from pipeline.ops import cases  # noqa: E402
from pipeline.ops.base import Call, Op, known_ops  # noqa: E402
from pipeline.ops.choice import around  # noqa: E402
from pipeline.plan import Plan, Step, plan  # noqa: E402

NAME = "calibration"
OURS = ("pads", "pool", "pool_activation", "between", "point")  # options that no .tflite has
MODELS: tuple[Kinds, ...] = (KINDS, (pooled,))  # each has a firmware of its own, for there is not room for all
BY_LINES: Kinds = (separables,)  # of cores that have them


@dataclass(frozen=True)
class Way:
    """An operator done by one of its calls."""

    op: Op
    made: Call

    @property
    def macs(self) -> int:
        """Of the operator."""
        return self.op.macs

    @property
    def in_place(self) -> tuple[int, ...]:
        """Of the operator."""
        return self.op.in_place

    def call(self) -> Call:
        """The one."""
        return self.made


# One model of all


@dataclass
class Model:
    """Layers side by side, all of which read parts of the one input: `room` bytes of any values, and as many more as a
    ReLU leaves them."""

    core: Core
    room: Room
    tensors: list[Tensor] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    ops: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tensors.append(Tensor("input", (1, 2 * self.room.input), "int8", Quant((0.05,), (0,))))

    def add(self, graph: Graph) -> None:
        """A layer, in every way."""
        small = graph.nodes[0]
        op = known_ops()[small.op].from_node(small, graph)
        ways = op.ways(self.core) if hasattr(op, "ways") else ()
        calls = [call for call in ways or (op.call(),) if isinstance(call, Call) and call.state is None]
        at = {-1: -1} | {i: self._tensor(graph, i) for i in small.inputs if i >= 0}
        for call in calls:
            self._node(Way(op, call), small, tuple(at[i] for i in small.inputs), graph.tensors[small.outputs[0]])

    def _tensor(self, graph: Graph, index: int) -> int:
        """A constant, or a part of the input."""
        tensor = graph.tensors[index]
        if tensor.data is not None:
            self.tensors.append(tensor)
            return len(self.tensors) - 1
        begin = self.room.input if tensor.zero_point == BEHIND_RELU else 0
        whole, flat = replace(self.tensors[0], quant=tensor.quant), replace(tensor, shape=(1, tensor.count))
        bounds = [cases.constant(name, values) for name, values in (("begin", (0, begin)), ("size", flat.shape))]
        cut = cases.one_node("SLICE", [whole, *bounds], flat, "SliceOptions")
        self.tensors += bounds
        inputs = (0, len(self.tensors) - 2, len(self.tensors) - 1)
        return self._node(known_ops()["SLICE"].from_node(cut.nodes[0], cut), cut.nodes[0], inputs, tensor)

    def _node(self, op: Any, like: Node, inputs: tuple[int, ...], output: Tensor) -> int:
        self.tensors.append(replace(output, name=f"t{len(self.tensors)}"))
        self.nodes.append(replace(like, index=len(self.nodes), inputs=inputs, outputs=(len(self.tensors) - 1,)))
        self.ops.append(op)
        return len(self.tensors) - 1

    @property
    def plan(self) -> Plan:
        """The last layer's output is the model's; nobody reads the others'."""
        graph = Graph(tuple(self.tensors), tuple(self.nodes), (0,), (len(self.tensors) - 1,))
        return plan(graph, self.ops, self.core)


def model(core: Core, room: Room, kinds: Kinds = KINDS) -> Plan:
    """The plan of all layers that there is room for."""
    made, weights = Model(core, room), 0
    for graph in drawn(room, kinds):
        size = sum(tensor.bytes for tensor in graph.tensors if tensor.data is not None)
        if weights + 2 * size < room.weights:
            weights += 2 * size
            made.add(graph)
    return made.plan


# What they take


@dataclass(frozen=True)
class Seen:
    """A step of the model, and what it took."""

    step: Step
    around: costs.Around
    value: float

    def guess(self, core: str) -> float:
        """What it is predicted to take."""
        return costs.predicted(core, self.step.call, self.around) or 0.0

    def off(self, core: str) -> float:
        """How far that is off, as a share."""
        return self.guess(core) / self.value - 1

    def words(self, core: str) -> str:
        """A line of it."""
        features = costs.features(self.step.call, self.around)[1]
        return f"{self.step.call.kernel:<32}{self.value:>12,.0f}{self.off(core):>+8.1%}  {features}"


def counted(board: Board, made: Plan, window: bytes) -> NDArray[np.float64]:
    """What each step takes in the emulator on a window, in the unit of its clock; cycles where that is time."""
    content = flatbuffer.write(writable(made.graph))
    with tempfile.TemporaryDirectory() as name, chdir(name):
        for part in ("boards", "firmware"):
            shutil.copytree(ROOT / part, part)
        files.write_text(Path("models") / NAME / "model.py", "")
        head = {"model": NAME, "board": board.name, "core": board.core}
        write(Path("build") / NAME / f"{board.name}-compiled", made, content, head)
        build(firm := firmware(NAME, board.name, "compiled"))
        with emulate(board, Path(name) / firm.folder) as path:
            line = transport.connect(path)
            try:
                device = Device(line)
                device.hello()
                seen = layers.steps(device, window)
            finally:
                line.close()
    assert seen is not None and board.emulator is not None
    clock = board.emulator.clock
    per_unit = clock.ticks_per_unit / (board.clock_hz / 1e6 if clock.kind == "microseconds" else 1)
    return np.array([step.ticks for step in seen]) / per_unit


def writable(graph: Graph) -> Graph:
    """The graph without the options that the compiler added."""
    kept = [{name: value for name, value in node.options.items() if name not in OURS} for node in graph.nodes]
    nodes = (replace(node, options=options) for node, options in zip(graph.nodes, kept, strict=True))
    return replace(graph, nodes=tuple(nodes))


def window_bytes(room: Room) -> bytes:
    """Random values, then as many of which half are a ReLU's zero."""
    rng = np.random.default_rng(2)
    values = rng.integers(-127, 128, (2, room.input))
    values[1, rng.random(room.input) < 0.5] = -128
    return values.astype(np.int8).tobytes()


def least_squares(rows: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """x >= 0 of least |rows x - values| (Lawson and Hanson 1974)."""
    x, free = np.zeros(rows.shape[1]), np.zeros(rows.shape[1], bool)
    for _ in range(10 * rows.shape[1]):
        slope = rows.T @ (values - rows @ x)
        slope[free] = -np.inf
        if free.all() or slope.max() <= 1e-9 * np.abs(rows.T @ values).max():
            break
        free[slope.argmax()] = True
        while True:
            best = np.zeros_like(x)
            best[free] = np.linalg.lstsq(rows[:, free], values, rcond=None)[0]
            below = free & (best <= 0)
            if not below.any():
                break
            x += np.min(x[below] / (x[below] - best[below])) * (best - x)
            free &= x > 1e-12
        x = best
    return x


def fitted(steps: Sequence[costs.Features], values: Sequence[float]) -> dict[str, float]:
    """What each feature takes, so that relative errors are small."""
    names = sorted({name for features in steps for name in features})
    weight = 1 / np.array(values)
    rows = np.array([[features.get(name, 0.0) for name in names] for features in steps]) * weight[:, np.newaxis]
    scale = np.maximum(np.abs(rows).max(axis=0), 1e-12)
    found = least_squares(rows / scale, np.ones(len(values))) / scale
    return {name: float(f"{value:.4g}") for name, value in zip(names, found, strict=True) if value > 0}


def calibrated(seen: Sequence[Seen]) -> dict[str, dict[str, float]]:
    """By kernel, and by family for kernels that were not measured, what each feature takes."""
    groups: dict[str, list[tuple[costs.Features, float]]] = {}
    for each in seen:
        family, features = costs.features(each.step.call, each.around)
        for name in (family, each.step.call.kernel):
            groups.setdefault(name, []).append((features, each.value))
    return {name: fitted(*zip(*pairs, strict=True)) for name, pairs in sorted(groups.items())}


def calibrate(name: str, show: bool) -> str:
    """Measure a board's core and put it into the table; how far off the predictions are, in words."""
    board = load_board(name)
    assert board.emulator, f"{name} has no emulator"
    core, room = core_of(board.core), room_of(board)
    plans = [model(core, room, kinds) for kinds in (*MODELS, *([BY_LINES] if core.by_lines else []))]
    each_seen = [
        [Seen(step, around(made.graph, step.inputs, step.output), value)
         for step, value in zip(made.steps, counted(board, made, window_bytes(room)).tolist(), strict=True)]
        for made in plans
    ]  # fmt: skip
    seen = [each for some in each_seen for each in some]
    unit = "instructions" if board.emulator.clock.kind == "instructions" else "cycles"
    found = {**costs.table(), board.core: {"unit": unit, "kernels": calibrated(seen)}}
    files.write_json(costs.TABLE, dict(sorted(found.items())))
    costs.table.cache_clear()
    lines = [each.words(core.name) for each in seen] if show else []
    for kernel in sorted({each.step.call.kernel for each in seen}):
        off = np.abs([each.off(board.core) for each in seen if each.step.call.kernel == kernel])
        lines.append(
            f"{board.core}: {kernel:<32}{len(off):>4} layers, {np.median(off):.1%} off, at most {off.max():.1%}"
        )
    for made, some in zip(plans, each_seen, strict=True):
        lines.append(f"{core.name}: the ways chosen take {regret(made, some):.2%} more than the best ones")
    return "\n".join(lines)


def regret(made: Plan, seen: Sequence[Seen]) -> float:
    """How much more the cheapest ways by the predictions take than those that are the cheapest, of all layers."""
    ways: dict[tuple[int, ...], list[Seen]] = {}
    read = {node.outputs[0]: node.inputs for node in made.graph.nodes}
    for each in seen:
        if each.step.output in read:  # else it loads a constant
            ways.setdefault(read[each.step.output], []).append(each)
    chosen = [min(group, key=lambda each: each.guess(made.core.name)).value for group in ways.values()]
    return sum(chosen) / sum(min(each.value for each in group) for group in ways.values()) - 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--board", action="append", required=True, help="a board with an emulator, of the core")
    parser.add_argument("--show", action="store_true", help="each layer")
    options = parser.parse_args()
    for each in options.board:
        sys.stdout.write(calibrate(each, options.show) + "\n")
