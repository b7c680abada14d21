"""The Graph: what is computed. Tensors, their quantization, and operators in execution order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Quant:
    """real = scale * (q - zero_point), per tensor (one scale) or along `axis` (one scale per channel)."""

    scale: tuple[float, ...]  # each exactly a float32
    zero_point: tuple[int, ...]
    axis: int = 0


@dataclass(frozen=True)
class Tensor:
    """A value of the graph; `data` is set for constants only. Shapes include the batch, which is always 1."""

    name: str
    shape: tuple[int, ...]
    dtype: str  # numpy's name: int8, int32, float32 ...
    quant: Quant | None = None
    data: NDArray[Any] | None = field(default=None, compare=False)
    is_variable: bool = False  # an operator's state: it keeps its value from one inference to the next

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return np.dtype(self.dtype).itemsize

    @property
    def bytes(self) -> int:
        """Bytes of all elements."""
        return self.count * self.itemsize

    @property
    def is_activation(self) -> bool:
        """Whether every inference makes it anew: it is neither a constant nor a state."""
        return self.data is None and not self.is_variable

    @property
    def scale(self) -> float:
        """The scale of a per-tensor quantized tensor."""
        assert self.quant is not None
        return self.quant.scale[0]

    @property
    def zero_point(self) -> int:
        """The zero point of a per-tensor quantized tensor."""
        assert self.quant is not None
        return self.quant.zero_point[0]


@dataclass(frozen=True)
class Node:
    """One operator: `op` is TFLite's name (CONV_2D), inputs and outputs index the graph's tensors, -1 is left out."""

    index: int
    op: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]
    intermediates: tuple[int, ...] = ()  # with nothing but quantization; tflite-runtime asks an LSTM for them


@dataclass(frozen=True)
class Graph:
    """A model with one subgraph; `model_id` is that of the flatbuffer it was read from (empty when made by hand)."""

    tensors: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    model_id: str = ""

    def edge(self, name: Literal["input", "output"]) -> tuple[Tensor, ...]:
        """The tensors of the model's inputs or outputs, in its order."""
        return tuple(self.tensors[i] for i in (self.inputs if name == "input" else self.outputs))

    def tensor(self, node: Node, slot: int) -> Tensor | None:
        """The node's input tensor in `slot`, or None where it has none."""
        if slot >= len(node.inputs) or node.inputs[slot] < 0:
            return None
        return self.tensors[node.inputs[slot]]

    def input(self, node: Node, slot: int = 0) -> Tensor:
        """The node's input tensor in `slot`, which must be there (`verify` has seen to it)."""
        tensor = self.tensor(node, slot)
        assert tensor is not None
        return tensor

    def output(self, node: Node, slot: int = 0) -> Tensor:
        """The node's output tensor in `slot`."""
        return self.tensors[node.outputs[slot]]

    def label(self, node: Node) -> str:
        """How errors call a node: `#3 CONV_2D`."""
        return f"#{node.index} {node.op}"


def scales(tensor: Tensor) -> NDArray[np.float32]:
    """All scales of a quantized tensor, float32 [channels] or [1]."""
    assert tensor.quant is not None
    return np.array(tensor.quant.scale, np.float32)
