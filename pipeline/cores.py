"""Processor cores, as far as the compiler knows them: in which layout their kernels want a layer's weights."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

PATTERNS = ("unstructured", "2x2", "channels")  # of what pruning takes away: pipeline/pattern.py


@dataclass(frozen=True)
class Core:
    """A board file's `core`. `packing`: a layout besides that of the portable kernels; costs.py says which pays."""

    name: str
    packing: str = ""
    sparse: bool = False  # there are kernels that skip weights of zero
    pattern: str = "unstructured"  # of zeros that they skip best: pipeline/pattern.py
    like: str = ""  # the core whose kernels it takes too
    one_lane: bool = False  # its dense convolutions take one window at a time, for want of registers
    planes: bool = False  # its depthwise convolutions may take one channel at a time
    scaler_bytes: int = 0  # of scratch that its nn_output.h prepares for each channel of a convolution
    sparse_lanes: int = 8  # NN_WIDE: windows that one weight of its sparse ones serves
    fuses: bool = True  # two operators in one kernel, where that takes less: pipeline/fusion.py
    only_small: bool = False  # its sparse kernels have sums of 24 bits: small() of pipeline/ops/sparse.py

    @property
    def by_lines(self) -> bool:
        """Whether its depthwise convolutions make all channels of a place before they go on to the next."""
        return not self.planes and self.packing != "tiles"


PORTABLE = Core("portable")
# pairs: two products an instruction (SMLAD); pipeline/ops/pairs.py makes what firmware/kernels/nn_pairs.h reads.
_PAIRS = Core("cortex-m4", packing="pairs", planes=True, sparse=True, pattern="2x2")
# tiles: sixteen (Helium); pipeline/ops/tiles.py, firmware/kernels/nn_tiles.h.
_KNOWN = (
    _PAIRS,
    replace(_PAIRS, name="cortex-m7", like="cortex-m4"),
    replace(_PAIRS, name="cortex-m33", like="cortex-m4"),
    Core("cortex-m55", packing="tiles"),
    Core("cortex-m0plus", sparse=True),
    Core("rv32imc", sparse=True),
    Core("xtensa-lx6", sparse=True, planes=True, scaler_bytes=20),
    Core("xtensa-lx7", sparse=True, planes=True, scaler_bytes=20, like="xtensa-lx6"),
    Core("avr", sparse=True, one_lane=True, sparse_lanes=4, only_small=True),
)
CORES = {core.name: core for core in _KNOWN}


def core_of(name: str) -> Core:
    """The core of this name; one that has no kernels of its own is like any other."""
    return CORES.get(name, PORTABLE)


def misspelt(name: str) -> str | None:
    """The core that is meant by a name which is one's but for case and marks, such as CortexM4; nothing for what is no
    name at all; None when the name is right, or is that of a core without kernels of its own."""
    if not re.fullmatch(r"[\w.+-]+", name):
        return ""
    plain = {re.sub(r"\W|_", "", known).lower(): known for known in CORES}
    near = plain.get(re.sub(r"\W|_", "", name).lower(), name)
    return None if near == name else near


def kernels_of(name: str) -> str:
    """The folder of firmware/kernels with the core's own, which need not be there."""
    return core_of(name).like or name
