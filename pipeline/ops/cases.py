"""Small random one-operator graphs, from which the operators' `cases` are made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.graph import Graph, Node, Quant, Tensor

NARROWING = ("CONV_2D", "FULLY_CONNECTED")  # have sums of 32 bits where the biases of 16-bit layers are of 32


def activation(rng: np.random.Generator, shape: Sequence[int], name: str, scale: float | None = None,
               zero_point: int | None = None) -> Tensor:  # fmt: skip
    """An int8 activation with a random (or given) scale and zero point; the extremes -128 and 127 come often."""
    picked = np.float32(rng.uniform(0.005, 0.2) if scale is None else scale)
    edge = int(rng.choice([-128, 127, 0, int(rng.integers(-128, 128))]))
    return Tensor(name, tuple(shape), "int8", Quant((float(picked),), (edge if zero_point is None else zero_point,)))


def typed(rng: np.random.Generator, shape: Sequence[int], name: str, dtype: str, like: Tensor | None = None) -> Tensor:
    """An activation of a type, quantized like another where the type is: int8, or int16 around zero."""
    if dtype not in ("int8", "int16"):
        return Tensor(name, tuple(shape), dtype)
    made = activation(rng, shape, name, None, 0 if dtype == "int16" else None)
    return replace(made, dtype=dtype, quant=made.quant if like is None else like.quant)


def scaled(tensor: Tensor, scale: float) -> Tensor:
    """A tensor of another scale, around zero."""
    return replace(tensor, quant=Quant((float(np.float32(scale)),), (0,)))


def weights(rng: np.random.Generator, shape: Sequence[int], axis: int | None, zeros: float = 0.0,
            empty: slice = slice(0)) -> Tensor:  # fmt: skip
    """Constant int8 weights in [-127, 127]; per channel along `axis`, or per tensor when it is None. `zeros`: their
    share, at random; `empty`: outputs without any others."""
    channels = 1 if axis is None else shape[axis]
    scale = tuple(float(value) for value in rng.uniform(0.002, 0.05, channels).astype(np.float32))
    data = rng.integers(-127, 128, shape).astype(np.int8)
    if zeros:
        data[rng.random(shape) < zeros] = 0
    data[empty] = 0
    return Tensor("weights", tuple(shape), "int8", Quant(scale, (0,) * channels, axis or 0), data)


def both_widths(graphs: Iterable[Graph], share: int = 2) -> Iterator[Graph]:
    """The graphs, then each `share`-th once more with activations of 16 bits, a third of these with 32-bit biases.

    Not those that would fill the RAM of the smallest board.
    """
    made = list(graphs)
    yield from made
    for number, graph in enumerate(made[::share]):
        narrow = number % 3 == 2 and graph.nodes[0].op in NARROWING
        if max(tensor.count for tensor in graph.tensors if tensor.is_activation) <= 600:
            yield of_16_bits(graph, "int32" if narrow else "int64")


def of_16_bits(graph: Graph, biases: str = "int64") -> Graph:
    """The graph with activations of 16 bits, which are around zero on a finer scale; constants keep their 8 bits."""

    def other(tensor: Tensor) -> Tensor:
        if tensor.quant is None or (tensor.dtype == "int8" and tensor.data is not None):
            return tensor
        quant = replace(tensor.quant, scale=tuple(each / 256 for each in tensor.quant.scale))
        if tensor.dtype == "int8":
            return replace(tensor, dtype="int16", quant=replace(quant, zero_point=(0,)))
        data = None if tensor.data is None else (tensor.data.astype(np.int64) * 251).astype(biases)
        return replace(tensor, dtype=biases, quant=quant, data=data)

    nodes = tuple(_with_bias_type(node, biases) for node in graph.nodes)
    return replace(graph, tensors=tuple(other(tensor) for tensor in graph.tensors), nodes=nodes)


def _with_bias_type(node: Node, biases: str) -> Node:
    """The node as a converter writes it that was asked for such biases, be there one or not."""
    if node.op not in NARROWING:
        return node
    return replace(node, options={**node.options, "quantized_bias_type": {"int32": 2, "int64": 4}[biases]})


def bias(rng: np.random.Generator, x: Tensor, w: Tensor, count: int) -> Tensor:
    """Constant int32 bias [count] with the scale that TFLite wants: input scale times weight scale."""
    assert w.quant is not None
    scale = tuple(float(np.float32(x.scale) * np.float32(value)) for value in w.quant.scale)
    data = rng.integers(-5000, 5000, count).astype(np.int32)
    return Tensor("bias", (count,), "int32", Quant(scale, (0,) * len(scale)), data)


def constant(name: str, values: Any, dtype: str = "int32") -> Tensor:
    """A constant tensor without quantization, such as axes or a new shape."""
    data: NDArray[Any] = np.array(values, dtype)
    return Tensor(name, data.shape, dtype, None, data)


def output_for(rng: np.random.Generator, x: Tensor, w: Tensor, shape: Sequence[int], terms: int) -> Tensor:
    """An output whose scale puts sums of `terms` products in range, now and then saturating."""
    assert w.quant is not None
    spread = x.scale * max(w.quant.scale) * 128 * 64 * np.sqrt(terms) / 128
    return activation(rng, shape, "output", scale=float(spread * rng.uniform(0.3, 3)))


def one_node(op: str, inputs: Sequence[Tensor | None], output: Tensor, table: str | None = None,
             **options: Any) -> Graph:  # fmt: skip
    """The graph of a single operator; its inputs that are neither constants nor variables are the graph's inputs."""
    present = [tensor for tensor in inputs if tensor is not None]
    slots = iter(range(len(present)))
    indices = tuple(-1 if tensor is None else next(slots) for tensor in inputs)
    node = Node(0, op, indices, (len(present),), {"table": table, **options} if table else {})
    free = tuple(i for i, tensor in enumerate(present) if tensor.is_activation)
    return Graph((*present, output), (node,), free, (len(present),))


