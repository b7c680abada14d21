"""What the zeros of a pruned network save on a core: which layers its kernels take sparse, and at what price."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.cores import Core
from pipeline.ops import sparse

CONVOLUTIONS = ("Conv1D", "Conv2D")
DENSE = ("Dense",)


def savings(network: Any, core: Core) -> list[dict[str, Any]]:
    """One row for each layer of a Keras network that has a sparse kernel.

    Its format on the core, bytes of weights dense and as stored, and instructions of its inner loops over those of the
    dense ones.
    """
    return [
        _row(layer.name, layer.get_weights()[0], core.sparse_dense if _kind(layer) in DENSE else core.sparse_conv)
        for layer in network.layers
        if _kind(layer) in (*CONVOLUTIONS, *DENSE)
    ]


def _kind(layer: Any) -> str:
    return type(layer).__name__


def _row(name: str, kernel: np.ndarray[Any, Any], cost: float) -> dict[str, Any]:
    """`kernel`: [..., outputs]; what is zero in it stays so in int8."""
    weights = np.moveaxis(kernel != 0, -1, 0).reshape(kernel.shape[-1], -1).astype(np.int8)
    made = sparse.chosen(weights, cost)
    entries = 0 if made is None else (len(made) - len(weights)) // 3 * 2
    return {
        "layer": name,
        "zeros": float(np.mean(weights == 0)),
        "format": "dense" if made is None else "sparse",
        "dense_bytes": int(weights.size),
        "bytes": int(weights.size if made is None else len(made)),
        "instructions": 1.0 if made is None else entries * cost / weights.size,
    }
