"""Views: tensors that are bytes of another one, so that reshaping, cutting and joining rows costs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.arena import ALIGNMENT
from pipeline.graph import Graph, Node
from pipeline.ops.base import Call, Op, activations
from pipeline.ops.choice import parts

MOVE = "nn_move_s8"


@dataclass(frozen=True)
class View:
    """The bytes of tensor `of` from byte `at` on; `joined` when it was made there, to be a part of `of`."""

    of: int
    at: int = 0
    joined: bool = False


@dataclass
class Views:
    """Views by tensor, and the calls that they save: (the operator's place in the graph, number of its call)."""

    by_tensor: dict[int, View] = field(default_factory=dict)
    saved: set[tuple[int, int]] = field(default_factory=set)

    def root(self, tensor: int) -> tuple[int, int]:
        """The tensor that has the bytes, and where in it they begin."""
        at = 0
        while tensor in self.by_tensor:
            view = self.by_tensor[tensor]
            tensor, at = view.of, at + view.at
        return tensor, at


def find_views(graph: Graph, ops: Sequence[Op], joins: bool) -> Views:
    """All views of a graph: reshapes, dense parts, and with `joins` also what is joined densely."""
    views = Views()
    callers = {*graph.inputs, *graph.outputs}  # roots that the caller has; each is one of his tensors
    for place, (node, op) in enumerate(zip(graph.nodes, ops, strict=True)):
        if op.call() is None:
            if _shows(graph, views, callers, View(node.inputs[0]), node.outputs[0]):
                views.saved.add((place, 0))
            continue
        used, calls = activations(node, graph), parts(node, graph, op)
        only_moves = all(part.call.kernel == MOVE for part in calls)  # nothing else is written where a part would lie
        for number, part in enumerate(calls):
            size = _dense(part.call)
            if size is None or len(part.slots) != 1:
                continue
            x, y = used[part.slots[0]], node.outputs[part.output]
            shown = size == graph.tensors[y].bytes and _shows(
                graph, views, callers, View(x, _at(part.call, "from_at")), y
            )
            whole = joins and only_moves and size == graph.tensors[x].bytes
            if shown or (whole and _joined(graph, views, callers, node, x, View(y, _at(part.call, "to_at"), True))):
                views.saved.add((place, number))
    return views


def pieces(graph: Graph, views: Mapping[int, View], made: Mapping[int, int], tensor: int) -> list[tuple[int, int, int]]:
    """Where a tensor's bytes come from: (tensor that a step or the caller wrote, first byte, bytes), in order.

    `made` has the tensors that are written whole."""
    size = graph.tensors[tensor].bytes
    if tensor in made or tensor in graph.inputs:
        return [(tensor, 0, size)]
    members = sorted((view.at, part) for part, view in views.items() if view.joined and view.of == tensor)
    if members:
        return [piece for _, part in members for piece in pieces(graph, views, made, part)]
    view, found = views[tensor], []
    at, left = view.at, size
    for source, start, count in pieces(graph, views, made, view.of):
        taken = min(count - at, left)
        if taken > 0:
            found.append((source, start + at, taken))
            left -= taken
        at = max(at - count, 0)
    return found


def _shows(graph: Graph, views: Views, callers: set[int], view: View, y: int) -> bool:
    """Let y show bytes of another tensor; not where one of the caller's tensors would be another, or a part."""
    root, before = views.root(view.of)
    whole = graph.tensors[y].bytes == graph.tensors[root].bytes
    if (before + view.at) % ALIGNMENT or {root, y} <= callers or (y in callers and not whole):
        return False
    views.by_tensor[y] = view
    callers.update({root} if y in callers else ())
    return True


def _joined(graph: Graph, views: Views, callers: set[int], node: Node, x: int, view: View) -> bool:
    """Let x be made where it is a part of the node's output; not what the caller has, or what is a part already."""
    root, before = views.root(x)
    tensor = graph.tensors[root]
    part = before or tensor.bytes != graph.tensors[x].bytes
    if part or view.at % ALIGNMENT or root in callers or node.inputs.count(x) > 1 or tensor.data is not None:
        return False
    views.by_tensor[root] = view
    return True


def _at(call: Call, name: str) -> int:
    at = call.fields[name]
    assert isinstance(at, int)
    return at


def _dense(call: Call) -> int | None:
    """The bytes that a move takes, if they lie one behind the other before and behind it."""
    if call.kernel != MOVE:
        return None
    size = 1
    columns = (call.fields[name] for name in ("shape", "from", "to"))
    for count, *steps in reversed(list(zip(*columns, strict=True))):
        if count != 1 and steps != [size, size]:
            return None
        size *= count
    return size
