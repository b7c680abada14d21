"""Windows in hops, for firmware that takes a part of a window at a time: one RUN with the first part, then STREAMs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline import wire
from pipeline.device import INTERRUPTIONS, Answer, Device
from pipeline.problem import EXIT_DEVICE, Problem
from pipeline.wire import Info, Result

SECONDS = 20.0  # for one hop
HINT = "build and flash the firmware again"


def answers(device: Device, info: Info, windows: Iterable[bytes], window_bytes: int, answer_bytes: int
            ) -> Iterator[Answer]:  # fmt: skip
    """Each window's answer once: as many under way as the device takes, or in hops where those are what it takes.

    The answer to a window in hops is that of the last one, or all of them where only all have `answer_bytes`. Its ticks
    are those of all hops. A device that restarts in the middle gets the window from its start.
    """
    if window_bytes == info.input_bytes:
        yield from device.run(windows)
        return
    whole = window_bytes // info.input_bytes * info.output_bytes == answer_bytes
    for index, window in enumerate(windows):
        results = None
        while results is None:
            results = _window(device, info, index, window)
        output = b"".join(result.output for result in results) if whole else results[-1].output
        yield Answer(index, sum(result.ticks for result in results), output)


def _window(device: Device, info: Info, index: int, window: bytes) -> list[Result] | None:
    """The results of one window's hops; None when the device restarted meanwhile."""
    size = info.input_bytes
    if len(window) % size:
        raise Problem(device.name, f"takes hops of {size} bytes, window {index} has {len(window)}", HINT, EXIT_DEVICE)
    results = []
    for start in range(0, len(window), size):
        hop = window[start : start + size]
        frame = device.ask(wire.STREAM if start else wire.RUN, hop, SECONDS)
        if frame.type == wire.ERROR:
            error = wire.parse_error(frame.body)
            if error.code == "session" and device.stats.restarts < INTERRUPTIONS:
                device.stats.restarts += 1
                device.confirm(info)
                return None
            what = f"refuses a hop of window {index}: {error.code}: {error.text}"
            raise Problem(device.name, what, HINT, EXIT_DEVICE)
        results.append(wire.parse_result(frame.body, info.output_bytes))
    return results
