"""What MAX_POOL_2D and AVERAGE_POOL_2D have in common."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Call, activation_range, need_ints, need_one_batch, need_same_quant
from pipeline.ops.window import Window, output_size, window_of


def pool_of(node: Node, graph: Graph) -> tuple[Window, tuple[int, int], str]:
    """The checked window, activation range and type of a pool."""
    x, y = graph.input(node), graph.output(node)
    need_ints(node, graph, x, y)
    need_same_quant(node, graph, x, y)
    need_one_batch(node, graph, x)
    kernel = (node.options["filter_height"], node.options["filter_width"])
    return window_of(node, x, y, kernel), activation_range(node, graph, y), y.dtype


def pool_call(name: str, window: Window, limits: tuple[int, int], dtype: str) -> Call:
    """One call for the whole layer."""
    fields = {**window.fields(dilated=False), "min": limits[0], "max": limits[1]}
    return Call(f"nn_{name}_{'s8' if dtype == 'int8' else 's16'}", "nn_pool_t", fields)


def pool_cases(rng: np.random.Generator, op: str) -> Iterator[Graph]:
    """Strides, both paddings, every fused activation, both widths of values."""
    return cases.both_widths(_int8_cases(rng, op))


def _int8_cases(rng: np.random.Generator, op: str) -> Iterator[Graph]:
    for i in range(8):
        x = cases.activation(
            rng, (1, int(rng.integers(2, 8)), int(rng.integers(3, 12)), int(rng.integers(1, 7))), "input"
        )
        kernel = (int(rng.integers(1, min(4, x.shape[1] + 1))), int(rng.integers(1, 4)))
        stride, padding = int(rng.integers(1, 4)), i % 2
        size = [output_size(padding, x.shape[1 + axis], kernel[axis], stride) for axis in (0, 1)]
        y = cases.activation(rng, (1, *size, x.shape[3]), "output", x.scale, x.zero_point)
        yield cases.one_node(
            op, [x], y, "Pool2DOptions", padding=padding, stride_h=stride, stride_w=stride, filter_height=kernel[0],
            filter_width=kernel[1], fused_activation_function=int(rng.choice([0, 1, 2, 3])))  # fmt: skip
