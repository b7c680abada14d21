"""Values moved from one layout to another: the fields of nn_move_t, nn_fill_t and nn_take_t."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from pipeline.graph import Graph, Node, Tensor
from pipeline.ops.base import Call, Field, need_constant
from pipeline.problem import Problem

AXES = 5


def strides(shape: Sequence[int]) -> list[int]:
    """How far one step along each axis of a dense tensor moves."""
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def move(node: Node, graph: Graph, shape: Sequence[int], source: tuple[Sequence[int], int],
         target: tuple[Sequence[int], int]) -> Call:  # fmt: skip
    """Move `shape` values; source and target are (step along each axis, place of the first value).

    The kernel counts in bytes, so those of a wider value are one more axis."""
    width = graph.output(node).itemsize
    axes = [(size, step[0] * width, step[1] * width)
            for size, *step in zip(shape, source[0], target[0], strict=True)]  # fmt: skip
    merged = _merge([axis for axis in [*axes, (width, 1, 1)] if axis[0] != 1])
    if len(merged) > AXES:
        raise Problem(
            graph.label(node), f"moves values along {len(merged)} axes", f"the kernel takes {AXES}: reshape first"
        )
    axes = [(1, 0, 0)] * (AXES - len(merged)) + merged
    sizes, steps_from, steps_to = (tuple(column) for column in zip(*axes, strict=True))
    return Call("nn_move_s8", "nn_move_t", {
        "shape": sizes, "from": steps_from, "to": steps_to, "from_at": source[1] * width, "to_at": target[1] * width,
    })  # fmt: skip


def _merge(axes: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Neighbouring axes that are dense in both layouts are one longer axis."""
    merged: list[tuple[int, int, int]] = []
    for size, step_from, step_to in axes:
        if merged and merged[-1][1:] == (size * step_from, size * step_to) and merged[-1][0] * size < 2**15:
            size *= merged.pop()[0]
        merged.append((size, step_from, step_to))
    return merged


def fill(tensor: Tensor, value: int) -> Call:
    """Set every value of a tensor."""
    if tensor.itemsize == 1:
        return Call("nn_fill_s8", "nn_fill_t", {"count": tensor.count, "value": value})
    return Call("nn_fill_wide", "nn_fill_wide_t", {"count": tensor.count, "width": tensor.itemsize, "value": value})


def take(outer: int, length: int, inner: int, index: Sequence[int]) -> Call:
    """Pick slices along the middle axis of [outer, length, inner] bytes."""
    picked = np.array(index, np.int16)
    fields: dict[str, Field] = {"outer": outer, "length": length, "inner": inner, "count": len(picked), "index": picked}
    return Call("nn_take_s8", "nn_take_t", fields)


def constant_ints(node: Node, graph: Graph, slot: int, what: str) -> tuple[int, ...]:
    """The integers of a constant input, such as axes or sizes."""
    data = need_constant(node, graph, slot, what).data
    assert data is not None
    return tuple(int(value) for value in data.reshape(-1))


def need_shape(node: Node, graph: Graph, shape: Iterable[int]) -> None:
    """The output is declared as what constants make of the input: else a damaged file asks for any amount of memory."""
    made, y = list(shape), graph.output(node)
    if made != list(y.shape):
        raise Problem(graph.label(node), f"makes {made}, but {y.name} is declared {list(y.shape)}",
                      "the file is damaged: convert it again")  # fmt: skip
