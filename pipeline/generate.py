"""Write the Plan as C: model.h, model.c, weights.h, weights.c, the flatbuffer as an array, and plan.json."""

from __future__ import annotations

import argparse
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import __version__, files
from pipeline.graph import Tensor
from pipeline.importer import import_model, operators
from pipeline.ops.base import Field
from pipeline.plan import Plan, Step, plan, plan_json
from pipeline.problem import Problem, did_you_mean, run

KERNEL_VERSION = 1  # NN_VERSION of firmware/kernels/nn.h that this generator writes for
CTYPES = {"int8": "int8_t", "int32": "int32_t"}
TEMPLATES = Path(__file__).parent / "templates"
LINE_BYTES = 110  # of a row of numbers in weights.c


def compile_model(content: bytes, where: Path | str) -> Plan:
    """The whole compiler: .tflite -> Graph -> operators -> Plan."""
    graph = import_model(content, where)
    return plan(graph, operators(graph, where))


def sources(plan: Plan, content: bytes, model: str) -> dict[str, str]:
    """Generated files by name; the same input always gives the same text."""
    view = _view(plan, content, model)
    names = ("model.h", "model.c", "weights.h", "weights.c", "model_data.h", "model_data.c")
    return {name: _environment().get_template(f"{name}.j2").render(view) for name in names}


def _environment() -> Any:
    import jinja2

    loader = jinja2.FileSystemLoader(TEMPLATES)
    return jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
                              keep_trailing_newline=True, autoescape=False, extensions=["jinja2.ext.do"])  # fmt: skip


def _view(plan: Plan, content: bytes, model: str) -> dict[str, Any]:
    """What the templates name."""
    prefix = c_prefix(model)
    return {
        "model": model,
        "prefix": prefix,
        "version": __version__,
        "kernel_version": KERNEL_VERSION,
        "model_id": plan.graph.model_id,
        "id_bytes": [f"0x{byte:02x}" for byte in bytes.fromhex(plan.graph.model_id)],
        "input": _edge(plan.input),
        "output": _edge(plan.output),
        "arena_bytes": plan.layout.arena_bytes,
        "weights_bytes": plan.weights_bytes,
        "kernels": sorted({step.call.kernel for step in plan.steps}),
        "steps": (steps := [_step(plan, step, prefix) for step in plan.steps]),
        "call_width": max(len(step["call"]) for step in steps),
        "arena_tensors": _arena_tensors(plan),
        "arrays": [array for step in plan.steps for array in _arrays(step, prefix)],
        "data_bytes": len(content),
        "data_rows": _rows(np.frombuffer(content, np.uint8)),
    }


def c_prefix(model: str) -> str:
    """The model's name as a C identifier, to start every external name with."""
    word = re.sub(r"\W+", "_", model)
    return f"m{word}" if word[:1].isdigit() else word


def _edge(tensor: Tensor) -> dict[str, Any]:
    bits = struct.unpack("<I", struct.pack("<f", tensor.scale))[0]
    return {"bytes": tensor.count, "shape": tensor.shape, "scale": f"{tensor.scale:.9g}",
            "scale_bits": f"0x{bits:08x}u", "zero_point": tensor.zero_point}  # fmt: skip


def _step(plan: Plan, step: Step, prefix: str) -> dict[str, Any]:
    fields = [(name, _value(value, f"{prefix}_{step.name}_{name}")) for name, value in step.call.fields.items()]
    operands = [_where(plan, tensor) for tensor in (*step.inputs, step.output)]
    call = f"{step.call.kernel}(&{step.name}, {', '.join(operands)});"
    return {"struct": step.call.struct, "name": step.name, "op": step.op, "title": _comment(step.title),
            "fields": fields, "call": call}  # fmt: skip


def _value(value: Field, array: str) -> str:
    """A field's initialiser."""
    if isinstance(value, np.ndarray):
        return array
    if isinstance(value, tuple):
        return "{" + ", ".join(str(item) for item in value) + "}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f".{name} = {_value(item, array)}" for name, item in value.items()) + "}"
    return str(value)


