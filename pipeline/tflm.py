"""The tflm runtime's generator: model.h, the flatbuffer as an array, a resolver of the model's operators, plan.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import __version__, edges, files
from pipeline.ctext import edge, edge_json, flatbuffer_array, origin, render, write_changed
from pipeline.flatbuffer import read
from pipeline.graph import Graph, Node
from pipeline.importer import DAMAGE
from pipeline.ops.base import known_ops
from pipeline.plan import c_name, layer_path
from pipeline.problem import Problem, raise_all
from pipeline.subgraphs import whole
from pipeline.tflm_arena import BISECTED, Arena, find_arena

# Builtin operators that MicroMutableOpResolver has a method for.
_NAMES = """
    ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_ARGS
    BROADCAST_TO CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV
    DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED
    GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG
    LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG
    NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE READ_VARIABLE REDUCE_MAX RELU RELU6 RESHAPE RESIZE_BILINEAR
    RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND
    SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE
    TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE ZEROS_LIKE
"""
NEWER = frozenset(("DYNAMIC_UPDATE_SLICE", "REDUCE_MIN", "REVERSE_V2"))  # not in every library: the compiler says so
OPERATORS = frozenset(_NAMES.split()) | NEWER
# Those whose method does not spell its operator's name as the others do.
METHODS = {"BATCH_MATMUL": "BatchMatMul", "CUMSUM": "CumSum", "PADV2": "PadV2",
           "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM"}  # fmt: skip
# Those with a registration for int8 alone, and one for int16: the code for other types is then not linked.
FORMS = frozenset(("ADD", "AVERAGE_POOL_2D", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MAX_POOL_2D",
                   "SOFTMAX"))  # fmt: skip
KERNEL_VERSION = 0  # none of this project's kernels


def registrations(graph: Graph) -> list[dict[str, str]]:
    """Each operator of the model once, by name."""
    dtypes: dict[str, set[str]] = {}
    for each in whole(graph):
        for node in each.nodes:
            dtypes.setdefault(node.op, set()).add(_dtype(each, node))
    return [registration(op, _form(of)) for op, of in sorted(dtypes.items())]


def registration(op: str, form: str = "") -> dict[str, str]:
    """An operator's method of MicroMutableOpResolver, none if it has none, and the argument for its INT8 or INT16
    form."""
    words = (word if word == "2D" else word.capitalize() for word in op.split("_"))
    method = METHODS.get(op, "".join(words)) if op in OPERATORS else ""
    return {"op": op, "method": method, "argument": f"tflite::Register_{op}_{form}()" if form and op in FORMS else ""}


def _form(dtypes: set[str]) -> str:
    """That of all an operator's nodes, if they have one."""
    return dtypes.pop().upper() if len(dtypes) == 1 and dtypes < {"int8", "int16"} else ""


def _dtype(graph: Graph, node: Node) -> str:
    """The type of all its activations, with weights of int8; a bias is of its own type in any case."""
    weighted = node.op in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    values = (node.inputs[0], *node.outputs) if weighted else (*node.inputs, *node.outputs)
    dtypes = {graph.tensors[i].dtype for i in values if i >= 0}
    fits = not weighted or graph.input(node, 1).dtype == "int8"
    return dtypes.pop() if fits and len(dtypes) == 1 else ""


def sources(graph: Graph, content: bytes, model: str, arena: Arena) -> dict[str, str]:
    """Generated files by name; the same input always gives the same text."""
    view = {
        **origin(model, graph.model_id, __version__),
        **flatbuffer_array(content),
        "kernel_version": KERNEL_VERSION,
        "operators": len(steps(graph)),
        "steps": steps(graph),
        "input": edge(*graph.edge("input")),
        "output": edge(*graph.edge("output")),
        "weights_bytes": len(content),
        "arena": arena,
        "states": any(tensor.is_variable for tensor in graph.tensors),
        "registrations": registrations(graph),
    }
    templates = {"model.h": "tflm_model.h.j2"}
    names = ("model.h", "model_data.h", "model_data.c", "resolver.h")
    return {name: render(templates.get(name, f"{name}.j2"), view) for name in names}


