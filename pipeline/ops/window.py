"""A window that slides over height and width: what convolutions and pools have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pipeline.graph import Node, Tensor
from pipeline.ops.base import shape3

Pair = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """Shapes are (height, width, channels), pairs (height, width); pad is what lies above and left of the input."""

    input: tuple[int, int, int]
    output: tuple[int, int, int]
    kernel: Pair
    stride: Pair
    dilation: Pair
    pad: Pair

    def views(self, x: NDArray[np.int64], fill: int = 0) -> NDArray[np.int64]:
        """All windows of x [1, h, w, c] as [h', w', c, kernel height, kernel width], `fill` outside the input."""
        reach = [(self.kernel[i] - 1) * self.dilation[i] + 1 for i in (0, 1)]
        after = [max((self.output[i] - 1) * self.stride[i] + reach[i] - self.pad[i] - self.input[i], 0) for i in (0, 1)]
        spread = [(self.pad[i], after[i]) for i in (0, 1)]
        padded = np.pad(x[0], (*spread, (0, 0)), constant_values=fill)
        views: NDArray[np.int64] = sliding_window_view(padded, tuple(reach), axis=(0, 1))  # type: ignore[call-overload]
        views = views[:: self.stride[0], :: self.stride[1]]
        return views[: self.output[0], : self.output[1], :, :: self.dilation[0], :: self.dilation[1]]

    @property
    def lines_bytes(self) -> int:
        """Bytes of the lines that one row of windows reaches over, padding included (nn_lines.h)."""
        reach = [(self.kernel[i] - 1) * self.dilation[i] + 1 for i in (0, 1)]
        return reach[0] * ((self.output[1] - 1) * self.stride[1] + reach[1]) * self.input[2]

    def fields(self, dilated: bool = True) -> Mapping[str, Any]:
        """The struct's fields, in the kernels' order."""
        middle = {"dilation": self.dilation} if dilated else {}
        return {"input": self.input, "output": self.output, "kernel": self.kernel, "stride": self.stride, **middle,
                "pad": self.pad}  # fmt: skip


def window_of(node: Node, x: Tensor, y: Tensor, kernel: Pair) -> Window:
    """The window of a node with TFLite's stride, dilation and padding options, or the `pads` that a pass gave it."""
    options = node.options
    stride = (options["stride_h"], options["stride_w"])
    dilation = (options.get("dilation_h_factor", 1), options.get("dilation_w_factor", 1))
    inputs, outputs = shape3(x), shape3(y)
    usual = [padding(node, (inputs[i], kernel[i], outputs[i]), stride[i], dilation[i]) for i in (0, 1)]
    pads = options.get("pads", usual)
    return Window(inputs, outputs, kernel, stride, dilation, (pads[0], pads[1]))


def output_size(padding: int, length: int, kernel: int, stride: int, dilation: int = 1) -> int:
    """Output length along one axis; padding 0 is SAME, 1 is VALID (TFLite ComputeOutSize)."""
    reach = (kernel - 1) * dilation + 1
    return -(-length // stride) if padding == 0 else (length - reach) // stride + 1


def padding(node: Node, sizes: tuple[int, int, int], stride: int, dilation: int = 1) -> int:
    """Padding before the input along one axis; sizes are (input, kernel, output) (TFLite ComputePadding)."""
    length, kernel, output = sizes
    if node.options["padding"] == 1:  # VALID
        return 0
    return max((output - 1) * stride + (kernel - 1) * dilation + 1 - length, 0) // 2
