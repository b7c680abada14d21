"""The graphs inside a Graph: a WHILE has in its options its condition and its body, in a file they are subgraphs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pipeline.graph import Graph

LOOP = ("cond", "body")  # options of a WHILE, each a Graph


def nested(graph: Graph, count: int, read: Callable[[int], Graph]) -> Graph | None:
    """The graph with those inside its loops, by their numbers; None where these are not all there are."""
    numbers = {
        place: [node.options.get(f"{name}_subgraph_index", 0) for name in LOOP]
        for place, node in enumerate(graph.nodes)
        if node.op == "WHILE"
    }
    named = {0, *(i for each in numbers.values() for i in each)}
    if (len(named), min(named), max(named)) != (count, 0, count - 1):
        return None
    nodes = list(graph.nodes)
    for place, each in numbers.items():
        inner = {name: read(i) for name, i in zip(LOOP, each, strict=True)}
        nodes[place] = replace(nodes[place], options={"table": "WhileOptions", **inner})
    return replace(graph, nodes=tuple(nodes))


def flat(graph: Graph) -> list[Graph]:
    """The graph, whose loops name the graphs behind it by their numbers."""
    nodes, inner = [], list[Graph]()
    for node in graph.nodes:
        if set(LOOP) <= node.options.keys():
            numbers = {f"{name}_subgraph_index": len(inner) + 1 + i for i, name in enumerate(LOOP)}
            inner += [node.options[name] for name in LOOP]
            node = replace(node, options={"table": "WhileOptions", **numbers})
        nodes.append(node)
    return [replace(graph, nodes=tuple(nodes)), *inner]


def whole(graph: Graph) -> list[Graph]:
    """The graph and those inside its loops."""
    return [graph, *(node.options[name] for node in graph.nodes for name in LOOP if name in node.options)]
