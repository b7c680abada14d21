"""Random branched graphs of many operators: what hypothesis, or a seeded generator, picks number by number."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.graph import Graph, Node, Quant, Tensor
from pipeline.ops import cases
from pipeline.ops.window import output_size

Pick = Callable[[int], int]  # a number below its argument; 0 is the simplest
ROOM = 600  # values of an activation at most
TFLM_PARTS = 10  # TFLite Micro concatenates no more


def random_graph(pick: Pick, nodes: int) -> Graph:
    """One int8 input, about `nodes` operators on any of the values before them, and one of the last as the output."""
    made = Builder(pick)
    while len(made.nodes) < nodes:
        made.grow()
    return made.finished()


class Builder:
    """A graph that grows operator by operator. `values` are the activations made so far, by index of their tensor."""

    def __init__(self, pick: Pick) -> None:
        self.pick = pick
        self.rng = np.random.default_rng(pick(2**16))
        shape = (1, 2 + pick(5), 3 + pick(6), 1 + pick(5))
        self.tensors = [cases.activation(self.rng, shape, "input")]
        self.nodes: list[Node] = []
        self.values = [0]

    def grow(self) -> None:
        """Another operator on one of the newest values, or now and then on any; not where its shape does not fit."""
        newest = self.values[-3:]
        x = (newest if self.pick(4) else self.values)[-1 - self.pick(len(newest))]
        KINDS[self.pick(len(KINDS))](self, x)

    def finished(self) -> Graph:
        """The graph: what nobody reads joins in one output, or is dead; the output may be read by others too."""
        if self.pick(4):
            self.join([i for i in self.values if all(i not in node.inputs for node in self.nodes)][-TFLM_PARTS:])
        made = [i for i in self.values if any(i in node.outputs for node in self.nodes)]
        output = made[-1 - self.pick(min(2, len(made)))]
        return Graph(tuple(self.tensors), tuple(self.nodes), (0,), (output,))

    def join(self, ends: list[int]) -> None:
        """One flat value of all of these, on the last one's scale."""
        quant = self.tensors[ends[-1]].quant
        assert quant is not None
        flat = []
        for end in ends:
            shape = (1, self.tensors[end].count)
            same = self.requantized(end, quant)
            flat += self.node("RESHAPE", [same, self.constant(shape)], [self.like(same, shape)], "ReshapeOptions",
                              new_shape=shape)  # fmt: skip
        shape = (1, sum(self.tensors[i].count for i in flat))
        self.node("CONCATENATION", flat, [self.like(flat[0], shape)], "ConcatenationOptions", axis=1)

    def add(self, tensor: Tensor) -> int:
        self.tensors.append(replace(tensor, name=f"{tensor.name}{len(self.tensors)}"))
        return len(self.tensors) - 1

    def node(self, op: str, inputs: Sequence[int], outputs: Sequence[Tensor], table: str, **options: Any) -> list[int]:
        made = [self.add(tensor) for tensor in outputs]
        whole = {"table": table, **options}
        self.nodes.append(Node(len(self.nodes), op, tuple(inputs), tuple(made), whole))
        self.values += made
        return made

    def constant(self, values: Any) -> int:
        return self.add(cases.constant("constant", values))

    def like(self, x: int, shape: Sequence[int], factor: float = 1.0) -> Tensor:
        """A new activation: quantized like x, or on a coarser or finer scale."""
        quant = self.tensors[x].quant
        assert quant is not None
        if factor == 1.0:
            return Tensor("t", tuple(shape), "int8", quant)
        return cases.activation(self.rng, shape, "t", quant.scale[0] * factor)

    def shape(self, x: int) -> tuple[int, ...]:
        return self.tensors[x].shape

    def other(self, x: int) -> int:
        """Another value of x's shape: x itself, one that is there, or a constant."""
        same = [i for i in self.values if self.shape(i) == self.shape(x)]
        chosen = self.pick(len(same) + 2)
        if chosen < len(same):
            return same[-1 - chosen]
        shape = self.shape(x) if chosen == len(same) else (*[1] * (len(self.shape(x)) - 1), self.shape(x)[-1])
        tensor = cases.activation(self.rng, shape, "constant")
        index = self.add(replace(tensor, data=self.rng.integers(-128, 128, shape).astype(np.int8)))
        if self.pick(2):  # what is made of constants alone
            return self.node("RELU", [index], [self.like(index, shape)], "NONE")[0]
        return index

    def requantized(self, x: int, quant: Quant) -> int:
        """x on another scale."""
        if self.tensors[x].quant == quant:
            return x
        return self.node(
            "QUANTIZE", [x], [replace(self.tensors[x], name="t", quant=quant, data=None)], "QuantizeOptions"
        )[0]

    def fused(self) -> int:
        return (0, 1, 3)[self.pick(3)]


