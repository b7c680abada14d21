"""What every operator module builds on: the registry, the call it emits, checks and small shared formulas."""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

import pipeline.ops
from pipeline.edges import DTYPES
from pipeline.fixedpoint import round_half_away
from pipeline.graph import Graph, Node, Tensor
from pipeline.problem import Problem

Int8s = NDArray[np.int8]
Field = int | tuple[int, ...] | NDArray[Any] | Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """One call of a kernel: its header's name, its parameter struct's type, and the struct's fields in order.

    A field is a number, a tuple, a nested struct (mapping), or a numpy array: then the array goes to weights.c and the
    field points to it. Behind its output the kernel gets `void *scratch`, that many bytes of its own while it runs, and
    `void *state`, its own for ever: int8 [bytes], what they are at the start and after a reset. `in_place`: slots of
    inputs whose buffer its output may take over, besides the operator's own. `plain`: the weights as TFLite has
    them, where `fields` has them in a core's layout. `lanes`: windows that a convolution takes together, where its
    scratch has room for more. `body`: a graph and its operators that the kernel runs itself, as
    `step` of its struct, in an arena behind its scratch.
    """

    kernel: str
    struct: str
    fields: Mapping[str, Field]
    scratch: int = 0
    state: Int8s | None = None
    in_place: tuple[int, ...] = ()
    plain: Int8s | None = None
    lanes: int = 0
    body: tuple[Graph, Sequence[Op]] | None = None

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Its arrays by name; one in a nested struct has both names."""
        return dict(_arrays(self.fields))


def _arrays(fields: Mapping[str, Field], prefix: str = "") -> Iterator[tuple[str, NDArray[Any]]]:
    for name, value in fields.items():
        if isinstance(value, np.ndarray):
            yield prefix + name, value
        elif isinstance(value, Mapping):
            yield from _arrays(value, f"{prefix}{name}_")


@dataclass(frozen=True)
class Part:
    """One of the calls of an operator that needs several: its inputs and its output by slot, in running order."""

    call: Call
    slots: tuple[int, ...]
    output: int = 0


class Op(Protocol):
    """An operator of the Plan, made by its class's `from_node(node, graph)`."""

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Op:
        """Parse and check one node; raises Problem with the node's label."""

    def run(self, *inputs: Int8s) -> Int8s | tuple[Int8s, ...]:
        """The integer oracle: activations in, activation out (or one for each output), shapes as in the graph."""

    def call(self) -> Call | tuple[Part, ...] | None:
        """The kernel call, or several; None when the output is the input's bytes under another shape."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""

    @property
    def in_place(self) -> tuple[int, ...]:
        """Activation slots whose buffer the output may take over."""

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Small random graphs of this one operator, for the conformance test."""


@runtime_checkable
class Stateful(Protocol):
    """An operator that keeps bytes from one inference to the next: int8 [bytes], as its kernel has them."""

    @property
    def start(self) -> Int8s:
        """The bytes before the first inference and after a reset."""

    def step(self, state: Int8s, *inputs: Int8s) -> tuple[Int8s, Int8s]:
        """The integer oracle: the output, and the bytes behind it."""

    def run(self, *inputs: Int8s) -> Int8s:
        """The first inference's output."""
        return self.step(self.start, *inputs)[0]


OpClass = TypeVar("OpClass", bound=type)
_OPS: dict[str, type[Op]] = {}


def op(*names: str) -> Callable[[OpClass], OpClass]:
    """Class decorator: this class is the operator of these TFLite names. A name taken twice is refused."""

    def register(cls: OpClass) -> OpClass:
        for name in names:
            if name in _OPS:
                raise ValueError(f"{name} is both {_OPS[name].__module__} and {cls.__module__}")
            _OPS[name] = cls
        return cls

    return register


@cache
def known_ops() -> Mapping[str, type[Op]]:
    """Every operator class by TFLite name: all modules of this package are imported, no list is kept."""
    for module in pkgutil.iter_modules(pipeline.ops.__path__):
        importlib.import_module(f"pipeline.ops.{module.name}")
    return dict(sorted(_OPS.items()))


ALL = None  # for `slots`: every input is an activation


def activations(node: Node, graph: Graph) -> tuple[int, ...]:
    """The node's inputs that its kernel takes as activations: those in its class's `slots`, by default the first.

    Where that depends on the node, `slots` is a function of it."""
    slots = getattr(known_ops()[node.op], "slots", (0,))
    slots = slots(node, graph) if callable(slots) else slots
    return node.inputs if slots is ALL else tuple(node.inputs[slot] for slot in slots)


# Checks


def need_int8(node: Node, graph: Graph, *tensors: Tensor) -> None:
    """Every tensor is int8 with one scale and zero point."""
    for tensor in tensors:
        if tensor.dtype != "int8" or tensor.quant is None:
            hint = "convert with full integer quantization: python -m pipeline.quantize"
            if tensor.dtype == "int16":
                hint = "with 16 bits it has no kernel: activations=8 has one; or another layer"
            what = f"{tensor.name or 'a tensor'} is {tensor.dtype}, not quantized int8"
            raise Problem(graph.label(node), what, hint)
        if len(tensor.quant.scale) != 1:
            raise Problem(graph.label(node), f"{tensor.name} has per-channel scales, activations have one")


