"""MEAN: Keras GlobalAveragePooling1D and 2D."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.fixedpoint import quantize_multiplier, requantize
from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, clamped, need_constant, need_ints, op
from pipeline.ops.moves import strides
from pipeline.problem import Problem

LONGEST = 2**15 - 1  # of an axis: int16 in C


@dataclass(frozen=True)
class Axes:
    """The axes of an input, those of one kind side by side as one: how long each is, and whether it is reduced."""

    sizes: tuple[int, ...]
    reduced: tuple[bool, ...]

    @property
    def count(self) -> int:
        """How many values become one."""
        return math.prod(size for size, gone in zip(self.sizes, self.reduced, strict=True) if gone)

    def view(self, x: Int8s) -> tuple[NDArray[np.int64], tuple[int, ...]]:
        """The input with these axes, and which of them are reduced."""
        return x.reshape(self.sizes).astype(np.int64), tuple(i for i, gone in enumerate(self.reduced) if gone)

    def plain(self) -> tuple[int, int, int] | None:
        """(outer, reduced, inner), or None where the reduced axes do not lie side by side."""
        before = self.reduced.index(True) if any(self.reduced) else 0
        if self.reduced not in ((False,) * before + (True,), (False,) * before + (True, False)) or before > 1:
            return None
        sizes = (1,) * (1 - before) + self.sizes
        return sizes[0], sizes[1], (*sizes, 1)[2]

    def fields(self) -> Mapping[str, tuple[int, ...]]:
        """The fields of nn_axes_t."""
        steps, fields = strides(self.sizes), {}
        for name, kind in (("kept", False), ("reduced", True)):
            chosen = [i for i, gone in enumerate(self.reduced) if gone == kind]
            fields[name] = (1,) * (3 - len(chosen)) + tuple(self.sizes[i] for i in chosen)
            fields[f"{name}_step"] = (0,) * (3 - len(chosen)) + tuple(steps[i] for i in chosen)
        return {name: fields[name] for name in ("kept", "reduced", "kept_step", "reduced_step")}


def reduction(node: Node, graph: Graph) -> Axes:
    """The axes of input 0, reduced along the constant ones in slot 1."""
    x, data = graph.input(node), need_constant(node, graph, 1, "axes").data
    assert data is not None
    chosen = {int(axis) % len(x.shape) for axis in data.reshape(-1)}
    sizes: list[int] = []
    reduced: list[bool] = []
    for axis, size in enumerate(x.shape):
        if sizes and reduced[-1] == (axis in chosen) and sizes[-1] * size <= LONGEST:
            sizes[-1] *= size
        elif size != 1:
            sizes.append(size)
            reduced.append(axis in chosen)
    if not any(reduced):  # axes of length 1 only
        sizes, reduced = [*sizes, 1], [*reduced, True]
    if max(reduced.count(True), reduced.count(False)) > 3:
        raise Problem(graph.label(node), f"reduces axes {sorted(chosen)} of {list(x.shape)}", "reduce them one by one")
    return Axes(tuple(sizes), tuple(reduced))


def mean_call(axes: Axes, zero_points: tuple[int, int], rescale: tuple[int, int], dtype: str) -> Call:
    """A rescaled sum for each output."""
    fields = {"input_offset": -zero_points[0] * axes.count, "output_offset": zero_points[1],
              "multiplier": rescale[0], "shift": rescale[1]}  # fmt: skip
    plain = axes.plain()
    if plain is None:
        width = np.dtype(dtype).itemsize
        return Call("nn_mean_axes", "nn_mean_axes_t", {"axes": axes.fields(), "width": width, **fields})
    kernel = "nn_mean_s8" if dtype == "int8" else "nn_mean_s16"
    return Call(kernel, "nn_mean_t", dict(zip(("outer", "reduced", "inner"), plain, strict=True)) | fields)


@op("MEAN")
@dataclass(frozen=True)
class Mean:
    """A rescaled sum for each output, with the division in the rescale."""

    axes: Axes
    zero_points: tuple[int, int]
    rescale: tuple[int, int]
    shape: tuple[int, ...]
    dtype: str
    macs = 0
    in_place = ()

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Mean:
        """The axes are constant."""
        x, y = graph.input(node), graph.output(node)
        need_ints(node, graph, x, y)
        axes = reduction(node, graph)
        rescale = _with_division(*quantize_multiplier(x.scale / y.scale), axes.count)
        return cls(axes, (x.zero_point, y.zero_point), rescale, y.shape, y.dtype)

    def run(self, *inputs: Int8s) -> Int8s:
        """One rescaled sum per output."""
        x, reduced = self.axes.view(inputs[0])
        sums = x.sum(axis=reduced) - self.zero_points[0] * self.axes.count
        made = requantize(sums, *self.rescale) + self.zero_points[1]
        return clamped(made, self.dtype).reshape(self.shape)

    def call(self) -> Call:
        """One call for the whole layer."""
        return mean_call(self.axes, self.zero_points, self.rescale, self.dtype)

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Both widths of values."""
        return cases.both_widths(cls._int8_cases(rng))

    @classmethod
    def _int8_cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Height and width, one axis, the last, some that do not lie side by side; with and without keep_dims."""
        chosen = ((4, (1, 2)), (3, (1,)), (3, (2,)), (4, (1, 2)), (4, (3,)), (4, (1, 2)), (4, (1, 3)), (5, (0, 2, 4)),
                  (4, (0, 2)), (3, (0, 1, 2)), (2, (-1,)))  # fmt: skip
        for i, (rank, axes) in enumerate(chosen):
            shape = (1, *(int(size) for size in rng.integers(1 if i < 6 else 2, 11 if rank < 5 else 5, rank - 1)))
            x = cases.activation(rng, shape, "input")
            y = cases.activation(rng, left(shape, axes, bool(i % 2)), "output", x.scale * float(rng.uniform(0.3, 1.5)))
            yield cases.one_node("MEAN", [x, cases.constant("axes", axes)], y, "ReducerOptions", keep_dims=bool(i % 2))


def left(shape: Sequence[int], axes: Sequence[int], keep: bool) -> list[int]:
    """The output's shape."""
    gone = {axis % len(shape) for axis in axes}
    return [1 if axis in gone else size for axis, size in enumerate(shape) if keep or axis not in gone]


def _with_division(multiplier: int, shift: int, count: int) -> tuple[int, int]:
    """Fold 1 / count into the rescale (TFLite QuantizedMeanOrSum)."""
    power = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << power) // count, shift - power
