"""Every tensor of a model for one window: what the device's steps are compared with."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import oracle
from pipeline.cores import core_of
from pipeline.edges import check_windows
from pipeline.evaluate import evaluate
from pipeline.files import read_arrays, write_arrays
from pipeline.flatbuffer import read
from pipeline.generate import compile_model
from pipeline.importer import import_model, operators
from pipeline.problem import Problem, Problems, run


def tensors(content: bytes, window: NDArray[np.int8], where: Path | str, core: str = "", most: int | None = None
            ) -> dict[int, NDArray[Any]]:  # fmt: skip
    """By index, of the integer oracle, and those that the compiler adds for a core and an arena of `most` bytes.

    Of tflite-runtime where an operator has no kernel. Without what is float32 in the file and integers here."""
    try:
        graph = import_model(content, where)
        ops = operators(graph, where)
    except (Problem, Problems):
        return oracle.tensors(content, window, where)
    constants = {i: tensor.data for i, tensor in enumerate(graph.tensors) if tensor.data is not None}
    made = compile_model(content, where, core_of(core), most=most).graph
    found = {**constants, **evaluate(made, operators(made, where), window), **evaluate(graph, ops, window)}
    said = read(content, where).tensors
    return {i: values for i, values in found.items() if i >= len(said) or str(values.dtype) == said[i].dtype}


def main(argv: list[str]) -> int:
    """Run the first of the windows `inputs` of one .npz; write every tensor as t<index> to another."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.tensors", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("inputs", type=Path)
    parser.add_argument("outputs", type=Path)
    parser.add_argument("--core", default="")
    parser.add_argument("--arena", type=int, help="the largest that the board may have")
    options = parser.parse_args(argv)
    content = options.model.read_bytes()
    windows = read_arrays(options.inputs, "python -m pipeline.quantize", ["inputs"])["inputs"]
    check_windows(read(content, options.model).edge("input"), windows, options.model)
    found = tensors(content, windows[0], options.model, options.core, options.arena)
    write_arrays(options.outputs, {f"t{index}": values for index, values in found.items()})
    return 0


if __name__ == "__main__":
    run(main)
