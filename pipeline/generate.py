"""Write the Plan as C: model.h, model.c, weights.h, weights.c, the flatbuffer as an array, and plan.json."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import __version__, edges, files, tflm
from pipeline.cores import PORTABLE, Core, core_of
from pipeline.costs import unit
from pipeline.ctext import array_key, c_prefix, edge, flatbuffer_array, origin, render, rows, write_changed
from pipeline.flatbuffer import read
from pipeline.fusion import fused
from pipeline.graph import Tensor
from pipeline.importer import import_model, operators
from pipeline.ops.base import Field
from pipeline.order import ordered
from pipeline.passes import simplified
from pipeline.plan import Plan, Step, plan_json
from pipeline.problem import Problem, did_you_mean, raise_all, run
from pipeline.streaming import streamed
from pipeline.stripes import fitted

KERNEL_VERSION = 1  # NN_VERSION of firmware/kernels/nn.h that this generator writes for
Names = dict[tuple[str, str], str]
CTYPES = {**{name: f"{name}_t" for name in ("int8", "uint8", "int16", "int32", "int64")}, "bool": "int8_t"}


def compile_model(content: bytes, where: Path | str, core: Core = PORTABLE, hop: int | None = None,
                  most: int | None = None) -> Plan:  # fmt: skip
    """The whole compiler: .tflite -> Graph -> passes -> operators -> Plan, with the kernels fastest on the core.

    With a `hop`, the Plan takes so many rows an inference and keeps what later ones need: see streaming.py. Where the
    arena would be larger than `most` bytes, parts of the model are computed in stripes: see stripes.py."""
    graph = import_model(content, where)
    operators(graph, where)  # what is wrong is told of the file's own operators
    graph = simplified(graph if hop is None else streamed(graph, hop, where))
    return fitted(*ordered(*fused(graph, operators(graph, where), core), core), core, most)


def sources(plan: Plan, content: bytes, model: str) -> dict[str, str]:
    """Generated files by name; the same input always gives the same text."""
    view = _view(plan, content, model)
    names = ("model.h", "model.c", "weights.h", "weights.c", "model_data.h", "model_data.c", "resolver.h")
    return {name: render(f"{name}.j2", view) for name in names}


def _view(plan: Plan, content: bytes, model: str) -> dict[str, Any]:
    """What the templates name."""
    prefix = c_prefix(model)
    names, arrays = _arrays(plan, prefix)
    states = [
        {"name": plan.steps[i].name, "offset": offset, "bytes": plan.steps[i].state_bytes,
         "array": f"{prefix}_{plan.steps[i].name}_state"}
        for i, offset in plan.layout.states.items()
    ]  # fmt: skip
    bodies = [(step.name, step.body) for step in plan.steps if step.body]
    printer = _Printer(names)
    return {
        **origin(model, plan.graph.model_id, __version__),
        "kernel_version": KERNEL_VERSION,
        "input": edge(*plan.graph.edge("input")),
        "output": edge(*plan.graph.edge("output")),
        "arena_bytes": plan.layout.arena_bytes,
        "weights_bytes": plan.weights_bytes,
        "operators": len(plan.steps),
        "kernels": sorted({step.call.kernel for step in plan.all_steps} | ({"nn_load_s8"} if states else set())),
        "functions": [
            *(printer.function(f"static void {name}_step", body, "NN_PART({call});") for name, body in bodies),
            printer.function(f"void {prefix}_run", plan, "NN_STEP({call}, {output}, {bytes});"),
        ],
        "states": states,
        "arrays": [
            {"name": name, "ctype": CTYPES[str(values.dtype)], "shape": values.shape, "rows": rows(values.reshape(-1))}
            for name, values in arrays.items()
        ],
        **flatbuffer_array(content),
        "registrations": tflm.registrations(read(content)),
    }


class _Printer:
    """Prints functions and the structs that they read, of which those that are alike are one."""

    def __init__(self, names: Names) -> None:
        self.names, self.structs = names, dict[tuple[str, ...], str]()

    def function(self, head: str, plan: Plan, form: str) -> dict[str, Any]:
        """What the function of a plan is made of; each of its calls has the `form`."""
        steps = [self.step(plan, step, form) for step in plan.steps]
        return {
            "head": head,
            "steps": steps,
            "structs": [step for step in steps if step["name"] == step["struct_name"]],
            "call_width": max(len(step["call"]) for step in steps),
            "arena_tensors": [*_arena_tensors(plan), *_own_bytes(plan)],
            "reads_input": any(plan.layout.places[i].kind == "input" for step in plan.steps for i in step.inputs),
            "gaps": edges.gaps(plan.graph.edge("output")),
        }

    def step(self, plan: Plan, step: Step, form: str) -> dict[str, Any]:
        """A call, and the struct that it reads."""
        fields = [(name, _field(name, value, self.names.get((step.name, name), "")))
                  for name, value in step.call.fields.items()]  # fmt: skip
        fields += [("step", f"{step.name}_step")] if step.body else []
        struct = self.structs.setdefault((step.call.struct, *(f"{name} {text}" for name, text in fields)), step.name)
        operands = [_where(plan, tensor) for tensor in (*step.inputs, step.output)]
        own = ((plan.layout.scratch, "scratch"), (plan.layout.states, "state"))
        own_bytes = [f"{step.name}_{kind}" for at, kind in own if step.index in at]
        call = f"{step.call.kernel}(&{struct}, {', '.join([*operands, *own_bytes])})"
        whole = form.format(call=call, output=operands[-1], bytes=plan.graph.tensors[step.output].bytes)
        return {"struct": step.call.struct, "struct_name": struct, "name": step.name, "op": step.op,
                "title": _comment(step.title), "fields": fields, "call": whole}  # fmt: skip


def _field(name: str, value: Field, array: str) -> str:
    """A field's initialiser as it stands behind its name: a long struct on several lines, as clang-format has it."""
    text = _value(value, array)
    if isinstance(value, Mapping) and len(f"    .{name} = {text},") > 120:
        parts = [f".{part} = {_value(item, array)}" for part, item in value.items()]
        text = "{" + (",\n" + " " * len(f"    .{name} = {{")).join(parts) + "}"
    return text


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
    whole = place.kind != "arena" and place.offset == 0 and _ctype(plan.graph.tensors[tensor]) == "int8_t"
    return place.kind if whole else f"t{tensor}"


