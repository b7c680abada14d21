"""What a call of a kernel will take on a core: a linear model of its shapes, with coefficients that were measured.

`python benchmarks/calibrate.py --board B` measures them on the board's emulator, and writes costs.json here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from pipeline.cores import Core, kernels_of

TABLE = Path(__file__).with_name("costs.json")  # by core: what is counted, and by kernel or family a number by feature
ROWS, MANY_ROWS = 4, 16  # of weights that kernels take together
# Windows that kernels take together, at most:
LANES = {"nn_conv2d_s8": 4, "nn_conv2d_sparse_s8": 8, "nn_conv2d_pairs_s8": 2, "nn_conv2d_sparse_pairs_s8": 4}
Features = dict[str, float]


class Called(Protocol):
    """What is asked of a Call: see ops/base.py."""

    @property
    def kernel(self) -> str:
        """Its name."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """Of its struct."""

    @property
    def scratch(self) -> int:
        """Bytes."""

    @property
    def lanes(self) -> int:
        """Windows that a convolution takes together; 0: as many as there is scratch for."""

    @property
    def plain(self) -> Any:
        """The weights as TFLite has them, where the fields have them in another layout."""


SomeCall = TypeVar("SomeCall", bound=Called)


def lanes_on(core: Core) -> dict[str, int]:
    """LANES on a core."""
    own = {"nn_conv2d_s8": 1} if core.one_lane else {}
    return {**LANES, "nn_conv2d_sparse_s8": core.sparse_lanes, **own}


@dataclass(frozen=True)
class Around:
    """What is around a call: bytes that it reads and writes, and the share of what it reads that is not the smallest
    value, of which behind a ReLU there are many."""

    read: int = 0
    written: int = 0
    alive: float = 1.0


NOTHING = Around()


@cache
def table() -> Mapping[str, Mapping[str, Any]]:
    """What was measured, by core."""
    return dict(json.loads(TABLE.read_text(encoding="utf-8"))) if TABLE.exists() else {}


def measured(core: str) -> Mapping[str, Any] | None:
    """What was measured on a core, or on that whose kernels it takes."""
    return table().get(core, table().get(kernels_of(core)))


def unit(core: str) -> str | None:
    """What predictions for a core are in: instructions, or cycles; None where nothing was measured."""
    found = measured(core)
    return found["unit"] if found else None


def predicted(core: str, call: Called, around: Around = NOTHING) -> float | None:
    """What a call takes on a core; None where nothing was measured.

    A kernel that was not measured is like the others of its family."""
    known = measured(core)
    if known is None:
        return None
    family, found = features(call, around)
    takes = known["kernels"].get(call.kernel, known["kernels"].get(family, {}))
    return float(sum(takes.get(name, 0.0) * value for name, value in found.items()))


def cheapest(core: str, calls: Iterable[SomeCall], around: Around = NOTHING) -> SomeCall | None:
    """The call of least cost on a core, the first where nothing was measured; None where there is none."""
    return min(calls, key=lambda call: predicted(core, call, around) or 0.0, default=None)


def features(call: Called, around: Around) -> tuple[str, Features]:
    """The kernel's family, and what its time depends on."""
    fields = _spread(call.fields)
    if "point" in fields:
        return "separable", _separable(call)
    if "weights" in fields and "kernel" in fields and "output" in fields:
        if "multiples" in fields:
            return "depthwise", _depthwise(call, fields)
        return "pooled" if "pool" in fields else "conv", _conv(call, fields, around.alive)
    if "weights" in fields and "outputs" in fields:
        return "dense", _dense(call, fields, around.alive)
    if "kernel" in fields and "output" in fields:
        places, taps = _product(fields["output"][:2]), _product(fields["kernel"])
        outputs = _product(fields["output"])
        return "pool", {"calls": 1, "places": places, "outputs": outputs, "taps": outputs * taps}
    limited = around.written * ("min" in fields and _limits(fields))
    return "other", {"calls": 1, "read": around.read, "written": around.written, "limited": limited}


