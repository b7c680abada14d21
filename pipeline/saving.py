"""What the zeros of a pruned network save on a core: which layers its kernels take sparse, and at what price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.cores import Core
from pipeline.costs import cheapest, predicted
from pipeline.ops.base import Call
from pipeline.ops.conv_2d import Conv2D
from pipeline.ops.depthwise_conv_2d import DepthwiseConv2D
from pipeline.ops.fully_connected import FullyConnected
from pipeline.ops.weighted import Weighted
from pipeline.ops.window import Window

CONVOLUTIONS = ("Conv1D", "Conv2D")
DENSE = ("Dense",)
DEPTHWISE = ("DepthwiseConv1D", "DepthwiseConv2D")


def savings(network: Any, core: Core) -> list[dict[str, Any]]:
    """One row for each layer of a Keras network that has a sparse kernel.

    Its format on the core, bytes of weights dense and as stored, and what it is predicted to take over what it takes
    dense.
    """
    return [_row(layer, core) for layer in network.layers if kind(layer) in (*CONVOLUTIONS, *DENSE)]


def kind(layer: Any) -> str:
    """The name of a layer's class."""
    return type(layer).__name__


def _row(layer: Any, core: Core) -> dict[str, Any]:
    kernel = layer.get_weights()[0]
    op = operator(layer, kernel != 0)
    dense, stored = (cheapest(each.name, op.ways(each)) or op.call() for each in (replace(core, sparse=False), core))
    sparse = "sparse" in stored.kernel
    costs = [predicted(core.name, call) for call in (stored, dense)]
    return {
        "layer": layer.name,
        "zeros": float(np.mean(kernel == 0)),
        "format": "sparse" if sparse else "dense",
        "dense_bytes": int(kernel.size),
        "bytes": _bytes(stored) if sparse else int(kernel.size),
        "instructions": costs[0] / costs[1] if costs[0] and costs[1] else 1.0,
    }


def _bytes(call: Call) -> int:
    weights = call.fields["weights"]
    assert isinstance(weights, np.ndarray)
    return weights.nbytes


def operator(layer: Any, left: NDArray[np.bool_]) -> Conv2D | DepthwiseConv2D | FullyConnected:
    """A layer as the compiler would have it, as far as its price goes, with weights of one where some are `left`, in
    Keras's order: [..., inputs, outputs], of depthwise layers [..., inputs, 1]."""
    deep = kind(layer) in DEPTHWISE
    weights = (left[None, ..., 0] if deep else np.moveaxis(left, -1, 0)).astype(np.int8)
    inputs, outputs = left.shape[-2], left.shape[-2 if deep else -1]
    sums = Weighted(weights, np.zeros(outputs, np.int32), np.full(outputs, 1 << 30, np.int32),
                    np.full(outputs, -8, np.int8), 0, 0, (-128, 127))  # fmt: skip
    places = layer.output_shape[1:-1]
    if kind(layer) in DENSE:
        return FullyConnected(int(np.prod(places)), sums, (*places, outputs))
    (height, width), (height_out, width_out), (down, across) = (
        _filled(sizes, 2) for sizes in (layer.input_shape[1:-1], places, layer.strides)
    )
    spread = weights.reshape(len(weights), *_filled(weights.shape[1:], 3))
    window = Window((height, width, inputs), (height_out, width_out, outputs), (spread.shape[1], spread.shape[2]),
                    (down, across), (1, 1), (0, 0))  # fmt: skip
    sums = replace(sums, weights=spread)
    return DepthwiseConv2D(window, sums, 1) if deep else Conv2D(window, sums)


def _filled(sizes: Sequence[int], count: int) -> tuple[int, ...]:
    """Sizes of one dimension as those of an image of one row."""
    return (*(1 for _ in range(count - len(sizes))), *sizes)
