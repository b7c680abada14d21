"""One operator of a model as a folder of its own: its .tflite, its bytes in and out, and C that runs it anywhere."""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline import __version__, ctext, files
from pipeline.cores import core_of
from pipeline.flatbuffer import read, write
from pipeline.generate import compile_model, sources
from pipeline.graph import Graph, Node, Tensor
from pipeline.ops.base import known_ops
from pipeline.plan import Plan
from pipeline.problem import Problem, run

NAME = "step"


def one_operator(graph: Graph, node: Node, inputs: list[bytes]) -> Graph:
    """The graph of this node alone: its first activation is the input, further ones are constants with these bytes."""
    activations = [i for i in dict.fromkeys(node.inputs) if i >= 0 and graph.tensors[i].data is None]
    used = [i for i in dict.fromkeys((*node.inputs, *node.outputs)) if i >= 0]
    tensors = {i: graph.tensors[i] for i in used}
    for index, content in zip(activations[1:], inputs[1:], strict=True):
        tensors[index] = _constant(tensors[index], content)
    place = {index: position for position, index in enumerate(used)}
    alone = replace(node, index=0, inputs=tuple(place.get(i, -1) for i in node.inputs),
                    outputs=tuple(place[i] for i in node.outputs))  # fmt: skip
    first = (place[activations[0]],) if activations else ()
    return Graph(tuple(tensors[i] for i in used), (alone,), first, alone.outputs)


def _constant(tensor: Tensor, content: bytes) -> Tensor:
    return replace(tensor, data=np.frombuffer(content, tensor.dtype).reshape(tensor.shape))


def write_folder(folder: Path, graph: Graph, tensor: int, core: str) -> None:
    """model.tflite of the node that makes `tensor`, and for an operator with a kernel C, a main and a Makefile."""
    node = next((node for node in graph.nodes if tensor in node.outputs), None)
    if node is None:
        return  # a constant that is loaded: its bytes say it all
    inputs = [path.read_bytes() for path in sorted(folder.glob("input*.bin"))]
    content = write(one_operator(graph, node, inputs))
    files.write_bytes(folder / "model.tflite", content)
    if node.op in known_ops():
        _write_c(folder, compile_model(content, folder / "model.tflite", core_of(core)), content, core)


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
    parser.add_argument("--core", default="", help="the board's core, for its kernels")
    options = parser.parse_args(argv)
    if not options.folder.is_dir():
        raise Problem(options.folder, "is no folder", "python -m pipeline.hil --layers makes it")
    write_folder(options.folder, read(options.model.read_bytes(), options.model), options.tensor, options.core)
    return 0


if __name__ == "__main__":
    run(main)
