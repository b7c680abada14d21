"""A board to talk to from a notebook or a test: `with live.connect("/dev/ttyUSB0") as device: device.run(window)`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import bench, hops, metrics
from pipeline.bench import Ask
from pipeline.built import Built
from pipeline.device import Device
from pipeline.problem import Problem
from pipeline.wire import Info


class Live:
    """A board that runs windows: int8 ones give int8 answers, int16 ones of a 16x8 model int16 answers; real ones
    (standardised) are quantized, and so answered.

    `info` is what the device says of itself, `built` the files of its model, `built.reference` the test split.
    """

    def __init__(self, device: Device, info: Info, built: Built) -> None:
        self.info, self.built, self._device = info, built, device

    def run(self, window: NDArray[Any]) -> NDArray[Any]:
        """The answer [*out] to one window [*shape]."""
        answer: NDArray[Any] = self.stream([window])[0]
        return answer

    def stream(self, windows: Iterable[NDArray[Any]]) -> NDArray[Any]:
        """The answers [n, *out] to windows [n, *shape], as many under way as the device takes."""
        inputs, real = self._bytes(windows)
        answers = np.zeros((len(inputs), *self.built.quantize["output"]["shape"]), np.int8)
        contents = (window.tobytes() for window in inputs)
        for answer in hops.answers(self._device, self.info, contents, *self.built.sizes):
            answers[answer.index].flat = np.frombuffer(answer.output, np.int8)
        return self._answers(answers, real)

    def follow(self, windows: Iterable[NDArray[Any]]) -> NDArray[Any]:
        """The answers to windows that follow one another: a model with a state is reset before the first alone.

        They are [n, *out], or one for each hop [hops, values of it] where the firmware takes hops.
        """
        inputs, real = self._bytes(windows)
        content = inputs.tobytes()
        steps = len(content) // self.info.input_bytes
        (answer,) = hops.answers(self._device, self.info, [content], len(content), steps * self.info.output_bytes)
        return self._answers(np.frombuffer(answer.output, np.int8).reshape(steps, -1), real, steps == len(inputs))

    def _bytes(self, windows: Iterable[NDArray[Any]]) -> tuple[NDArray[np.int8], bool]:
        """Windows as the device takes them, and whether they were real numbers."""
        given = np.stack([np.asarray(window) for window in windows])
        takes, real = self.built.quantize["input"], np.issubdtype(given.dtype, np.floating)
        shape, dtype = metrics.single(takes)
        if given.shape[1:] != shape or not (real or given.dtype == dtype):
            what = f"takes windows {shape} of {dtype} or real numbers, these are {given.shape[1:]} of {given.dtype}"
            raise Problem(f"model {self.built.name}", what)
        content = metrics.quantize(given, takes) if real else np.ascontiguousarray(given)
        return content.reshape(len(given), -1).view(np.int8), real

    def _answers(self, answers: NDArray[np.int8], real: bool, whole: bool = True) -> NDArray[Any]:
        """Answers int8 [n, ...] as the windows were given; those of hops are not `whole`."""
        out = self.built.quantize["output"]
        if len(out.get("parts", ())) > 1:
            return metrics.dequantize(answers, out) if real else answers
        shape, dtype = metrics.single(out)
        values = answers.reshape(len(answers), -1).view(dtype)
        values = values.reshape(-1, *shape) if whole else values
        return metrics.dequantize(values, {**out, "parts": ()}) if real else values


@contextmanager
def connect(
    port: str | None = None, board: str | None = None, name: str | None = None, runtime: str | None = None
) -> Iterator[Live]:
    """The board at a port, or without one the emulator of a board; model and runtime are what the device says."""
    ask = Ask(port=port, board=board, name=name, runtime=runtime)
    with bench.line(ask) as (line, emulated):
        device = Device(line)
        info = device.hello()
        yield Live(device, info, bench.identify(ask, info, line.name, emulated))
