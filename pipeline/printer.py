"""The function of a Plan in C: its calls, the structs that they read, their arrays, where activations lie."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import edges
from pipeline.ctext import array_key
from pipeline.graph import Tensor
from pipeline.ops.base import Field
from pipeline.plan import Plan, Step

Names = dict[tuple[str, str], str]
CTYPES = {**{name: f"{name}_t" for name in ("int8", "uint8", "int16", "int32", "int64")}, "bool": "int8_t"}


def arrays_of(plan: Plan, prefix: str) -> tuple[Names, dict[str, NDArray[Any]]]:
    """The C name of every constant array by step and field, and the arrays by name; equal ones are one."""
    names: Names = {}
    arrays: dict[str, NDArray[Any]] = {}
    same: dict[tuple[str, tuple[int, ...], bytes], str] = {}
    for step in plan.all_steps:
        for field, value in step.call.arrays.items():
            name = same.setdefault(array_key(value), f"{prefix}_{step.name}_{field}")
            names[step.name, field] = name
            arrays[name] = value
        if step.call.state is not None:
            arrays[f"{prefix}_{step.name}_state"] = step.call.state
    return names, arrays


class Printer:
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
        arrays = {field: self.names[step.name, field] for field in step.call.arrays}
        fields = [(name, _field(name, value, arrays)) for name, value in step.call.fields.items()]
        fields += [("step", f"{step.name}_step")] if step.body else []
        struct = self.structs.setdefault((step.call.struct, *(f"{name} {text}" for name, text in fields)), step.name)
        operands = [_where(plan, tensor) for tensor in (*step.inputs, step.output)]
        own = ((plan.layout.scratch, "scratch"), (plan.layout.states, "state"))
        own_bytes = [f"{step.name}_{kind}" for at, kind in own if step.index in at]
        call = f"{step.call.kernel}(&{struct}, {', '.join([*operands, *own_bytes])})"
        whole = form.format(call=call, output=operands[-1], bytes=plan.graph.tensors[step.output].bytes)
        return {"struct": step.call.struct, "struct_name": struct, "name": step.name, "op": step.op,
                "title": _comment(step.title), "fields": fields, "call": whole}  # fmt: skip


def _field(name: str, value: Field, arrays: Mapping[str, str]) -> str:
    """A field's initialiser as it stands behind its name: a long struct on several lines, as clang-format has it."""
    text = _value(name, value, arrays)
    head = f"    .{name} = "
    return _folded(name, value, arrays, len(head)) if len(f"{head}{text},") > 120 else text


def _folded(name: str, value: Field, arrays: Mapping[str, str], column: int) -> str:
    """A struct with each of its fields on a line of its own, behind the brace in that column."""
    if not isinstance(value, Mapping):
        return _value(name, value, arrays)
    parts = []
    for part, item in value.items():
        head, whole = f".{part} = ", f"{name}_{part}"
        text = _value(whole, item, arrays)
        wide = column + 1 + len(f"{head}{text},") > 120
        parts.append(head + (_folded(whole, item, arrays, column + 1 + len(head)) if wide else text))
    return "{" + (",\n" + " " * (column + 1)).join(parts) + "}"


def _value(name: str, value: Field, arrays: Mapping[str, str]) -> str:
    """A field's initialiser, on one line; `arrays` has the C names of those in it."""
    if isinstance(value, np.ndarray):
        return arrays[name]
    if isinstance(value, tuple):
        return "{" + ", ".join(str(item) for item in value) + "}"
    if isinstance(value, Mapping):
        inside = (f".{part} = {_value(f'{name}_{part}', item, arrays)}" for part, item in value.items())
        return "{" + ", ".join(inside) + "}"
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
