"""The reference of a model: tflite-runtime's bytes where they are TFLite Micro's, else the integer oracle's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline import oracle
from pipeline.evaluate import answer
from pipeline.graph import Graph
from pipeline.importer import import_model, operators
from pipeline.ops.base import Op
from pipeline.problem import Problem, Problems
from pipeline.progress import progress, say

TFLITE = "tflite-runtime 2.14, reference kernels"
INTEGER = "integer oracle (TFLite Micro's arithmetic in numpy)"
SAMPLE = 16  # windows at least on which the two are held against each other,
SAMPLE_MACS = 10**9  # and as many as this many multiply-accumulates allow

Int8 = NDArray[np.int8]


def outputs(content: bytes, inputs: Int8, title: str, where: object = "model.tflite") -> tuple[Int8, str]:
    """int8 outputs [n, *out] of inputs [n, *shape], and the name of the engine they are from.

    tflite-runtime differs from TFLite Micro in a few operators (dense layers with a scale per channel on more than two
    axes, SUM, ratios of scales near a tie) and refuses some that it runs (ELU, DIV). The integer oracle equals
    TFLite Micro on every operator, which the conformance tests show; where the two differ on a sample, it is the
    reference.
    """
    compiled = _compiled(content, where)
    try:
        found = oracle.run_apart(content, inputs, title)
    except Problem:
        if compiled is None:
            raise
        say(f"{title}: tflite-runtime does not run this model; the reference is the {INTEGER}")
        return _integer(*compiled, inputs, title), INTEGER
    if compiled is None:
        return found, TFLITE
    count = min(max(SAMPLE, SAMPLE_MACS // max(sum(op.macs for op in compiled[1]), 10**4)), len(inputs))
    sample = np.unique(np.linspace(0, len(inputs) - 1, count).round().astype(np.int64))
    if np.array_equal(found[sample], _integer(*compiled, inputs[sample], f"{title}: cross-check")):
        return found, TFLITE
    say(f"{title}: tflite-runtime differs from TFLite Micro on this model; the reference is the {INTEGER}")
    return _integer(*compiled, inputs, title), INTEGER


def _compiled(content: bytes, where: object) -> tuple[Graph, tuple[Op, ...]] | None:
    """The model for the integer oracle, or None when an operator has no kernel: then only tflite-runtime can say."""
    try:
        graph = import_model(content, str(where))
        return graph, operators(graph, str(where))
    except (Problem, Problems):
        return None


def _integer(graph: Graph, ops: tuple[Op, ...], inputs: Int8, title: str) -> Int8:
    """The integer oracle over all windows."""
    made = []
    with progress(title, len(inputs)) as advance:
        for window in inputs:
            made.append(answer(graph, ops, window))
            advance()
    return np.stack(made)
