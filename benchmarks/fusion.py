"""What a convolution and the pool behind it save in one kernel, or a depthwise one and that of 1 x 1 behind it: small
networks on several cores, apart and fused.

python benchmarks/fusion.py
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from calibrate import counted  # noqa: E402

from pipeline import costs, edges, flatbuffer  # noqa: E402
from pipeline.board import load_board  # noqa: E402
from pipeline.cores import core_of  # noqa: E402
from pipeline.generate import compile_model  # noqa: E402
from pipeline.graph import Graph, Quant  # noqa: E402
from pipeline.ops import cases  # noqa: E402
from pipeline.ops.pooled_conv import pooled  # noqa: E402
from pipeline.ops.window import output_size  # noqa: E402
from pipeline.plan import Plan  # noqa: E402

BOARDS = ("cortex-m4", "pico", "rv32", "xtensa", "mega2560")
BY_LINES = ("pico", "rv32")  # whose depthwise kernels make all channels of a place
HEAD = ("network", "board", "counted in", "apart", "fused", "", "arena apart", "fused")


@dataclass
class Network:
    """A graph that grows layer by layer, as Keras has them; random weights, of which a share may be zero."""

    shape: tuple[int, ...]
    zeros: float = 0.0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(1)
        self.graph = Graph((cases.activation(self.rng, self.shape, "input", 0.05, 0),), (), (0,), (0,))

    def conv(self, filters: int, *kernel: int, padding: int = 0, stride: int = 1, dilation: int = 1) -> Network:
        """With a ReLU; of one dimension where the kernel is."""
        x = self.graph.edge("output")[0]
        if len(kernel) == 1:
            self.graph = cases.reshaped(self.graph, (1, 1, *x.shape[1:]))
            x, kernel = self.graph.edge("output")[0], (1, *kernel)
        w = cases.weights(self.rng, (filters, *kernel, x.shape[3]), 0, self.zeros)
        size = [output_size(padding, x.shape[1 + i], kernel[i], stride, dilation) for i in (0, 1)]
        y = cases.output_for(self.rng, x, w, (1, *size, filters), w.count // filters)
        options = {"table": "Conv2DOptions", "padding": padding, "fused_activation_function": 1, "stride_h": stride,
                   "stride_w": stride, "dilation_h_factor": dilation, "dilation_w_factor": dilation}  # fmt: skip
        y = replace(y, quant=Quant((y.scale,), (-128,)))
        self.graph = cases.behind(self.graph, "CONV_2D", [w, cases.bias(self.rng, x, w, filters)], y, options)
        return self

    def depthwise(self, *kernel: int, stride: int = 1) -> Network:
        """With a filter for each channel, padding and a ReLU."""
        x = self.graph.edge("output")[0]
        w = cases.weights(self.rng, (1, *kernel, x.shape[3]), 3)
        size = [output_size(0, x.shape[1 + i], kernel[i], stride) for i in (0, 1)]
        y = cases.output_for(self.rng, x, w, (1, *size, x.shape[3]), kernel[0] * kernel[1])
        options = {"table": "DepthwiseConv2DOptions", "padding": 0, "stride_h": stride, "stride_w": stride,
                   "depth_multiplier": 1, "dilation_h_factor": 1, "dilation_w_factor": 1,
                   "fused_activation_function": 1}  # fmt: skip
        y = replace(y, quant=Quant((y.scale,), (-128,)))
        bias = cases.bias(self.rng, x, w, x.shape[3])
        self.graph = cases.behind(self.graph, "DEPTHWISE_CONV_2D", [w, bias], y, options)
        return self

    def pool(self, *size: int) -> Network:
        """The maximum; of one dimension where the size is."""
        self.graph = pooled(self.graph, size if len(size) == 2 else (1, size[0]), column=len(size) == 1)
        return self

    def dense(self, outputs: int) -> Network:
        """Of all that there is."""
        inputs = self.graph.edge("output")[0].count
        self.graph = cases.reshaped(self.graph, (1, inputs))
        x, w = self.graph.edge("output")[0], cases.weights(self.rng, (outputs, inputs), None, self.zeros)
        y = cases.output_for(self.rng, x, w, (1, outputs), inputs)
        self.graph = cases.behind(self.graph, "FULLY_CONNECTED", [w, cases.bias(self.rng, x, w, outputs)], y,
                                  {"table": "FullyConnectedOptions", "keep_num_dims": False})  # fmt: skip
        return self


def networks() -> dict[str, Network]:
    """Of one dimension, as for six axes of motion, and of two, as for small images."""
    row = Network((1, 128, 6)).conv(16, 5).pool(2).conv(32, 5).pool(2).dense(6)
    image = Network((1, 16, 16, 3)).conv(8, 3, 3).pool(2, 2).conv(16, 3, 3).pool(2, 2).dense(6)
    return {"Conv1D 16 x 5, 32 x 5": row, "Conv2D 8, 16 of 3 x 3": image}


def separable() -> dict[str, Network]:
    """Depthwise convolutions, each with one of 1 x 1 behind it, as for spectrograms and for small images."""
    sound = Network((1, 25, 5, 32)).depthwise(3, 3).conv(32, 1, 1).depthwise(3, 3).conv(32, 1, 1).dense(6)
    image = Network((1, 24, 24, 8)).depthwise(3, 3).conv(16, 1, 1).depthwise(3, 3, stride=2).conv(32, 1, 1).dense(2)
    return {"separable, 32 of 25 x 5": sound, "separable, 16, 32 of 24 x 24": image}


def plans(network: Network, core: str) -> tuple[Plan, Plan]:
    """Apart and fused."""
    content = flatbuffer.write(network.graph)
    apart, fused = (compile_model(content, "network", replace(core_of(core), fuses=each)) for each in (False, True))
    return apart, fused


def taken(network: Network, board_name: str) -> list[tuple[float, Plan]]:
    """What an inference takes, and its plan: apart, fused."""
    board = load_board(board_name)
    window = edges.drawn(network.graph.edge("input"), np.random.default_rng(2)).tobytes()
    return [(float(counted(board, made, window).sum()), made) for made in plans(network, board.core)]


def table() -> str:
    """In Markdown."""
    lines = [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
    for of, boards in ((networks(), BOARDS), (separable(), BY_LINES)):
        for (name, network), board in itertools.product(of.items(), boards):
            both = taken(network, board)
            (apart, fused), arenas = zip(
                *((count, f"{made.layout.arena_bytes:,}") for count, made in both), strict=True
            )
            unit = str(costs.unit(load_board(board).core))
            figures = (f"{apart:,.0f}", f"{fused:,.0f}", f"{fused / apart:.2f}x", *arenas)
            lines.append(f"| {' | '.join([name, board, unit, *figures])} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.stdout.write(table())
