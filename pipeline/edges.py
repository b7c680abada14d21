"""A window and an answer as bytes: the model's inputs, or its outputs, one behind the other in the model's order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.graph import Graph, Tensor
from pipeline.problem import Problem

EDGES: tuple[Literal["input"], Literal["output"]] = ("input", "output")
ALIGNMENT = 4  # of every tensor in a window: what kernels of 32-bit values need
DTYPES = ("int8", "int16", "int32", "bool")  # of activations

HOW_TO_QUANTIZE = (
    "quantize it to full integers: TFLite's converter does with Optimize.DEFAULT and a representative_dataset, or "
    "python -m pipeline.quantize, from a Keras model (README, Add a model)"
)
RANGES = {"int8": (-(2**7), 2**7 - 1), "int16": (-(2**15), 2**15 - 1), "int32": (-(2**30), 2**30 - 1), "bool": (0, 1)}


def offsets(tensors: Sequence[Tensor]) -> list[int]:
    """Where each tensor begins."""
    places, end = [], 0
    for tensor in tensors:
        places.append(-(-end // ALIGNMENT) * ALIGNMENT)
        end = places[-1] + tensor.bytes
    return places


def gaps(tensors: Sequence[Tensor]) -> list[int]:
    """The bytes between them, which are zeros."""
    ends = [0, *(start + tensor.bytes for tensor, start in zip(tensors, offsets(tensors), strict=True))]
    return [at for end, start in zip(ends, offsets(tensors), strict=False) for at in range(end, start)]


def size(tensors: Sequence[Tensor]) -> int:
    """Bytes of a window or an answer."""
    return offsets(tensors)[-1] + tensors[-1].bytes


def shape(tensors: Sequence[Tensor]) -> tuple[int, ...]:
    """How arrays of windows or answers are shaped: a single int8 tensor as it is, without its batch, others [bytes]."""
    return without_batch(tensors[0]) if is_plain(tensors) else (size(tensors),)


def without_batch(tensor: Tensor) -> tuple[int, ...]:
    """The shape of one window."""
    return tensor.shape[1:] if tensor.shape[:1] == (1,) else tensor.shape


def is_plain(tensors: Sequence[Tensor]) -> bool:
    """One int8 tensor, whose windows keep its shape."""
    return len(tensors) == 1 and tensors[0].dtype == "int8"


def check_windows(tensors: Sequence[Tensor], windows: NDArray[Any], where: Path | str) -> None:
    """Windows are int8 [n, *shape(tensors)], of which there is one or more; else a Problem."""
    wanted = shape(tensors)
    if windows.dtype != np.int8 or windows.shape[1:] != wanted or not windows.size:
        given = f"{len(windows) if windows.ndim else 'no'} {windows.shape[1:]} of {windows.dtype}"
        raise Problem(where, f"takes windows {wanted} of int8, these are {given}", "reference.npz has such windows")


def split(tensors: Sequence[Tensor], window: NDArray[np.int8]) -> list[NDArray[Any]]:
    """The values of each tensor, of its own type and shape, out of one window."""
    content = np.ascontiguousarray(window).tobytes()
    return [
        np.frombuffer(content, tensor.dtype, tensor.count, start).reshape(tensor.shape)
        for tensor, start in zip(tensors, offsets(tensors), strict=True)
    ]


def join(tensors: Sequence[Tensor], values: Sequence[NDArray[Any]]) -> NDArray[np.int8]:
    """One window of the values of each tensor: int8 of `shape(tensors)`, zeros between them."""
    content = bytearray(size(tensors))
    for tensor, value, start in zip(tensors, values, offsets(tensors), strict=True):
        content[start : start + tensor.bytes] = np.asarray(value, tensor.dtype).tobytes()
    return np.frombuffer(bytes(content), np.int8).reshape(shape(tensors))


def facts(tensors: Sequence[Tensor], judged: int = 0) -> dict[str, Any]:
    """Scale, zero point and shape of a window or an answer; of several tensors, or of another type than int8, those of
    the `judged` one, and the place, type, shape and quantization of each."""
    one = {**_quant(tensors[judged]), "shape": list(shape(tensors))}
    if is_plain(tensors):
        return one
    parts = [
        {"name": tensor.name, "at": at, "dtype": tensor.dtype, "shape": list(without_batch(tensor)), **_quant(tensor)}
        for tensor, at in zip(tensors, offsets(tensors), strict=True)
    ]
    return {**one, "parts": parts, "judged": judged}


def problems(graph: Graph, where: Path | str) -> list[Problem]:
    """Inputs and outputs that no window can carry: none at all, or of another type."""
    found = []
    for name in EDGES:
        if not graph.edge(name):
            found.append(Problem(where, f"has no {name}s", "convert a network that has them"))
        found += [
            Problem(where, f"its {name} {tensor.name} is {tensor.dtype}, not {', '.join(DTYPES[:-1])} or {DTYPES[-1]}",
                    HOW_TO_QUANTIZE)
            for tensor in graph.edge(name) if tensor.dtype not in DTYPES
        ]  # fmt: skip
    return found


def _quant(tensor: Tensor) -> dict[str, Any]:
    if tensor.quant is None:
        return {"scale": 1.0, "zero_point": 0}
    return {"scale": tensor.scale, "zero_point": tensor.zero_point}


def drawn(tensors: Sequence[Tensor], rng: np.random.Generator) -> NDArray[np.int8]:
    """One window of uniformly random values; of 32-bit ones those whose sums stay in 32 bits."""
    return join(tensors, [rng.integers(*RANGES[tensor.dtype], tensor.shape, endpoint=True) for tensor in tensors])
