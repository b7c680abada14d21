"""A .tflite file to a Graph and back: the only place that knows the flatbuffer schema."""

from __future__ import annotations

import inspect
import re
import struct
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tflite

from pipeline.files import model_id
from pipeline.graph import Graph, Node, Quant, Tensor
from pipeline.problem import Problem, raise_all
from pipeline.subgraphs import flat, nested

DTYPES = {"FLOAT32": "float32", "INT32": "int32", "INT8": "int8", "INT16": "int16", "INT64": "int64", "UINT8": "uint8",
          "BOOL": "bool"}  # fmt: skip
IDENTIFIER = b"TFL3"


@cache
def _names(enum: type) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if isinstance(value, int)}


@cache
def _values(enum: type) -> dict[str, int]:
    return {name: value for value, name in _names(enum).items()}


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def read(content: bytes, where: Path | str = "model.tflite") -> Graph:
    """The Graph of a flatbuffer; a Problem when it is no TFLite model, has several subgraphs or dynamic shapes."""
    graph, problems = scan(content, where)
    raise_all(problems)
    return graph


def scan(content: bytes, where: Path | str) -> tuple[Graph, list[Problem]]:
    """The Graph of a flatbuffer's first subgraph, and what of the file no Graph can say."""
    if len(content) < 8 or content[4:8] != IDENTIFIER:
        raise Problem(where, "is not a TFLite model (no TFL3 at byte 4)", "convert it with python -m pipeline.quantize")
    try:
        return _read_model(tflite.Model.GetRootAs(content, 0), content, where)
    except (struct.error, IndexError, AttributeError, TypeError, ValueError, OverflowError, KeyError) as error:
        what = f"is a broken TFLite file ({type(error).__name__}: {error})"
        raise Problem(where, what, "copy or convert it again") from error


def _read_model(model: Any, content: bytes, where: Path | str) -> tuple[Graph, list[Problem]]:
    problems: list[Problem] = []

    def subgraph(number: int) -> Graph:
        part = model.Subgraphs(number)
        tensors = tuple(_read_tensor(model, part.Tensors(i)) for i in range(part.TensorsLength()))
        nodes = tuple(_read_node(model, part.Operators(i), i) for i in range(part.OperatorsLength()))
        graph = Graph(tensors, nodes, _ints(part.InputsAsNumpy()), _ints(part.OutputsAsNumpy()))
        _check_indices(graph)
        problems.extend(_dynamic(part, graph, where))
        return graph

    first = subgraph(0)
    whole = nested(first, model.SubgraphsLength(), subgraph)
    if whole is None:
        problems.insert(0, _several(model, first, where))
    return replace(whole or first, model_id=model_id(content)), problems


def _check_indices(graph: Graph) -> None:
    """Every index of a tensor is one of the graph's, and nothing is made twice."""
    for node in graph.nodes:
        if not all(-1 <= i < len(graph.tensors) for i in node.inputs + node.outputs):
            raise IndexError(f"{graph.label(node)} names a tensor that is not there")
    made = {i for i, tensor in enumerate(graph.tensors) if tensor.data is not None}
    for tensor in (*graph.inputs, *(i for node in graph.nodes for i in node.outputs)):
        if tensor in made:
            raise IndexError(f"tensor {tensor} is made twice")
        made.add(tensor)
    later = {i for node in graph.nodes for i in node.outputs}
    for node in graph.nodes:
        if later.intersection(node.inputs):
            raise IndexError(f"{graph.label(node)} reads a tensor that is not made yet")
        later.difference_update(node.outputs)
    if not all(0 <= i < len(graph.tensors) for i in graph.inputs + graph.outputs):
        raise IndexError("the model's inputs or outputs name a tensor that is not there")


CALLERS = ("CALL_ONCE", "IF", "WHILE")


def _several(model: Any, graph: Graph, where: Path | str) -> Problem:
    """More subgraphs than those of loops, and the operators that call others."""
    callers = ", ".join(graph.label(node) for node in graph.nodes if node.op in CALLERS)
    what = f"has {model.SubgraphsLength()} subgraphs" + f", called by {callers}" * bool(callers)
    return Problem(where, what, "convert one function, without tf.cond, tf.while_loop and variables; unroll loops")