def plan_json(graph: Graph, content: bytes, arena: Arena, head: Mapping[str, Any]) -> dict[str, Any]:
    """plan.json: what the harness and the build know of the firmware; the interpreter itself plans on the device."""
    return {
        **head,
        "kernel_version": KERNEL_VERSION,
        "model_id": graph.model_id,
        "arena_bytes": arena.bytes,
        "arena": arena.as_json(),
        "weights_bytes": len(content),
        "input": edge_json(*graph.edge("input")),
        "output": edge_json(*graph.edge("output")),
        "operators": [
            {"index": index, "op": node.op, "name": c_name(layer_path(graph, node), node.op),
             "output_shape": list(graph.tensors[output].shape), "output": output,
             "macs": _macs(graph, node) if output == node.outputs[0] else 0, **_constants(graph, node),
             **_sources(graph, node)}
            for index, (node, output) in enumerate(steps(graph))
        ],
    }  # fmt: skip


def steps(graph: Graph) -> list[tuple[Node, int]]:
    """What LAYERS tells of: each operator's outputs, one by one."""
    return [(node, output) for node in graph.nodes for output in node.outputs]


def _macs(graph: Graph, node: Node) -> int:
    """Multiply-accumulates, where the node is one of those that `compiled` knows, else 0."""
    try:
        return known_ops()[node.op].from_node(node, graph).macs
    except (Problem, *DAMAGE):
        return 0


def _constants(graph: Graph, node: Node) -> dict[str, Any]:
    """Bytes of the node's constants, and the share of weights that are zero."""
    constants = [data for i in node.inputs if i >= 0 and (data := graph.tensors[i].data) is not None]
    weights = [data for data in constants if data.dtype == np.int8]
    zeros = float(np.mean(weights[0] == 0)) if weights else None
    return {"weights_bytes": sum(data.nbytes for data in constants), "zeros": zeros}


def _sources(graph: Graph, node: Node) -> dict[str, Any]:
    """The node's activations, and where each comes from: (step, or -1 for the window; first byte; bytes)."""
    inputs = [i for i in node.inputs if i >= 0 and graph.tensors[i].is_activation]
    makers = {output: index for index, (_, output) in enumerate(steps(graph))}
    starts = dict(zip(graph.inputs, edges.offsets(graph.edge("input")), strict=True))
    return {"inputs": inputs, "makers": [
        [(makers.get(i, -1), starts.get(i, 0), graph.tensors[i].bytes)] for i in inputs
    ]}  # fmt: skip


def generate(folder: Path, path: Path, head: Mapping[str, Any]) -> str:
    """The tflm runtime's files of a .tflite into `folder`; returns what they come to, in words."""
    content = path.read_bytes()
    graph = read(content, path)
    raise_all(_problems(graph, path))
    arena = replace(find_arena(graph, content), bisected=_bisected(folder / BISECTED, graph))
    write_changed(folder, sources(graph, content, str(head["model"]), arena))
    files.write_json(folder / "plan.json", plan_json(graph, content, arena, head))
    return (f"{len(graph.nodes)} operators, arena {arena.bytes} bytes ({arena.source}),"
            f" flatbuffer {len(content)} bytes")  # fmt: skip


def _bisected(path: Path, graph: Graph) -> dict[str, Any] | None:
    """What pipeline.tflm_bisect noted of this very model, if it did."""
    found: dict[str, Any] = files.read_json(path, "python -m pipeline.tflm_bisect") if path.exists() else {}
    return found if found.get("model_id") == graph.model_id else None


def _problems(graph: Graph, where: Path) -> list[Problem]:
    """Inputs and outputs of integers, and operators that TFLite Micro has."""
    problems = edges.problems(graph, where)
    unknown = [each.label(node) for each in whole(graph) for node in each.nodes if node.op not in OPERATORS]
    if unknown:
        problems.append(Problem(where, f"TFLite Micro has no {', '.join(unknown)}", "change the layers"))
    return problems
