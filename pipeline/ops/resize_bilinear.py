"""RESIZE_BILINEAR: Keras UpSampling2D and Resizing with bilinear interpolation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.fixedpoint import Ints
from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, clamp8, need_int8, need_one_batch, need_same_quant, op, shape3
from pipeline.problem import Problem

ONE = 1 << 10  # places in the input are in 1/1024


@dataclass(frozen=True)
class Axis:
    """How far one output step moves in the input, and where the first one lies, in 1/1024."""

    length: int
    made: int
    step: int
    first: int

    def between(self) -> tuple[Ints, Ints, Ints]:
        """For every output: the input before it, the one behind, and how far it lies behind the first."""
        places = self.first + self.step * np.arange(self.made)
        before = np.maximum(places, 0) // ONE
        return before, np.minimum(-(-np.maximum(places, 0) // ONE), self.length - 1), places - ONE * before


@op("RESIZE_BILINEAR")
@dataclass(frozen=True)
class ResizeBilinear:
    """By TFLite's integers; the input's quantization is the output's."""

    rows: Axis
    columns: Axis
    channels: int
    macs = 0
    in_place = ()

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> ResizeBilinear:
        """Refuses an enlargement whose rounded step leads out of the input."""
        x, y = graph.input(node), graph.output(node)
        need_int8(node, graph, x, y)
        need_same_quant(node, graph, x, y)
        need_one_batch(node, graph, x)
        (height, width, channels), (tall, wide, _) = shape3(x), shape3(y)
        axes = [_axis(node, length, made) for length, made in ((height, tall), (width, wide))]
        if any(max(axis.between()[0]) >= axis.length for axis in axes):
            raise Problem(graph.label(node), f"makes {tall} x {wide} out of {height} x {width}, where its steps of "
                          "1/1024 lead out of the input", "enlarge less, or in two layers")  # fmt: skip
        return cls(axes[0], axes[1], channels)

    def run(self, *inputs: Int8s) -> Int8s:
        """Input [1, h, w, c], output [1, h', w', c]; halves are rounded away from zero."""
        x = inputs[0][0].astype(np.int64)
        above, below, down = self.rows.between()
        left, right, across = self.columns.between()
        across, down = across[:, np.newaxis], down[:, np.newaxis, np.newaxis]
        wide = x[:, left] * (ONE - across) + x[:, right] * across
        sums = wide[above] * (ONE - down) + wide[below] * down
        rounded = (np.abs(sums) + ONE * ONE // 2) // (ONE * ONE) * np.sign(sums)
        return clamp8(rounded)[np.newaxis]

    def call(self) -> Call:
        """One call for the whole layer."""
        rows, columns = self.rows, self.columns
        return Call("nn_resize_bilinear_s8", "nn_resize_bilinear_t", {
            "input": (rows.length, columns.length, self.channels), "output": (rows.made, columns.made, self.channels),
            "row_step": rows.step, "column_step": columns.step, "row_first": rows.first, "column_first": columns.first,
        })  # fmt: skip

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Larger and smaller, by whole and by odd factors, with both ways of placing the corners."""
        for shape, size in (
            ((1, 3, 4, 2), (6, 8)),
            ((1, 5, 7, 1), (3, 4)),
            ((1, 4, 4, 3), (9, 5)),
            ((1, 1, 6, 2), (1, 13)),
        ):
            for align, half in ((False, False), (True, False), (False, True)):
                x = cases.activation(rng, shape, "input")
                y = cases.activation(rng, (1, *size, shape[3]), "output", x.scale, x.zero_point)
                yield cases.one_node("RESIZE_BILINEAR", [x, cases.constant("size", size)], y, "ResizeBilinearOptions",
                                     align_corners=align, half_pixel_centers=half)  # fmt: skip


def _axis(node: Node, length: int, made: int) -> Axis:
    """TFLite's step, rounded to 1/1024 (ResizeBilinearInteger)."""
    source, target = (length - 1, made - 1) if node.options["align_corners"] and made > 1 else (length, made)
    step = (ONE * source + target // 2) // target
    return Axis(length, made, step, step // 2 - ONE // 2 if node.options["half_pixel_centers"] else 0)