def _dynamic(subgraph: Any, graph: Graph, where: Path | str) -> list[Problem]:
    """Shapes that are not known, by who makes them; a free batch is read as the batch of 1 that TFLite Micro runs."""
    makers = {i: f"input {graph.tensors[i].name}" for i in graph.inputs}
    makers |= {i: graph.label(node) for node in graph.nodes for i in node.outputs}
    found = []
    for i, maker in sorted(makers.items()):
        shape = _ints(subgraph.Tensors(i).ShapeSignatureAsNumpy())
        if min(shape[1:], default=0) < 0 or (min(shape[:1], default=0) < 0 and graph.tensors[i].shape[0] != 1):
            found.append(f"{maker} {list(shape)}")
    if not found:
        return []
    hint = "give every Input of the network a fixed shape, such as Input((128, 6)), and convert it with a batch of 1"
    return [Problem(where, f"has dynamic shapes: {', '.join(found)}", hint)]


def _ints(array: Any) -> tuple[int, ...]:
    return () if isinstance(array, int) else tuple(int(value) for value in array)


def _read_tensor(model: Any, tensor: Any) -> Tensor:
    kind = _names(tflite.TensorType)[tensor.Type()]
    dtype = DTYPES.get(kind, kind.lower())
    shape = _ints(tensor.ShapeAsNumpy())
    raw = model.Buffers(tensor.Buffer()).DataAsNumpy()
    data = None if isinstance(raw, int) or raw.size == 0 else np.frombuffer(raw.tobytes(), np.uint8)
    if data is not None and dtype in DTYPES.values():
        data = data.view(dtype).reshape(shape)
    name, quant = (tensor.Name() or b"").decode(), _read_quant(tensor.Quantization())
    return Tensor(name, shape, dtype, quant, data, bool(tensor.IsVariable()))


def _read_quant(quant: Any) -> Quant | None:
    if quant is None or not (quant.ScaleLength() and quant.ZeroPointLength()):
        return None
    scale = tuple(float(value) for value in quant.ScaleAsNumpy())
    return Quant(scale, _ints(quant.ZeroPointAsNumpy()), quant.QuantizedDimension())


def _read_node(model: Any, operator: Any, index: int) -> Node:
    code = model.OperatorCodes(operator.OpcodeIndex())
    builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    op = _names(tflite.BuiltinOperator).get(builtin, f"BUILTIN_{builtin}")
    if op == "CUSTOM":
        op = f"CUSTOM({(code.CustomCode() or b'').decode()})"
    edges = (_ints(operator.InputsAsNumpy()), _ints(operator.OutputsAsNumpy()))
    return Node(index, op, *edges, _read_options(operator), _ints(operator.IntermediatesAsNumpy()))


def _read_options(operator: Any) -> dict[str, Any]:
    kind = _names(tflite.BuiltinOptions).get(operator.BuiltinOptionsType(), "NONE")
    if kind == "NONE":
        return {}
    table = getattr(tflite, kind)()
    table.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
    options: dict[str, Any] = {"table": kind}
    for name, method in inspect.getmembers(table, inspect.ismethod):
        if name.startswith(("GetRootAs", "Init")) or name.endswith(("Length", "IsNone")):
            continue
        if name.endswith("AsNumpy"):
            options[_snake(name.removesuffix("AsNumpy"))] = _ints(method())
        elif not inspect.signature(method).parameters:
            options[_snake(name)] = method()
    return options


# Writing: what tests and repro folders need, with the same names that reading gives.


def write(graph: Graph, versions: Mapping[str, int] | None = None) -> bytes:
    """The flatbuffer of a Graph; `read(write(graph))` has the same tensors, nodes, inputs and outputs.

    `versions` of operators are for other readers: this one takes any.
    """
    builder = flatbuffers.Builder(1024)
    graphs = flat(graph)
    codes = list(dict.fromkeys(node.op for each in graphs for node in each.nodes))
    buffers = [_write_buffer(builder, b"")]
    subgraphs = [_write_subgraph(builder, each, codes, buffers) for each in graphs]
    opcodes = [_write_code(builder, op, (versions or {}).get(op, 1)) for op in codes]
    vectors = [_offsets(builder, part) for part in (opcodes, subgraphs, buffers)]
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddOperatorCodes(builder, vectors[0])
    tflite.ModelAddSubgraphs(builder, vectors[1])
    tflite.ModelAddBuffers(builder, vectors[2])
    builder.Finish(tflite.ModelEnd(builder), IDENTIFIER)
    return bytes(builder.Output())


