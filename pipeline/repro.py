"""One operator of a model as a folder of its own: its .tflite, its bytes in and out, and C that runs it anywhere."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline import __version__, ctext, files
from pipeline.cores import core_of
from pipeline.flatbuffer import read, write
from pipeline.generate import compile_model, sources
from pipeline.graph import Graph, Node, Tensor
from pipeline.importer import import_model
from pipeline.ops.base import known_ops
from pipeline.passes import makers, simplified
from pipeline.plan import Plan
from pipeline.problem import Problem, run

NAME = "step"
HOW_TO_MAKE = "python -m pipeline.hil --layers names tensors and makes such folders"


def part(graph: Graph, tensor: int, sources: Mapping[int, bytes]) -> Graph:
    """The operators that make `tensor` out of `sources`, of which the first is the input, the others are constants."""
    nodes: list[Node] = []
    needed = {tensor}
    for node in reversed(graph.nodes):
        if needed & (set(node.outputs) - sources.keys()):
            nodes.insert(0, replace(node, intermediates=()))
            needed.update(i for i in node.inputs if i >= 0 and graph.tensors[i].is_activation)
    used = [i for i in dict.fromkeys(i for node in nodes for i in (*node.inputs, *node.outputs)) if i >= 0]
    tensors = {i: graph.tensors[i] for i in used}
    for i, content in sources.items():
        if i not in tensors or len(content) != tensors[i].bytes:
            what = f"is not read, of {len(content)} bytes, by what makes tensor {tensor}"
            raise Problem(f"tensor {i}", what, HOW_TO_MAKE)
    tensors |= {i: _constant(tensors[i], content) for i, content in list(sources.items())[1:]}
    place = {index: position for position, index in enumerate(used)}
    moved = [
        replace(
            node, inputs=tuple(place.get(i, -1) for i in node.inputs), outputs=tuple(place[i] for i in node.outputs)
        )
        for node in nodes
    ]
    return Graph(tuple(tensors.values()), tuple(moved), tuple(place[i] for i in list(sources)[:1]), (place[tensor],))


def _constant(tensor: Tensor, content: bytes) -> Tensor:
    return replace(tensor, data=np.frombuffer(content, tensor.dtype).reshape(tensor.shape))


def _in_file(graph: Graph, content: bytes, tensor: int) -> int | None:
    """The tensor of the file whose bytes a tensor has that a pass has added: it is that one reshaped. None has those of
    a stripe."""
    added = makers(simplified(import_model(content, "model"))) if tensor >= len(graph.tensors) else {}
    while tensor >= len(graph.tensors):
        if tensor not in added:
            return None
        tensor = added[tensor].inputs[0]
    return tensor


def write_folder(folder: Path, whole: bytes, tensor: int, inputs: list[int], core: str) -> str:
    """model.tflite of what makes `tensor` out of `inputs`, and where all has a kernel C, a main and a Makefile.

    Returns what can be done there, or why there is no more than the bytes."""
    graph = read(whole, folder)
    places = [_in_file(graph, whole, i) for i in inputs]
    if tensor >= len(graph.tensors) or None in places:
        return "no operator of the file makes this, as it does no stripe"
    if tensor < 0 or (tensor not in makers(graph) and graph.tensors[tensor].data is None):
        raise Problem(f"tensor {tensor}", "no operator of the model makes it", HOW_TO_MAKE)
    if graph.tensors[tensor].data is not None:
        return "it is a constant that is loaded"
    sources = {i: (folder / f"input{at}.bin").read_bytes() for at, i in enumerate(places) if i is not None}
    content = write(alone := part(graph, tensor, sources))
    files.write_bytes(folder / "model.tflite", content)
    if not all(node.op in known_ops() for node in alone.nodes):
        return "model.tflite is there, but no C: an operator has no kernel"
    like = replace(core_of(core), one_lane=False, sparse_lanes=8)  # room for the portable kernels too
    _write_c(folder, compile_model(content, folder / "model.tflite", like), content, core)
    return "run make there"


def _write_c(folder: Path, plan: Plan, content: bytes, core: str) -> None:
    """The generated model, all kernels, main.c and Makefile."""
    expected, got, first = ((folder / f"{name}.bin").read_bytes() for name in ("expected", "got", "input0"))
    texts = sources(plan, content, NAME)
    arrays = {"input": first, "expected": expected, "got": got}
    view = {name: ctext.rows(np.frombuffer(values, np.int8)) for name, values in arrays.items()}
    head = ctext.origin(NAME, plan.graph.model_id, __version__)
    for name in ("model.h", "model.c", "weights.h", "weights.c"):
        files.write_text(folder / name, texts[name])
    files.write_text(folder / "main.c", ctext.render("repro_main.c.j2", {**head, **view}))
    files.write_text(
        folder / "Makefile", ctext.render("repro_makefile.j2", {"arena": plan.layout.arena_bytes, "core": core})
    )
    kernels = files.project_root() / "firmware" / "kernels"
    shutil.copytree(kernels, folder / "kernels", dirs_exist_ok=True)


def main(argv: list[str]) -> int:
    """Complete a folder that holds input0.bin ..., expected.bin and got.bin."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.repro", description=__doc__)
    parser.add_argument("model", type=Path, help="the whole model's .tflite")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tensor", type=int, required=True, help="the output of the operator, by its index")
    parser.add_argument("--inputs", type=int, nargs="*", default=[], help="what it reads, by their indices")
    parser.add_argument("--core", default="", help="the board's core, for its kernels")
    options = parser.parse_args(argv)
    if not options.folder.is_dir():
        raise Problem(options.folder, "is no folder", HOW_TO_MAKE)
    told = write_folder(options.folder, options.model.read_bytes(), options.tensor, options.inputs, options.core)
    sys.stdout.write(f"{options.folder}: {told}\n")
    return 0


if __name__ == "__main__":
    run(main)