def _ctype(tensor: Tensor) -> str:
    return CTYPES[tensor.dtype]


def _comment(text: str) -> str:
    """A layer's name, made harmless inside a C comment."""
    return re.sub(r"[^\w./:;-]", "_", text).replace("*/", "_").replace("/*", "_")


def _arena_tensors(plan: Plan) -> list[dict[str, Any]]:
    """The activations that have a pointer of their own."""
    named = sorted({tensor for step in plan.steps for tensor in (*step.inputs, step.output)})
    return [
        {"ctype": _ctype(plan.graph.tensors[i]), "name": f"t{i}", "base": place.kind, "offset": place.offset,
         "holds": " x ".join(str(size) for size in plan.graph.tensors[i].shape[1:] or (1,))}
        for i in named
        if _where(plan, i) != (place := plan.layout.places[i]).kind
    ]  # fmt: skip


def _own_bytes(plan: Plan) -> list[dict[str, Any]]:
    """The scratch and state of steps that have them."""
    scratch, states = plan.layout.scratch, plan.layout.states
    return [
        *({"ctype": "void", "name": f"{plan.steps[i].name}_scratch", "base": "arena", "offset": offset,
           "holds": f"{plan.steps[i].call.scratch} bytes"} for i, offset in scratch.items()),
        *({"ctype": "void", "name": f"{plan.steps[i].name}_state", "base": "arena", "offset": offset,
           "holds": f"{plan.steps[i].state_bytes} bytes, kept"} for i, offset in states.items()),
    ]  # fmt: skip


def _arrays(plan: Plan, prefix: str) -> tuple[Names, dict[str, NDArray[Any]]]:
    """The C name of every constant array by step and field, and the arrays by name; equal ones are one."""
    names: Names = {}
    arrays: dict[str, NDArray[Any]] = {}
    same: dict[tuple[str, tuple[int, ...], bytes], str] = {}
    for step in plan.all_steps:
        for field, value in step.call.fields.items():
            if isinstance(value, np.ndarray):
                name = same.setdefault(array_key(value), f"{prefix}_{step.name}_{field}")
                names[step.name, field] = name
                arrays[name] = value
        if step.call.state is not None:
            arrays[f"{prefix}_{step.name}_state"] = step.call.state
    return names, arrays


def write(folder: Path, plan: Plan, content: bytes, head: Mapping[str, Any]) -> None:
    """All generated files into `folder`."""
    write_changed(folder, sources(plan, content, str(head["model"])))
    files.write_json(folder / "plan.json", plan_json(plan, **head))


def generate(folder: Path, path: Path, head: Mapping[str, Any]) -> str:
    """The compiled runtime's files of a .tflite into `folder`; returns what they come to, in words."""
    content, board = path.read_bytes(), head["board"]
    core, most = board_facts(board).get("core", ""), _room(board, "arena_bytes")
    target = core_of(core)
    target = replace(target, sparse=False) if head.get("dense") else target
    made = compile_model(content, path, target, head.get("hop"), most)
    raise_all(too_large(made, head["model"], board))
    facts = {"core": core, "arena_most": most, "kernel_version": KERNEL_VERSION}
    write(folder, made, content, {**head, **facts})
    price = f", about {made.predicted:,.0f} {unit(target.name)}" if made.predicted else ""
    return (f"{len(made.steps)} calls, arena {made.layout.arena_bytes} bytes (at least {made.layout.arena_bound}),"
            f" weights {made.weights_bytes} bytes{price}{made.note}")  # fmt: skip