def _offsets(builder: Any, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _vector(builder: Any, values: Any, dtype: str) -> int:
    return int(builder.CreateNumpyVector(np.array(values, dtype)))


def _write_buffer(builder: Any, content: bytes) -> int:
    data = 0
    if content:
        builder.StartVector(1, len(content), 16)  # TFLite wants constants aligned to 16
        builder.head -= len(content)
        builder.Bytes[builder.head : builder.head + len(content)] = content
        data = builder.EndVector()
    tflite.BufferStart(builder)
    if content:
        tflite.BufferAddData(builder, data)
    return int(tflite.BufferEnd(builder))


def _write_tensor(builder: Any, tensor: Tensor, buffer: int) -> int:
    name, shape = builder.CreateString(tensor.name), _vector(builder, tensor.shape, "int32")
    quant = _write_quant(builder, tensor.quant) if tensor.quant else 0
    tflite.TensorStart(builder)
    tflite.TensorAddShape(builder, shape)
    tflite.TensorAddType(builder, _values(tflite.TensorType)[{v: k for k, v in DTYPES.items()}[tensor.dtype]])
    tflite.TensorAddBuffer(builder, buffer)
    tflite.TensorAddName(builder, name)
    tflite.TensorAddIsVariable(builder, tensor.is_variable)
    if quant:
        tflite.TensorAddQuantization(builder, quant)
    return int(tflite.TensorEnd(builder))


def _write_quant(builder: Any, quant: Quant) -> int:
    scale, zero_point = _vector(builder, quant.scale, "float32"), _vector(builder, quant.zero_point, "int64")
    tflite.QuantizationParametersStart(builder)
    tflite.QuantizationParametersAddScale(builder, scale)
    tflite.QuantizationParametersAddZeroPoint(builder, zero_point)
    tflite.QuantizationParametersAddQuantizedDimension(builder, quant.axis)
    return int(tflite.QuantizationParametersEnd(builder))


def _write_node(builder: Any, node: Node, code: int) -> int:
    kind = node.options.get("table", "NONE")
    inputs, outputs = _vector(builder, node.inputs, "int32"), _vector(builder, node.outputs, "int32")
    intermediates = _vector(builder, node.intermediates, "int32")
    options = _write_options(builder, kind, node.options) if kind != "NONE" else 0
    tflite.OperatorStart(builder)
    tflite.OperatorAddOpcodeIndex(builder, code)
    tflite.OperatorAddInputs(builder, inputs)
    tflite.OperatorAddOutputs(builder, outputs)
    tflite.OperatorAddIntermediates(builder, intermediates)
    if kind != "NONE":
        tflite.OperatorAddBuiltinOptionsType(builder, _values(tflite.BuiltinOptions)[kind])
        tflite.OperatorAddBuiltinOptions(builder, options)
    return int(tflite.OperatorEnd(builder))


def _write_options(builder: Any, kind: str, options: Any) -> int:
    values = {
        name: _vector(builder, value, "int32") if isinstance(value, tuple) else value
        for name, value in options.items()
        if name != "table" and value != ()
    }
    getattr(tflite, f"{kind}Start")(builder)
    for name, value in values.items():
        getattr(tflite, f"{kind}Add{_camel(name)}")(builder, value)
    return int(getattr(tflite, f"{kind}End")(builder))


def _write_subgraph(builder: Any, graph: Graph, codes: list[str], buffers: list[int]) -> int:
    """One of the model's graphs; the contents of its constants join the `buffers`."""
    tensors = []
    for tensor in graph.tensors:
        if tensor.data is not None:
            buffers.append(_write_buffer(builder, np.ascontiguousarray(tensor.data).tobytes()))
        tensors.append(_write_tensor(builder, tensor, len(buffers) - 1 if tensor.data is not None else 0))
    operators = [_write_node(builder, node, codes.index(node.op)) for node in graph.nodes]
    vectors = [_offsets(builder, tensors), _vector(builder, graph.inputs, "int32"),
               _vector(builder, graph.outputs, "int32"), _offsets(builder, operators)]  # fmt: skip
    tflite.SubGraphStart(builder)
    for add, vector in zip((tflite.SubGraphAddTensors, tflite.SubGraphAddInputs, tflite.SubGraphAddOutputs,
                            tflite.SubGraphAddOperators), vectors, strict=True):  # fmt: skip
        add(builder, vector)
    return int(tflite.SubGraphEnd(builder))


def _write_code(builder: Any, op: str, version: int) -> int:
    value = _values(tflite.BuiltinOperator)[op]
    tflite.OperatorCodeStart(builder)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, min(value, 127))
    tflite.OperatorCodeAddBuiltinCode(builder, value)
    tflite.OperatorCodeAddVersion(builder, 1)
    tflite.OperatorCodeAddVersion(builder, version)
    return int(tflite.OperatorCodeEnd(builder))
