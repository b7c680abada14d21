"""Processor cores, as far as the compiler knows them: in which layout their kernels want a layer's weights."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Core:
    """A board file's `core`. `packing`: a layout besides that of the portable kernels; costs.py says which pays."""

    name: str
    packing: str = ""
    sparse: bool = False  # there are kernels that skip weights of zero
    like: str = ""  # the core whose kernels it takes too
    one_lane: bool = False  # its convolutions take one window at a time, for want of registers


PORTABLE = Core("portable")
# pairs: two products an instruction (SMLAD); pipeline/ops/pairs.py makes what firmware/kernels/nn_pairs.h reads.
# tiles: sixteen (Helium); pipeline/ops/tiles.py, firmware/kernels/nn_tiles.h.
_KNOWN = (
    Core("cortex-m4", packing="pairs"),
    Core("cortex-m7", packing="pairs", like="cortex-m4"),
    Core("cortex-m33", packing="pairs", like="cortex-m4"),
    Core("cortex-m55", packing="tiles"),
    Core("cortex-m0plus", sparse=True),
    Core("rv32imc", sparse=True),
    Core("xtensa-lx6", sparse=True),
    Core("xtensa-lx7", sparse=True),
    Core("avr", sparse=True, one_lane=True),
)
CORES = {core.name: core for core in _KNOWN}


def core_of(name: str) -> Core:
    """The core of this name; one that has no kernels of its own is like any other."""
    return CORES.get(name, PORTABLE)


def kernels_of(name: str) -> str:
    """The folder of firmware/kernels with the core's own, which need not be there."""
    return core_of(name).like or name