def need_ints(node: Node, graph: Graph, *tensors: Tensor) -> None:
    """Every tensor is int8, or every tensor is int16 around zero, with one scale."""
    wrong = [each for each in tensors if each.dtype != "int16" or each.quant is None or each.quant.zero_point != (0,)]
    if tensors[0].dtype != "int16":
        need_int8(node, graph, *tensors)
    elif wrong:
        raise Problem(graph.label(node), f"{wrong[0].name} is {wrong[0].dtype}, not quantized int16 around zero",
                      "convert with 16-bit activations and 8-bit weights")  # fmt: skip


def need_constant(node: Node, graph: Graph, slot: int, what: str) -> Tensor:
    """The input in `slot`, which must be a constant."""
    tensor = graph.tensor(node, slot)
    if tensor is None or tensor.data is None:
        raise Problem(graph.label(node), f"its {what} are not constant", "only constant ones are compiled")
    return tensor


def need_variable(node: Node, graph: Graph, slot: int, *dtypes: str) -> Tensor:
    """The input in `slot`, which must be a variable of one of these types that no other operator has."""
    tensor = graph.input(node, slot)
    if not tensor.is_variable or tensor.dtype not in dtypes or tensor.quant is None:
        kind = "variable" if tensor.is_variable else "tensor"
        raise Problem(graph.label(node), f"its state {tensor.name} is a {tensor.dtype} {kind}",
                      f"its kernel takes a quantized variable of {' or '.join(dtypes)}")  # fmt: skip
    if sum(other.inputs.count(node.inputs[slot]) for other in graph.nodes) > 1:
        raise Problem(graph.label(node), f"shares its state {tensor.name} with another operator",
                      "build the network so that each layer has a state of its own")  # fmt: skip
    return tensor


def need_same_quant(node: Node, graph: Graph, a: Tensor, b: Tensor) -> None:
    """Both tensors have the same scale and zero point: the kernel moves bytes without rescaling."""
    if a.quant is None or b.quant is None or (a.scale, a.zero_point) != (b.scale, b.zero_point):
        raise Problem(graph.label(node), f"{a.name} and {b.name} are quantized differently, which it does not rescale")


def need_alike(node: Node, graph: Graph, *tensors: Tensor, any_scale: bool = False) -> None:
    """All are of one type that activations have, and quantized alike where they are 8 or 16 bits wide: bytes move."""
    first = tensors[0]
    for tensor in tensors[1:]:
        if tensor.dtype != first.dtype or tensor.dtype not in DTYPES:
            raise Problem(graph.label(node), f"makes {tensor.dtype} of {first.dtype}", f"it moves {', '.join(DTYPES)}")
        if first.dtype in ("int8", "int16") and not any_scale:
            need_same_quant(node, graph, first, tensor)


def need_one_batch(node: Node, graph: Graph, x: Tensor) -> None:
    """The kernel walks over one image: the first axis is 1."""
    if x.shape[0] != 1:
        raise Problem(graph.label(node), f"works on a batch of {x.shape[0]}", "only a batch of 1 is compiled")


# Formulas that several operators share

ACTIVATIONS = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")


def activation_range(node: Node, graph: Graph, output: Tensor, option: str = "fused_activation_function"
                     ) -> tuple[int, int]:  # fmt: skip
    """The range of a fused activation in the output's type (TFLite CalculateActivationRangeQuantized)."""
    name = ACTIVATIONS[node.options.get(option, 0)]
    bounds = {"NONE": (-math.inf, math.inf), "RELU": (0.0, math.inf), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}
    if name not in bounds:
        raise Problem(graph.label(node), f"fused activation {name} has no kernel", "use a layer of its own for it")
    (low, high), limits = bounds[name], np.iinfo(output.dtype)
    return (
        limits.min if low == -math.inf else max(limits.min, quantized(low, output)),
        limits.max if high == math.inf else min(limits.max, quantized(high, output)),
    )


def quantized(real: float, tensor: Tensor) -> int:
    """The unclamped quantized value of a real number, rounded as C's round() does in float32."""
    return tensor.zero_point + round_half_away(float(np.float32(real) / np.float32(tensor.scale)))


def clamp8(values: NDArray[np.int64], low: int = -128, high: int = 127) -> Int8s:
    """Clamp to the activation's range and narrow to int8."""
    return np.clip(values, low, high).astype(np.int8)


def clamped(values: NDArray[np.int64], dtype: str) -> NDArray[Any]:
    """Clamp to a type's range and narrow to it."""
    return np.clip(values, np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)


def shape3(tensor: Tensor) -> tuple[int, int, int]:
    """(height, width, channels) of a tensor [1, height, width, channels]."""
    _, height, width, channels = tensor.shape
    return height, width, channels


def load(values: NDArray[Any]) -> Call:
    """The call that brings a constant to RAM: int8 as they are, of other types the little-endian bytes [n]."""
    content = values if values.dtype == np.int8 else np.frombuffer(values.tobytes(), np.int8)
    return Call("nn_load_s8", "nn_load_t", {"count": values.nbytes, "values": content})


ALL_INT8 = np.arange(-128, 128, dtype=np.int64)


@dataclass(frozen=True)
class Unary:
    """A function of one int8 value as a table of its 256 answers: exact by construction."""

    count: int
    table: Int8s = field(compare=False)
    macs = 0
    in_place = (0,)

    def run(self, *inputs: Int8s) -> Int8s:
        """Look every value up."""
        return np.asarray(self.table[inputs[0].astype(np.int64) + 128])

    def call(self) -> Call:
        """One table lookup per value."""
        return Call("nn_table_s8", "nn_table_t", {"count": self.count, "table": self.table})
