"""FULLY_CONNECTED: Keras Dense."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.cores import Core
from pipeline.graph import Graph, Node
from pipeline.ops import cases, pairs, sparse, tiles
from pipeline.ops.base import Call, Int8s, activation_range, need_int8, op
from pipeline.ops.batch_matmul import BatchMatmul, product
from pipeline.ops.weighted import Weighted, Weighted16, weighted
from pipeline.problem import Problem


@op("FULLY_CONNECTED")
@dataclass(frozen=True)
class FullyConnected:
    """Weights int8 [outputs, inputs]; any leading shape of the input counts as rows."""

    rows: int
    sums: Weighted
    shape: tuple[int, ...]
    tflite_differs = "without biases its 16-bit layers have sums of 32 bits"
    tflite_same = "int8"
    in_place = ()

    @staticmethod
    def slots(node: Node, graph: Graph) -> tuple[int, ...]:
        """The input, and the weights where they are computed."""
        return (0,) if graph.input(node, 1).data is not None else (0, 1)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> FullyConnected | BatchMatmul:
        """Refuses shuffled weights, which only some CPUs' kernels read; computed ones are a product of matrices."""
        x, y = graph.input(node), graph.output(node)
        if node.options.get("weights_format", 0):
            raise Problem(graph.label(node), "its weights are in a shuffled format", "convert without it")
        if graph.input(node, 1).data is None:
            return _computed(node, graph)
        sums = weighted(node, graph, channels=y.shape[-1])
        return cls(x.count // sums.weights.shape[1], sums, y.shape)

    def run(self, *inputs: Int8s) -> Int8s:
        """Input [..., inputs], output [..., outputs], of 8 or 16 bits."""
        rows = inputs[0].reshape(self.rows, -1).astype(np.int64) + self.sums.input_offset
        return self.sums.finish(rows @ self.sums.weights.T.astype(np.int64)).reshape(self.shape)

    def call(self) -> Call:
        """One call for the whole layer."""
        if isinstance(self.sums, Weighted16):
            return Call("nn_dense_s16", "nn_dense_s16_t", {**self._sizes, **self._per_channel, **self.sums.fields()})
        return self._call("nn_dense", self.sums.blocks())

    @property
    def _sizes(self) -> dict[str, int]:
        outputs, inputs = self.sums.weights.shape
        return {"rows": self.rows, "inputs": inputs, "outputs": outputs}

    @property
    def _per_channel(self) -> dict[str, int]:
        return {"per_channel": int(len(self.sums.multiplier) > 1)}

    def _call(self, kernel: str, constants: Mapping[str, Any]) -> Call:
        fields = dict(constants)
        scalars = {name: fields.pop(name) for name in ("input_offset", "output_offset", "min", "max")}
        return Call(f"{kernel}_s8", f"{kernel}_t", {**self._sizes, **scalars, **self._per_channel, **fields},
                    scratch=self._sizes["inputs"], plain=self.sums.weights)  # fmt: skip

    def ways(self, core: Core) -> tuple[Call, ...]:
        """The calls for a core: weights in tiles; in pairs, dense and sparse; plain; sparse; of 16 bits plain only."""
        if isinstance(self.sums, Weighted16):
            return ()
        found = sparse.fields(self.sums, core.only_small) if core.sparse else None
        thin = () if found is None else (self._call("nn_dense_sparse", found),)
        if core.packing == "tiles":
            return (*self._tiled(), self.call())
        kernels = (("nn_dense_pairs", 0), ("nn_dense_sparse_pairs", -(-self._sizes["inputs"] // pairs.BLOCK) * 8))
        found_pairs = zip(kernels, pairs.fields(self.sums, core), strict=False)
        paired = (Call(f"{kernel}_s8", f"{kernel}_t", {**self._sizes, **fields}, scratch, plain=self.sums.weights)
                  for (kernel, scratch), fields in found_pairs)  # fmt: skip
        return (*paired, self.call(), *thin)

    def _tiled(self) -> tuple[Call, ...]:
        """The call with weights in tiles, if they allow it."""
        sums = tiles.fields(self.sums)
        if sums is None:
            return ()
        fields = {"rows": self.rows, "inputs": self.sums.weights.shape[1], **sums}
        return (Call("nn_dense_tiles_s8", "nn_dense_tiles_t", fields, scratch=tiles.DEPTH * sums["tiles"],
                     plain=self.sums.weights),)  # fmt: skip

    @property
    def macs(self) -> int:
        """One product per weight and row."""
        return self.rows * self.sums.weights.size

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Constant weights for values of both widths, then computed ones."""
        yield from cases.both_widths(_constant(rng))
        yield _long(rng)
        for size in (5, 16):
            x = cases.activation(rng, (size, 7), "input")
            w = cases.activation(rng, x.shape, "weights", x.scale * float(rng.uniform(0.5, 2)))
            y = cases.activation(rng, (size, size), "output", x.scale * w.scale * 64 * math.sqrt(7))
            yield cases.two_nodes("QUANTIZE", "FULLY_CONNECTED", [x, w, y], ((0,), (0, 1, -1)), "FullyConnectedOptions",
                                  keep_num_dims=True, fused_activation_function=1)  # fmt: skip
        for rows, inputs, zeros in ((3, 34, 0.85), (1, 1500, 0.998)):  # outputs of nothing; weights far apart
            x = cases.activation(rng, (rows, inputs), "input")
            w = cases.weights(rng, (9, inputs), None, zeros, empty=slice(2, 4))
            y = cases.output_for(rng, x, w, (rows, 9), 5)
            yield cases.one_node("FULLY_CONNECTED", [x, w, cases.bias(rng, x, w, 9)], y, "FullyConnectedOptions")


def _constant(rng: np.random.Generator) -> Iterator[Graph]:
    """One and several rows, with and without bias, every fused activation; then sparse ones."""
    for i in range(12):
        zeros, inputs = (0.0, int(rng.integers(1, 70))) if i < 10 else (0.9, 90)
        x = cases.activation(rng, (1, *((4,) if i % 3 == 0 else ()), inputs), "input")
        per_channel = len(x.shape) == 2 and i % 2  # on three axes tflite-runtime mistakes the scales: test_reference
        w = cases.weights(rng, (int(rng.integers(1, 20)), x.shape[-1]), 0 if per_channel else None, zeros)
        bias = cases.bias(rng, x, w, w.shape[0]) if i % 4 else None
        y = cases.output_for(rng, x, w, (*x.shape[:-1], w.shape[0]), w.shape[1])
        yield cases.one_node("FULLY_CONNECTED", [x, w, bias], y, "FullyConnectedOptions", keep_num_dims=True,
                             fused_activation_function=int(rng.choice([0, 1, 2, 3])))  # fmt: skip


def _long(rng: np.random.Generator) -> Graph:
    """Sums of 16-bit values that do not fit 32 bits, and a bias that does not."""
    x, w = cases.activation(rng, (1, 520), "input"), cases.weights(rng, (6, 520), 0)
    assert w.data is not None
    w.data[:2] = [[-127], [127]]
    y = cases.output_for(rng, x, w, (1, 6), 520 * 64)
    graph = cases.of_16_bits(cases.one_node("FULLY_CONNECTED", [x, w, cases.bias(rng, x, w, 6)], y,
                                            "FullyConnectedOptions", fused_activation_function=0))  # fmt: skip
    bias = graph.tensors[2].data
    assert bias is not None
    bias[4] = 2**35 + 12345
    return graph


def _computed(node: Node, graph: Graph) -> BatchMatmul:
    """Weights [outputs, inputs] that are an activation: the input times them, turned round."""
    x, w, y = graph.input(node), graph.input(node, 1), graph.output(node)
    need_int8(node, graph, x, w, y)
    if graph.tensor(node, 2) is not None:
        raise Problem(
            graph.label(node), "has biases beside weights that are computed", "add them in a layer of their own"
        )
    sizes = (x.count // w.shape[1], w.shape[1], w.shape[0])
    return BatchMatmul(sizes, (1, 1), (False, True), *product(x, w, y), activation_range(node, graph, y), y.shape)
