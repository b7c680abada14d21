"""The order of operators: where branches leave a choice, one that needs less memory at its worst step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.arena import aligned
from pipeline.cores import PORTABLE, Core
from pipeline.graph import Graph
from pipeline.ops.base import Op, activations
from pipeline.passes import makers, readers
from pipeline.plan import plan

WIDTH = 24  # partial orders that are followed at once


def ordered(graph: Graph, ops: Sequence[Op], core: Core = PORTABLE) -> tuple[Graph, tuple[Op, ...]]:
    """The graph with its operators in the best order found, and these; as they are when none is better."""
    best = _search(graph, ops)
    if best == tuple(range(len(graph.nodes))):
        return graph, tuple(ops)
    other = replace(graph, nodes=tuple(graph.nodes[i] for i in best))
    theirs = tuple(ops[i] for i in best)
    lower = plan(other, theirs, core).layout.arena_bytes < plan(graph, ops, core).layout.arena_bytes
    return (other, theirs) if lower else (graph, tuple(ops))


@dataclass(frozen=True)
class _Partial:
    """The beginning of an order: `done` and `ready` operators, the buffers `live` behind it and who reads them yet."""

    order: tuple[int, ...]
    done: int  # a bit for each
    ready: tuple[int, ...]
    live: Mapping[int, frozenset[int]]
    peak: int = 0
    now: int = 0

    @property
    def cost(self) -> tuple[int, int, tuple[int, ...]]:
        """What makes one beginning better than another."""
        return self.peak, self.now, self.order


def _search(graph: Graph, ops: Sequence[Op]) -> tuple[int, ...]:
    """Beam search: of all beginnings of one length those with the lowest peak go on, one for each set of operators."""
    facts = _Facts(graph, ops)
    front = [_Partial((), 0, tuple(i for i, needs in enumerate(facts.needs) if not needs), {})]
    for _ in graph.nodes:
        longer: dict[int, _Partial] = {}
        for made in (facts.after(begun, i) for begun in front for i in begun.ready):
            longer[made.done] = min(longer.get(made.done, made), made, key=lambda each: each.cost)
        front = sorted(longer.values(), key=lambda each: each.cost)[:WIDTH]
    return front[0].order


class _Facts:
    """What the search asks: of each operator, by its place in the graph, the buffers it reads and makes."""

    def __init__(self, graph: Graph, ops: Sequence[Op]) -> None:
        self.graph, self.ops = graph, ops
        made_by, place = makers(graph), {node.index: i for i, node in enumerate(graph.nodes)}
        root = {t: t for t in range(len(graph.tensors))}
        for node, op in zip(graph.nodes, ops, strict=True):
            if op.call() is None:
                root[node.outputs[0]] = root[node.inputs[0]]
        before = [{place[made_by[t].index] for t in node.inputs if t in made_by} for node in graph.nodes]
        self.needs = [sum(1 << i for i in each) for each in before]
        self.behind = [[i for i, each in enumerate(before) if place in each] for place in range(len(ops))]
        self.reads = [[root[t] for t in activations(node, graph)] for node in graph.nodes]
        self.makes = [[root[t] for t in node.outputs] for node in graph.nodes]
        self.read_by: dict[int, set[int]] = {}
        for tensor, nodes in readers(graph).items():
            self.read_by.setdefault(root[tensor], set()).update(place[node.index] for node in nodes)
        callers = {root[i] for i in (*graph.inputs, *graph.outputs)}
        self.size = {t: 0 if t in callers else aligned(tensor.bytes) for t, tensor in enumerate(graph.tensors)}

    def after(self, begun: _Partial, i: int) -> _Partial:
        """The beginning with operator i behind it."""
        done = begun.done | 1 << i
        ready = (*(j for j in begun.ready if j != i), *(j for j in self.behind[i] if not self.needs[j] & ~done))
        live = dict(begun.live)
        for t in (*self.reads[i], *self.makes[i]):
            live.setdefault(t, frozenset(self.read_by[t]))
        kept = {t: readers - {i} for t, readers in live.items() if readers - {i}}
        target = self.size[self.makes[i][0]]
        dying = [t for t in (self.reads[i][slot] for slot in self.ops[i].in_place) if t not in kept]
        shared = target if any(self.size[t] == target for t in dying) else 0
        during = sum(self.size[t] for t in live) - shared
        return _Partial((*begun.order, i), done, ready, kept, max(begun.peak, during), sum(self.size[t] for t in kept))
