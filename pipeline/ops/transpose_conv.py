"""TRANSPOSE_CONV: Keras Conv1DTranspose and Conv2DTranspose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, op, shape3
from pipeline.ops.weighted import Weighted, Weighted16, weighted
from pipeline.ops.window import padding


@op("TRANSPOSE_CONV")
@dataclass(frozen=True)
class TransposeConv:
    """Inputs: output shape (constant), weights int8 [output channels, kh, kw, input channels], activation, bias."""

    input: tuple[int, int, int]
    output: tuple[int, int, int]
    stride: tuple[int, int]
    pad: tuple[int, int]
    sums: Weighted
    tflite_differs = "without biases its 16-bit layers have sums of 32 bits"
    tflite_same = "int8"
    in_place = ()
    slots = (2,)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> TransposeConv:
        """The padding is that of the convolution which this one turns around."""
        x, y = graph.input(node, 2), graph.output(node)
        sums = weighted(node, graph, channels=y.shape[-1], slots=(2, 3))
        inputs, outputs, kernel = shape3(x), shape3(y), sums.weights.shape[1:3]
        stride = (node.options["stride_h"], node.options["stride_w"])
        pads = [padding(node, (outputs[i], kernel[i], -(-outputs[i] // stride[i])), stride[i]) for i in (0, 1)]
        return cls(inputs, outputs, stride, (pads[0], pads[1]), sums)

    def run(self, *inputs: Int8s) -> Int8s:
        """Spread every input value over its window, then cut the padding off."""
        x, w = inputs[0][0].astype(np.int64) + self.sums.input_offset, self.sums.weights.astype(np.int64)
        (height, width, _), (kh, kw), (tall, wide, channels) = self.input, w.shape[1:3], self.output
        reach = [max((n - 1) * s + k, p + o) for n, s, k, p, o in zip(
            (height, width), self.stride, (kh, kw), self.pad, (tall, wide), strict=True)]  # fmt: skip
        spread = np.zeros((*reach, channels), np.int64)
        for row in range(height):
            for column in range(width):
                at = row * self.stride[0], column * self.stride[1]
                spread[at[0] : at[0] + kh, at[1] : at[1] + kw] += np.einsum("oklc,c->klo", w, x[row, column])
        cut = spread[self.pad[0] : self.pad[0] + tall, self.pad[1] : self.pad[1] + wide]
        return self.sums.finish(cut)[np.newaxis]

    def call(self) -> Call:
        """One call for the whole layer."""
        kernel = self.sums.weights.shape[1:3]
        head = {"input": self.input, "output": self.output, "kernel": kernel, "stride": self.stride, "pad": self.pad}
        if isinstance(self.sums, Weighted16):
            return Call("nn_transpose_conv_s16", "nn_transpose_conv_s16_t", {**head, **self.sums.fields()})
        return Call("nn_transpose_conv_s8", "nn_transpose_conv_t", {**head, **self.sums.fields()})

    @property
    def macs(self) -> int:
        """Every input value meets every weight of its channel."""
        return self.input[0] * self.input[1] * self.sums.weights.size

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Both widths of values."""
        return cases.both_widths(cls._int8_cases(rng), share=1)

    @classmethod
    def _int8_cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Strides, both paddings, with and without bias; 1-D as Keras makes it."""
        for i in range(6):
            height, width = (1, 7) if i % 3 == 0 else (int(rng.integers(2, 5)), int(rng.integers(2, 6)))
            stride = (1 if height == 1 else int(rng.integers(1, 4)), int(rng.integers(1, 4)))
            kernel = (1 if height == 1 else int(rng.integers(1, 4)), int(rng.integers(1, 5)))
            valid, channels = i % 2, int(rng.integers(1, 5))
            x = cases.activation(rng, (1, height, width, int(rng.integers(1, 5))), "input")
            w = cases.weights(rng, (channels, *kernel, x.shape[3]), axis=0)
            size = [n * s if not valid else (n - 1) * s + max(k, s) for n, s, k in zip(
                (height, width), stride, kernel, strict=True)]  # fmt: skip
            y = cases.output_for(rng, x, w, (1, *size, channels), kernel[0] * kernel[1] * x.shape[3])
            bias = cases.bias(rng, x, w, channels) if i % 4 else None
            shape = cases.constant("shape", y.shape)
            yield cases.one_node("TRANSPOSE_CONV", [shape, w, x, bias], y, "TransposeConvOptions", padding=valid,
                                 stride_h=stride[0], stride_w=stride[1],
                                 fused_activation_function=int(rng.choice([0, 1, 2, 3])))  # fmt: skip
