"""Processor cores, as far as the compiler knows them: in which layout their kernels want a layer's weights."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Core:
    """A board file's `core`. `packing` is the layout: none is TFLite's own, for the portable kernels."""

    name: str
    packing: str = ""


PORTABLE = Core("portable")
# pairs: two products an instruction (SMLAD); pipeline/ops/pairs.py makes what firmware/kernels/nn_pairs.h reads.
CORES = {core.name: core for core in (Core("cortex-m4", packing="pairs"),)}


def core_of(name: str) -> Core:
    """The core of this name; one that has no kernels of its own is like any other."""
    return CORES.get(name, PORTABLE)