def _where(plan: Plan, tensor: int) -> str:
    place = plan.layout.places[tensor]
    return f"t{tensor}" if place.kind == "arena" else place.kind


def _comment(text: str) -> str:
    """A layer's name, made harmless inside a C comment."""
    return re.sub(r"[^\w./:;-]", "_", text).replace("*/", "_").replace("/*", "_")


def _arena_tensors(plan: Plan) -> list[dict[str, Any]]:
    named = sorted({tensor for step in plan.steps for tensor in (*step.inputs, step.output)})
    return [
        {"name": f"t{i}", "offset": plan.layout.places[i].offset, "shape": plan.graph.tensors[i].shape[1:] or (1,)}
        for i in named
        if plan.layout.places[i].kind == "arena"
    ]  # fmt: skip


def _arrays(step: Step, prefix: str) -> list[dict[str, Any]]:
    """The constant arrays of a step, flat in C with their shape as a product."""
    return [
        {"name": f"{prefix}_{step.name}_{name}", "ctype": CTYPES[str(value.dtype)],
         "shape": value.shape, "rows": _rows(value.reshape(-1))}
        for name, value in step.call.fields.items()
        if isinstance(value, np.ndarray)
    ]  # fmt: skip


def _rows(values: NDArray[Any]) -> list[str]:
    """Numbers with commas, broken into lines."""
    lines, line = [], ""
    for value in values.tolist():
        word = "INT32_MIN, " if value == -(2**31) else f"{value}, "
        if len(line) + len(word) > LINE_BYTES:
            lines.append(line.rstrip())
            line = ""
        line += word
    return [*lines, line.rstrip()]


def write(folder: Path, plan: Plan, content: bytes, head: Mapping[str, Any]) -> None:
    """All generated files into `folder`; a file that would not change keeps its time: make does no work twice."""
    for name, text in sources(plan, content, str(head["model"])).items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            files.write_text(path, text)
    files.write_json(folder / "plan.json", plan_json(plan, **head))


def check_runtime(runtime: str) -> None:
    """Refuse a runtime that has no folder in firmware/runtimes/."""
    known = [path.name for path in (files.project_root() / "firmware" / "runtimes").iterdir() if path.is_dir()]
    if runtime not in known:
        raise Problem("runtime", f"there is no runtime {runtime}", did_you_mean(runtime, known))


def check_board_name(board: str) -> None:
    """Refuse a board that has no file in boards/: what is in it is not this stage's business."""
    known = [path.stem for path in (files.project_root() / "boards").glob("*.toml")]
    if board not in known:
        raise Problem("boards", f"there is no board {board}", did_you_mean(board, known))


def main(argv: Sequence[str]) -> int:
    """`python -m pipeline.generate NAME --board BOARD [--runtime compiled]`"""
    parser = argparse.ArgumentParser(prog="python -m pipeline.generate", description=__doc__)
    parser.add_argument("name", help="a folder of models/")
    parser.add_argument("--board", required=True, help="a file of boards/; its name names the output folder")
    parser.add_argument("--runtime", default="compiled", help="a folder of firmware/runtimes/")
    arguments = parser.parse_args(argv)
    name = files.check_model_name(arguments.name)
    check_board_name(arguments.board)
    check_runtime(arguments.runtime)
    path = files.needed(files.build_dir(name) / "model.tflite", f"python -m pipeline.quantize {name}")
    content = path.read_bytes()
    made = compile_model(content, path)
    head = {"generator": f"pipeline.generate {__version__}", "model": name, "board": arguments.board,
            "runtime": arguments.runtime, "kernel_version": KERNEL_VERSION}  # fmt: skip
    folder = files.firmware_dir(name, arguments.board, arguments.runtime)
    write(folder, made, content, head)
    print(f"{folder}: {len(made.steps)} calls, arena {made.layout.arena_bytes} bytes "  # noqa: T201
          f"(at least {made.layout.arena_bound}), weights {made.weights_bytes} bytes")  # fmt: skip
    return 0


if __name__ == "__main__":
    run(main)