def _spread(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """With those of its window."""
    return {**fields, **fields.get("window", {})}


def _product(sizes: Iterable[int]) -> int:
    return int(np.prod(list(sizes)))


def _padded(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def _depth(fields: Mapping[str, Any]) -> int:
    """Values that a kernel takes together."""
    return 16 if "tiles" in fields else 4


def _size(call: Called) -> int:
    """Weights of the layer, zeros included."""
    return int((call.fields["weights"] if call.plain is None else call.plain).size)


def _conv(call: Called, fields: Mapping[str, Any], alive: float) -> Features:
    """`lanes` windows at a time are brought together, and meet the weights of some rows at a time. Where their maxima
    are wanted, they are those of `size` windows, and of unfinished ones `carried` on."""
    places, channels, size = _product(fields["output"][:2]), fields["output"][2], _product(fields.get("pool", ()))
    count = _size(call) // channels
    lanes = call.lanes or min(LANES.get(call.kernel, 1), max(1, call.scratch // count))
    turns, rest, rows = places // lanes, places % lanes, _padded(channels, ROWS)
    is_point = _product(fields["kernel"]) == 1 and places == _product(fields["input"][:2])
    work = turns * lanes * rows * _padded(count, _depth(fields))
    kind = "point" if is_point and count % _depth(fields) == 0 else "window"  # which some kernels need not gather
    return {
        "calls": 1,
        f"places {kind}": places,
        f"copied {kind}": places * _product(fields["kernel"]) * fields["input"][2],
        "runs": places * fields["kernel"][0] * (kind == "window"),
        "outputs": places * channels / size,
        "limited": places * channels / size * _limits(fields),
        "blocks": turns * rows / ROWS,
        "work": work,
        "single": rest * rows * count,
        **_stored(call, turns + (rest > 0), places * channels / size),
        **({"sums": places * channels, "carried": (turns + (rest > 0)) * channels * (lanes % size > 0),
            "alive": alive * work} if size > 1 else {}),
    }  # fmt: skip


def _stored(call: Called, times: int, outputs: float) -> Features:
    """Where only some weights are stored, in bytes: their reading, and the beginning of each row; outputs of sums that
    may be large, and those without a ReLU, which leaves next to nothing to do of a negative sum."""
    weights = call.fields["weights"]
    if "sparse" not in call.kernel:
        return {}
    found = {
        "stored": times * weights.nbytes,
        "rows": times * len(call.fields["rescale" if "rescale" in call.fields else "multiplier"]),
    }
    if "small" in call.fields:
        found |= {
            "large": outputs * (not call.fields["small"]),
            "signed": outputs * bool(call.fields["min"] < call.fields["output_offset"]),
        }
    return found


def _limits(fields: Mapping[str, Any]) -> bool:
    """Whether a fused activation is more than the saturation to 8 bits."""
    return bool(fields["min"] > -128 or fields["max"] < 127)


def _dense(call: Called, fields: Mapping[str, Any], alive: float) -> Features:
    """A vector at a time; some kernels skip its smallest values."""
    vectors, inputs, outputs = fields["rows"], fields["inputs"], fields["outputs"]
    many = outputs // MANY_ROWS * MANY_ROWS
    deep = _padded(inputs, _depth(fields))
    work = {"16": vectors * many * (deep if "tiles" in fields else inputs),
            "4": vectors * _padded(outputs - many, ROWS) * deep}  # fmt: skip
    return {
        "calls": 1,
        "places": vectors,
        "copied": vectors * inputs,
        "outputs": vectors * outputs,
        "limited": vectors * outputs * _limits(fields),
        **{f"work {rows}": value for rows, value in work.items()},
        **{f"alive {rows}": alive * value for rows, value in work.items()},
        "blocks 16": vectors * many / MANY_ROWS,
        "blocks 4": vectors * _padded(outputs - many, ROWS) / ROWS,
        **_stored(call, vectors, vectors * outputs),
    }


def _depthwise(call: Called, fields: Mapping[str, Any]) -> Features:
    """Each channel by itself, or four neighbouring ones; filters of 3 x 3, which move by 1 or 2, have loops of their
    own."""
    places, (height, width) = _product(fields["output"][:2]), fields["kernel"]
    channels = _size(call) // (height * width)
    fours = channels // ROWS * ROWS if fields["multiples"] == 1 else 0
    usual = "three" if (height, width) == (3, 3) and fields["stride"][1] <= 2 else "any"
    one_by_one = "ones" if fields["stride"][1] > 1 else "twos"
    last = fields["output"][0] * (fields["output"][1] % 2)  # places without a neighbour
    found = {
        "calls": 1,
        "places": places,
        "channels": channels,
        "lines": channels * fields["output"][0],
        "copied": _product(fields["input"][:2]) * channels // fields["multiples"],
        "outputs": places * channels,
        "limited": places * channels * _limits(fields),
        f"work {usual}": places * channels * height * width,
        f"runs {usual}": places * channels * height,
        f"outputs {usual}": places * channels,
        f"{one_by_one} {usual}": places * channels,
        "last": last * channels,
        f"last {usual}": last * channels * height * width,
    }
    if fours < channels:
        found |= {"work apart": places * (channels - fours) * height * width}
    return found


@dataclass(frozen=True)
class _Half:
    """Called, one of the two convolutions of a call."""

    kernel: str
    fields: Mapping[str, Any]
    lanes: int
    scratch: int = 0
    plain: Any = None


def _separable(call: Called) -> Features:
    """What both take, but for what lies between them: outputs of the first one are windows of the second."""
    first, second = (_Half(call.kernel, call.fields[name], call.lanes) for name in ("depthwise", "point"))
    fields, point = _spread(first.fields), replace(second, plain=call.plain)
    (height, width, channels), (rows, columns) = fields["output"], fields["kernel"]
    made, alone = height * width * channels, _alone(height, width, call.lanes) * channels
    known = _depthwise(first, fields)
    return {
        **{name: value for name, value in _conv(point, _spread(point.fields), 1.0).items()
           if not name.startswith(("places", "copied"))},
        **{f"first {name}": known.get(name, 0.0) for name in ("lines", "copied", "outputs", "limited", "work apart")},
        "first work": made * rows * columns,
        "first runs": made * rows,
        "alone": alone,
        "alone work": alone * rows * columns,
    }  # fmt: skip


def _alone(height: int, width: int, lanes: int) -> int:
    """Places that have none of their row beside them in one turn of so many lanes: the others are made by twos."""
    alone, free = 0, lanes
    for _ in range(height):
        left = width
        while left > 0:
            done = min(left, free, 2)
            alone += done == 1
            left, free = left - done, free - done or lanes
    return alone