def check_board_name(board: str) -> None:
    """Refuse a board that has no file in boards/: what is in it is not this stage's business."""
    if board not in board_names():
        raise Problem("boards", f"there is no board {board}", did_you_mean(board, board_names()))


def board_names() -> list[str]:
    """The files of boards/."""
    return sorted(path.stem for path in (files.project_root() / "boards").glob("*.toml") if path.stem != "local")


def board_facts(board: str) -> dict[str, str]:
    """All that the compiler asks of a board's file, or of that of the board it is like: its core and its memory."""
    text = (files.project_root() / "boards" / f"{board}.toml").read_text(encoding="utf-8")
    named = dict(re.findall(r'^(core|arena_bytes|flash_bytes|like) *= *"?([^"\s]*)"?', text, re.MULTILINE))
    return (board_facts(named["like"]) if "like" in named else {}) | named


def _room(board: str, key: str) -> int | None:
    """Bytes that a board's file says there are, or None."""
    return int(board_facts(board).get(key, "0").replace("_", "")) or None


def too_large(plan: Plan, model: str, board: str) -> list[Problem]:
    """What the arena and the weights take more than the board has, and the operators that most of it is for."""
    needs = (("arena", plan.layout.arena_bytes, _fullest(plan)), ("flash", plan.weights_bytes, _heaviest(plan)))
    found = []
    for what, needed, step in needs:
        key, label = f"{what}_bytes", _label(plan, step)
        if needed > (there := _room(board, key) or needed):
            roomy = [other for other in board_names() if (_room(other, key) or 0) >= needed]
            hint = "a smaller window, fewer or smaller layers" + f", or another board: {', '.join(roomy)}" * bool(roomy)
            problem = f"needs {needed} bytes of {what}, board {board} has {there}; most of it is for {label}"
            found.append(Problem(f"model {model}", problem, hint))
    return found


def _fullest(plan: Plan) -> Step:
    """The first step in which the arena is full to its end."""
    tensors, layout = plan.graph.tensors, plan.layout
    ends = [(place.offset + tensors[i].bytes, -layout.lives[i][0], i)
            for i, place in layout.places.items() if place.kind == "arena"]  # fmt: skip
    return plan.steps[layout.lives[max(ends)[2]][0]] if ends else plan.steps[0]


def _heaviest(plan: Plan) -> Step:
    return max(plan.steps, key=lambda step: step.weights_bytes)


def _label(plan: Plan, step: Step) -> str:
    """The operator of the file that a step is of."""
    return next((plan.graph.label(node) for node in plan.graph.nodes if step.output in node.outputs), step.op)


def _hop(asked: int | None, runtime: str, facts: Path) -> int | None:
    """The rows that firmware takes at a time: those asked for, 0 is all, else those that the model's file says."""
    if runtime != "compiled" and asked:
        raise Problem("--stream", f"runtime {runtime} takes whole windows", "leave --runtime out")
    known = files.read_json(facts, "python -m pipeline.quantize") if facts.exists() and runtime == "compiled" else {}
    return known.get("hop") if asked is None else asked


def main(argv: Sequence[str]) -> int:
    """`python -m pipeline.generate NAME --board BOARD [--runtime compiled] [--stream HOP] [--dense]`"""
    parser = argparse.ArgumentParser(prog="python -m pipeline.generate", description=__doc__)
    parser.add_argument("name", help="a folder of models/")
    parser.add_argument("--board", required=True, help="a file of boards/; its name names the output folder")
    parser.add_argument("--runtime", default="compiled", help="a folder of firmware/runtimes/")
    parser.add_argument(
        "--stream",
        metavar="HOP",
        type=int,
        help="firmware that takes HOP rows of a window at a time, 0: all; else what the model's file says",
    )
    parser.add_argument("--dense", action="store_true", help="no sparse weights, to see what they save")
    arguments = parser.parse_args(argv)
    name = files.check_model_name(arguments.name)
    check_board_name(arguments.board)
    files.check_runtime(arguments.runtime)
    path = files.needed(files.build_dir(name) / "model.tflite", f"python -m pipeline.quantize {name}")
    head = {"generator": f"pipeline.generate {__version__}", "model": name, "board": arguments.board,
            "runtime": arguments.runtime}  # fmt: skip
    if hop := _hop(arguments.stream, arguments.runtime, path.with_name("quantize.json")):
        head["hop"] = hop
    if arguments.dense:
        head["dense"] = True
    folder = files.firmware_dir(name, arguments.board, arguments.runtime)
    stage = tflm.generate if arguments.runtime == "tflm" else generate
    print(f"{folder}: {stage(folder, path, head)}")  # noqa: T201
    return 0


if __name__ == "__main__":
    run(main)
