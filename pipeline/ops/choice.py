"""Which calls an operator becomes: of the ways that a core's kernels allow, the cheapest."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.cores import PORTABLE, Core
from pipeline.costs import Around, cheapest
from pipeline.graph import Graph, Node
from pipeline.ops.base import Call, Op, Part, activations


def parts(node: Node, graph: Graph, op: Op, core: Core = PORTABLE) -> tuple[Part, ...]:
    """The calls of an operator in order; none when it is a free reshape.

    A class with a method `ways(core)` has several calls that a core's kernels allow, of which the cheapest is taken.
    """
    ways = op.ways(core) if hasattr(op, "ways") else ()
    call = cheapest(core.name, ways, around(graph, activations(node, graph), node.outputs[0])) or op.call()
    if isinstance(call, Call):
        return (Part(call, tuple(range(len(activations(node, graph))))),)
    return call or ()


def around(graph: Graph, inputs: Sequence[int], output: int) -> Around:
    """What a call with these tensors has around it; of what a ReLU leaves, half is the smallest value, as a rule."""
    made = {tensor: node for node in graph.nodes for tensor in node.outputs}
    x = inputs[0] if inputs else output
    while x in made and made[x].op == "RESHAPE":
        x = made[x].inputs[0]
    quant = graph.tensors[x].quant
    relu = inputs and x in made and quant is not None and quant.zero_point[0] == -128
    return Around(sum(graph.tensors[i].bytes for i in inputs), graph.tensors[output].bytes, 0.5 if relu else 1.0)