def two_nodes(first: str, second: str, tensors: Sequence[Tensor], inputs: tuple[tuple[int, ...], tuple[int, ...]],
              table: str | None, **options: Any) -> Graph:  # fmt: skip
    """`first` makes tensor 1 from tensor 0, `second` makes tensor 2 from `inputs[1]` with the options."""
    first_table = f"{first.capitalize()}Options"
    nodes = (
        Node(0, first, inputs[0], (1,), {"table": first_table}),
        Node(1, second, inputs[1], (2,), {"table": table, **options} if table else {}),
    )
    return Graph(tuple(tensors), nodes, (0,), (2,))


def joined(rng: np.random.Generator, op: str, inputs: Sequence[Tensor], shape: Sequence[int], count: int, table: str,
           **options: Any) -> Graph:  # fmt: skip
    """The graph of an operator with `count` outputs of one shape, which are then concatenated along the last axis."""
    x = next(tensor for tensor in inputs if tensor.data is None)
    parts = [activation(rng, shape, f"part{i}", x.scale, x.zero_point) for i in range(count)]
    y = activation(rng, (*shape[:-1], shape[-1] * count), "output", x.scale, x.zero_point)
    first = len(inputs)
    outputs = tuple(range(first, first + count))
    nodes = (
        Node(0, op, tuple(range(first)), outputs, {"table": table, **options}),
        Node(1, "CONCATENATION", outputs[::-1], (first + count,), {"table": "ConcatenationOptions", "axis": -1}),
    )
    return Graph((*inputs, *parts, y), nodes, (inputs.index(x),), (first + count,))


def behind(graph: Graph, op: str, constants: Sequence[Tensor], y: Tensor, options: Mapping[str, Any]) -> Graph:
    """The graph with another operator on its output, which makes y."""
    (x,), count, number = graph.outputs, len(graph.tensors), len(graph.nodes)
    made = count + len(constants)
    node = Node(number, op, (x, *range(count, made)), (made,), options)
    tensors = (*graph.tensors, *constants, replace(y, name=f"{y.name}{number}"))
    return replace(graph, tensors=tensors, nodes=(*graph.nodes, node), outputs=(made,))


def reshaped(graph: Graph, shape: tuple[int, ...]) -> Graph:
    """The graph with its output in another shape."""
    y = replace(graph.edge("output")[0], shape=shape)
    return behind(graph, "RESHAPE", [constant("shape", shape)], y, {"table": "ReshapeOptions", "new_shape": shape})