def conv(b: Builder, x: int) -> None:
    """CONV_2D, or DEPTHWISE_CONV_2D; behind a PAD of its own now and then."""
    if len(b.shape(x)) != 4:
        return
    if b.pick(3) == 2:
        x = pad(b, x) or x
    depthwise, padding, kernel = b.pick(2), b.pick(2), (1 + b.pick(3), 1 + b.pick(3))
    height, width, channels = b.shape(x)[1:]
    if kernel[0] > height or kernel[1] > width:
        kernel = (1, 1)
    stride = 1 + b.pick(2)
    made = channels * (1 + b.pick(2)) if depthwise else 1 + b.pick(6)
    shape = (1, *kernel, made) if depthwise else (made, *kernel, channels)
    w = cases.weights(b.rng, shape, axis=3 if depthwise else 0)
    size = [output_size(padding, b.shape(x)[1 + i], kernel[i], stride) for i in (0, 1)]
    terms = kernel[0] * kernel[1] * (1 if depthwise else channels)
    y = cases.output_for(b.rng, b.tensors[x], w, (1, *size, made), terms)
    inputs = [x, b.add(w), b.add(cases.bias(b.rng, b.tensors[x], w, made))]
    options = {"padding": padding, "stride_h": stride, "stride_w": stride, "dilation_h_factor": 1,
               "dilation_w_factor": 1, "fused_activation_function": b.fused()}  # fmt: skip
    if depthwise:
        b.node("DEPTHWISE_CONV_2D", inputs, [y], "DepthwiseConv2DOptions", **options,
               depth_multiplier=made // channels)  # fmt: skip
    else:
        b.node("CONV_2D", inputs, [y], "Conv2DOptions", **options)


def pad(b: Builder, x: int) -> int | None:
    """A border on the axes behind the batch."""
    border = [(0, 0), *((b.pick(3), b.pick(2)) for _ in b.shape(x)[1:])]
    if b.pick(2) and len(border) == 4:
        border[3] = (0, 0)
    shape = [size + sum(pair) for size, pair in zip(b.shape(x), border, strict=True)]
    if math.prod(shape) > ROOM or len(shape) > 4:
        return None
    return b.node("PAD", [x, b.constant(border)], [b.like(x, shape)], "PadOptions")[0]


def pool(b: Builder, x: int) -> None:
    """Both pools."""
    if len(b.shape(x)) != 4:
        return
    op, padding, stride = ("MAX_POOL_2D", "AVERAGE_POOL_2D")[b.pick(2)], b.pick(2), 1 + b.pick(2)
    kernel = [min(1 + b.pick(3), size) for size in b.shape(x)[1:3]]
    size = [output_size(padding, b.shape(x)[1 + i], kernel[i], stride) for i in (0, 1)]
    y = b.like(x, (1, *size, b.shape(x)[3]))
    b.node(op, [x], [y], "Pool2DOptions", padding=padding, stride_h=stride, stride_w=stride,
           filter_height=kernel[0], filter_width=kernel[1], fused_activation_function=b.fused())  # fmt: skip


def arithmetic(b: Builder, x: int) -> None:
    """ADD, SUB and MUL with another value or a constant, either way round."""
    other = b.other(x)
    op = ("ADD", "SUB", "MUL")[b.pick(3)]
    scales = (b.tensors[x].scale, b.tensors[other].scale)
    y = cases.activation(b.rng, b.shape(x), "t", scales[0] * scales[1] * 300 if op == "MUL" else sum(scales))
    pair = [x, other] if b.pick(2) else [other, x]
    b.node(op, pair, [y], f"{op.capitalize()}Options", fused_activation_function=b.fused())


def extremes(b: Builder, x: int) -> None:
    """MAXIMUM and MINIMUM of values on one scale."""
    quant = b.tensors[x].quant
    assert quant is not None
    other = b.requantized(b.other(x), quant)
    b.node(("MAXIMUM", "MINIMUM")[b.pick(2)], [x, other], [b.like(x, b.shape(x))], "MaximumMinimumOptions")


def concatenation(b: Builder, x: int) -> None:
    """Two or three values along any axis."""
    quant = b.tensors[x].quant
    assert quant is not None
    same = [i for i in b.values if b.shape(i) == b.shape(x)]
    parts = [x, *(b.requantized(same[-1 - b.pick(len(same))], quant) for _ in range(1 + b.pick(2)))]
    axis = 1 + b.pick(len(b.shape(x)) - 1)
    shape = [size * len(parts) if i == axis else size for i, size in enumerate(b.shape(x))]
    if math.prod(shape) <= ROOM:
        b.node("CONCATENATION", parts, [b.like(x, shape)], "ConcatenationOptions", axis=axis,
               fused_activation_function=0)  # fmt: skip


def split(b: Builder, x: int) -> None:
    """As many parts as some axis has room for; not all of them need a reader."""
    axes = [axis for axis, size in enumerate(b.shape(x)) if size > 1]
    if not axes:
        return
    axis = axes[b.pick(len(axes))]
    count = next(n for n in (2, 3, 5, 7, b.shape(x)[axis]) if b.shape(x)[axis] % n == 0)
    shape = [size // count if i == axis else size for i, size in enumerate(b.shape(x))]
    b.node("SPLIT", [b.constant(axis), x], [b.like(x, shape)] * count, "SplitOptions", num_splits=count)


def reshape(b: Builder, x: int) -> None:
    """Flat, or with axes joined or apart."""
    shape, count = b.shape(x), math.prod(b.shape(x))
    choices = [(1, count), (1, *shape[1:3], math.prod(shape[3:])), (1, 1, *shape[-2:]), shape]
    wanted = choices[b.pick(len(choices))]
    if math.prod(wanted) == count:
        b.node("RESHAPE", [x, b.constant(wanted)], [b.like(x, wanted)], "ReshapeOptions", new_shape=tuple(wanted))


def transpose(b: Builder, x: int) -> None:
    """The axes behind the batch in another order, or in the same."""
    behind = list(range(1, len(b.shape(x))))
    order = [0, *(behind.pop(b.pick(len(behind))) for _ in range(len(behind)))]
    shape = [b.shape(x)[axis] for axis in order]
    b.node("TRANSPOSE", [x, b.constant(order)], [b.like(x, shape)], "TransposeOptions")


def slice_of(b: Builder, x: int) -> None:
    """Some values of every axis behind the batch."""
    begin = [0, *(b.pick(size) for size in b.shape(x)[1:])]
    size = [1, *(1 + b.pick(n - first) for n, first in zip(b.shape(x)[1:], begin[1:], strict=True))]
    b.node("SLICE", [x, b.constant(begin), b.constant(size)], [b.like(x, size)], "SliceOptions")


def activation(b: Builder, x: int) -> None:
    """A function of one value; RELU and QUANTIZE that change the scale or do not."""
    op = ("RELU", "RELU6", "QUANTIZE", "LOGISTIC", "TANH", "LEAKY_RELU")[b.pick(6)]
    y = b.like(x, b.shape(x), 1.0 if op == "RELU6" or b.pick(2) else float(b.rng.uniform(0.4, 1.0)))
    if op in ("LOGISTIC", "TANH"):
        y = replace(y, quant=Quant((1 / 256,), (-128,)) if op == "LOGISTIC" else Quant((1 / 128,), (0,)))
    options = {"table": "LeakyReluOptions", "alpha": 0.25} if op == "LEAKY_RELU" else {"table": "NONE"}
    b.node(op, [x], [y], **options)


def softmax(b: Builder, x: int) -> None:
    """Along the last axis."""
    y = replace(b.like(x, b.shape(x)), quant=Quant((1 / 256,), (-128,)))
    b.node("SOFTMAX", [x], [y], "SoftmaxOptions", beta=1.0)


def dense(b: Builder, x: int) -> None:
    """FULLY_CONNECTED on the last axis."""
    w = cases.weights(b.rng, (1 + b.pick(8), b.shape(x)[-1]), axis=None)
    y = cases.output_for(b.rng, b.tensors[x], w, (*b.shape(x)[:-1], w.shape[0]), w.shape[1])
    inputs = [x, b.add(w), b.add(cases.bias(b.rng, b.tensors[x], w, w.shape[0]))]
    b.node("FULLY_CONNECTED", inputs, [y], "FullyConnectedOptions", keep_num_dims=True,
           fused_activation_function=b.fused())  # fmt: skip


def mean(b: Builder, x: int) -> None:
    """Over height and width, or over one axis; the axes stay, so that there is a batch."""
    axes = (1, 2) if len(b.shape(x)) == 4 and b.pick(2) == 0 else (1 + b.pick(len(b.shape(x)) - 1),)
    shape = [1 if axis in axes else size for axis, size in enumerate(b.shape(x))]
    y = b.like(x, shape, float(b.rng.uniform(0.3, 1.0)))
    b.node("MEAN", [x, b.constant(axes)], [y], "ReducerOptions", keep_dims=True)


KINDS = (activation, arithmetic, conv, reshape, transpose, pad, pool, dense, concatenation, split, softmax, mean,
         extremes, slice_of)  # fmt: skip
