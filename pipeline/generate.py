"""Write the Plan as C: model.h, model.c, weights.h, weights.c, the flatbuffer as an array, and plan.json."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline import __version__, files, tflm
from pipeline.cores import PORTABLE, Core, core_of
from pipeline.costs import unit
from pipeline.ctext import c_prefix, edge, flatbuffer_array, origin, render, rows, write_changed
from pipeline.flatbuffer import read
from pipeline.fusion import closer, fused
from pipeline.importer import import_model, operators
from pipeline.order import ordered
from pipeline.passes import simplified
from pipeline.plan import Plan, Step, plan_json
from pipeline.printer import CTYPES, Printer, arrays_of
from pipeline.problem import Problem, raise_all, run
from pipeline.streaming import streamed
from pipeline.stripes import fitted
from pipeline.table import board_table, roomy

FACTS = {"core": str, "arena_bytes": int, "flash_bytes": int}  # of a board's file
KERNEL_VERSION = 1  # NN_VERSION of firmware/kernels/nn.h that this generator writes for


def compile_model(content: bytes, where: Path | str, core: Core = PORTABLE, hop: int | None = None,
                  most: int | None = None) -> Plan:  # fmt: skip
    """The whole compiler: .tflite -> Graph -> passes -> operators -> Plan, with the kernels fastest on the core.

    With a `hop`, the Plan takes so many rows an inference and keeps what later ones need: see streaming.py. Where the
    arena would be larger than `most` bytes, parts of the model are computed in stripes: see stripes.py."""
    graph = import_model(content, where)
    operators(graph, where)  # what is wrong is told of the file's own operators
    graph = simplified(graph if hop is None else streamed(graph, hop, where))
    ops = operators(graph, where)
    made = fitted(*ordered(*fused(graph, ops, core), core), core, most)
    if most is not None and made.layout.arena_bytes > most:  # shorter steps may fit in stripes where longer ones do not
        apart = fitted(*ordered(graph, ops, core), core, most)
        made = min(made, apart, key=lambda each: each.layout.arena_bytes)
    return closer(made, most)


def sources(plan: Plan, content: bytes, model: str) -> dict[str, str]:
    """Generated files by name; the same input always gives the same text."""
    view = _view(plan, content, model)
    names = ("model.h", "model.c", "weights.h", "weights.c", "model_data.h", "model_data.c", "resolver.h")
    return {name: render(f"{name}.j2", view) for name in names}


def _view(plan: Plan, content: bytes, model: str) -> dict[str, Any]:
    """What the templates name."""
    prefix = c_prefix(model)
    names, arrays = arrays_of(plan, prefix)
    states = [
        {"name": plan.steps[i].name, "offset": offset, "bytes": plan.steps[i].state_bytes,
         "array": f"{prefix}_{plan.steps[i].name}_state"}
        for i, offset in plan.layout.states.items()
    ]  # fmt: skip
    bodies = [(step.name, step.body) for step in plan.steps if step.body]
    printer = Printer(names)
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


def write(folder: Path, plan: Plan, content: bytes, head: Mapping[str, Any]) -> None:
    """All generated files into `folder`."""
    write_changed(folder, sources(plan, content, str(head["model"])))
    files.write_json(folder / "plan.json", plan_json(plan, **head))


def generate(folder: Path, path: Path, head: Mapping[str, Any]) -> str:
    """The compiled runtime's files of a .tflite into `folder`; returns what they come to, in words."""
    content, board = path.read_bytes(), head["board"]
    core, most = str(board_facts(board)["core"]), _room(board, "arena_bytes")
    target = core_of(core)
    target = replace(target, sparse=False) if head.get("dense") else target
    made = compile_model(content, path, target, head.get("hop"), most)
    raise_all(too_large(made, head["model"], board))
    facts = {"core": core, "arena_most": most, "kernel_version": KERNEL_VERSION}
    write(folder, made, content, {**head, **facts})
    price = f", about {made.predicted:,.0f} {unit(target.name)}" if made.predicted else ""
    return (f"{len(made.steps)} calls, arena {made.layout.arena_bytes} bytes (at least {made.layout.arena_bound}),"
            f" weights {made.weights_bytes} bytes{price}{made.note}")  # fmt: skip


def board_facts(board: str) -> dict[str, Any]:
    """All that the compiler asks of a board's file: its core and its memory. What else is in it the build checks."""
    table, where = board_table(board), f"boards/{board}.toml"
    problems = [Problem(where, f"lacks {key}") for key in FACTS if key not in table]
    for key, kind in FACTS.items():
        if key in table and type(table[key]) is not kind:
            words = "text" if kind is str else "a whole number"
            problems.append(Problem(where, f"{key} must be {words}, not {table[key]!r}"))
    raise_all(problems)
    return {key: table[key] for key in FACTS}


def _room(board: str, key: str) -> int:
    """Bytes that a board's file says there are."""
    return int(board_facts(board)[key])


def too_large(plan: Plan, model: str, board: str) -> list[Problem]:
    """What the arena and the weights take more than the board has, and the operators that most of it is for."""
    needs = (("arena", plan.layout.arena_bytes, _fullest(plan)), ("flash", plan.weights_bytes, _heaviest(plan)))
    found = []
    for what, needed, step in needs:
        key, label = f"{what}_bytes", _label(plan, step)
        if needed > (there := _room(board, key)):
            others = ", ".join(roomy(key, needed))
            hint = "a smaller window, fewer or smaller layers" + f", or another board: {others}" * bool(others)
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
    made_by = files.tflite_made_by(facts.parent.name)
    known = files.read_json(facts, made_by) if facts.exists() and runtime == "compiled" else {}
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
    files.check_board_name(arguments.board)
    files.check_runtime(arguments.runtime)
    path = files.needed(files.build_dir(name) / "model.tflite", files.tflite_made_by(name))
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
