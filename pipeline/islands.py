"""Islands of float32 in an integer model (DEQUANTIZE, moves and functions of one value, QUANTIZE) become integers."""

from __future__ import annotations

from dataclasses import replace

from pipeline.graph import Graph, Node

# Operators that move values, and the slot they take them from.
MOVES = {"RESHAPE": 0, "SQUEEZE": 0, "EXPAND_DIMS": 0, "TRANSPOSE": 0, "SLICE": 0, "STRIDED_SLICE": 0, "SPLIT": 1,
         "SPLIT_V": 0, "UNPACK": 0, "GATHER": 0, "TILE": 0, "REVERSE_V2": 0, "SPACE_TO_DEPTH": 0,
         "DEPTH_TO_SPACE": 0}  # fmt: skip
# Of one value, that the converter leaves in float32 and TFLite Micro computes there.
FUNCTIONS = ("CEIL", "COS", "ELU", "FLOOR", "NEG", "ROUND", "SIN", "SQUARE")


def in_integers(graph: Graph) -> Graph:
    """Every island moves int8 instead of float32, and what was its QUANTIZE takes each value by way of float32.

    No byte changes. A graph with an island of another kind stays as it is, and is refused later.
    """
    island = _Island(graph)
    for node in graph.nodes:
        island.take(node)
    made = replace(graph, tensors=tuple(island.tensors), nodes=tuple(island.nodes))
    needed = {i for node in made.nodes for i in node.inputs} | set(made.outputs)
    edges = any(made.tensors[i].dtype != graph.tensors[i].dtype for i in graph.outputs)
    return graph if edges or needed & island.gone else made


class _Island:
    """The graph under way: which int8 tensor holds a float one's values, and the functions not yet applied to them."""

    def __init__(self, graph: Graph) -> None:
        self.tensors, self.nodes = list(graph.tensors), list[Node]()
        self.gone: set[int] = set()  # float tensors that nothing makes any more
        self._source: dict[int, int] = {}
        self._functions: dict[int, tuple[str, ...]] = {}

    def take(self, node: Node) -> None:
        """The next node: in integers where it is part of an island that can be, else as it is."""
        slot = MOVES.get(node.op, 0)
        real = node.inputs[slot] if len(node.inputs) > slot else -1
        source, functions = self._source.get(real), self._functions.get(real, ())
        if node.op == "DEQUANTIZE" and self._is_shore(node):
            self._holds(node.outputs[0], real, ())
        elif source is None:
            self.nodes.append(node)
        elif node.op == "QUANTIZE" and self.tensors[node.outputs[0]].dtype == "int8":
            self.nodes.append(Node(node.index, "DEQUANTIZE", (source,), node.outputs, {"between": functions}))
        elif node.op in FUNCTIONS:
            self._holds(node.outputs[0], source, (*functions, node.op))
        elif node.op in MOVES:
            self._move(node, slot, source, functions)
        else:
            self.nodes.append(node)

    def _holds(self, real: int, source: int, functions: tuple[str, ...]) -> None:
        self.gone.add(real)
        self._source[real], self._functions[real] = source, functions

    def _move(self, node: Node, slot: int, source: int, functions: tuple[str, ...]) -> None:
        """What moves values moves those of 8 bits; functions that are still to come commute with it."""
        inputs = tuple(source if i == slot else each for i, each in enumerate(node.inputs))
        self.nodes.append(replace(node, inputs=inputs))
        for output in node.outputs:
            self.tensors[output] = replace(self.tensors[output], dtype="int8", quant=self.tensors[source].quant)
            self._source[output], self._functions[output] = output, functions

    def _is_shore(self, node: Node) -> bool:
        """Whether float32 begins here."""
        x, y = self.tensors[node.inputs[0]], self.tensors[node.outputs[0]]
        plain = x.dtype == "int8" and x.data is None and x.quant is not None and len(x.quant.scale) == 1
        return plain and y.dtype == "float32"
