"""Which activations share bytes, how long they live, and where they lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline import edges
from pipeline.arena import Buffer, arena_size, lower_bound, pack
from pipeline.graph import Graph
from pipeline.views import Views


@dataclass(frozen=True)
class Place:
    """Where an activation lies: `kind` is input, output or arena, the offset counts in it."""

    kind: str
    offset: int = 0


@dataclass(frozen=True)
class Use:
    """What one step does with activations: tensors read, the tensor written, and the inputs it may overwrite.

    `scratch` bytes are its own while it runs, `state` bytes for ever.
    """

    reads: tuple[int, ...]
    writes: int
    in_place: tuple[int, ...]
    scratch: int = 0
    state: int = 0


@dataclass(frozen=True)
class Layout:
    """Places and (first, last) steps of every activation, the arena's size, and the least any packing could need.

    `scratch` and `states` are offsets in the arena by step, of those steps that have them.
    """

    places: Mapping[int, Place]
    lives: Mapping[int, tuple[int, int]]
    scratch: Mapping[int, int]
    states: Mapping[int, int]
    arena_bytes: int
    arena_bound: int


def lay_out(graph: Graph, uses: Sequence[Use], views: Views) -> Layout:
    """Pack the activations of `uses`; tensors that are views lie where the bytes are that they show."""
    roots = {t: views.root(t) for t in range(len(graph.tensors))}
    lives = _lives(graph, uses, root_of := {t: root for t, (root, _) in roots.items()})
    home = _take_over(graph, uses, roots, lives)
    members: dict[int, list[int]] = {}
    for tensor in lives:
        members.setdefault(home[tensor], []).append(tensor)
    callers = {root_of[t]: place for t, place in _edges(graph)}
    at_edge = {
        h: next(callers[t] for t in group if t in callers) for h, group in members.items() if callers.keys() & group
    }
    packed = [h for h in members if h not in at_edge]
    buffers = [
        Buffer(graph.tensors[h].bytes, min(lives[t][0] for t in members[h]), max(lives[t][1] for t in members[h]))
        for h in packed
    ]
    scratch = [i for i, use in enumerate(uses) if use.scratch]
    states = [i for i, use in enumerate(uses) if use.state]
    buffers += [Buffer(uses[i].scratch, i, i) for i in scratch]
    buffers += [Buffer(uses[i].state, 0, len(uses)) for i in states]
    starts = pack(buffers)
    homes = at_edge | {h: Place("arena", start) for h, start in zip(packed, starts, strict=False)}
    at_scratch = dict(zip(scratch, starts[len(packed) :], strict=False))
    at_state = dict(zip(states, starts[len(packed) + len(scratch) :], strict=True))
    used = {i for use in uses for i in (*use.reads, use.writes)} | {*graph.inputs, *graph.outputs}
    places = {t: replace(place := homes[home[root_of[t]]], offset=place.offset + roots[t][1]) for t in sorted(used)}
    spans = {t: lives[root_of[t]] for t in used}
    return Layout(places, spans, at_scratch, at_state, arena_size(buffers, starts), lower_bound(buffers))


def _edges(graph: Graph) -> Iterator[tuple[int, Place]]:
    """The model's outputs and inputs, where the caller has them."""
    for kind, tensors in (("output", graph.outputs), ("input", graph.inputs)):
        for tensor, offset in zip(tensors, edges.offsets([graph.tensors[i] for i in tensors]), strict=True):
            yield tensor, Place(kind, offset)


def _lives(graph: Graph, uses: Sequence[Use], root_of: Mapping[int, int]) -> dict[int, tuple[int, int]]:
    """First and last step of every set of bytes, by root; the model's outputs live to the end."""
    lives = {root_of[i]: (0, 0) for i in graph.inputs}
    for index, use in enumerate(uses):
        for tensor in (*use.reads, use.writes):
            first = lives.get(root_of[tensor], (index, index))[0]
            lives[root_of[tensor]] = (first, index)
    for i in graph.outputs:
        lives[root_of[i]] = (lives.get(root_of[i], (0, 0))[0], len(uses))
    return lives


def _take_over(graph: Graph, uses: Sequence[Use], roots: Mapping[int, tuple[int, int]],
               lives: Mapping[int, tuple[int, int]]) -> dict[int, int]:  # fmt: skip
    """The buffer of every root: an in-place step's output takes over an input that nobody reads later; so does an
    output in parts, whose steps all read the same part of one input."""
    home = {tensor: tensor for tensor in lives}
    last = {tensor: end for tensor, (_, end) in lives.items()}
    callers = {roots[i][0] for i in (*graph.inputs, *graph.outputs)}
    writers: dict[int, list[int]] = {}
    for index, use in enumerate(uses):
        writers.setdefault(roots[use.writes][0], []).append(index)
    for target, steps in writers.items():
        for source in (roots[tensor][0] for tensor in uses[steps[0]].in_place):
            same_size = graph.tensors[source].bytes == graph.tensors[target].bytes and not {source, target} & callers
            readers = [i for i in range(steps[0], len(uses)) if source in (roots[t][0] for t in uses[i].reads)]
            dies = last[home[source]] == steps[-1] and readers == steps
            if same_size and dies and all(_part_for_part(graph, uses[i], roots, source) for i in steps):
                home[target] = home[source]
                last[home[source]] = last[target]
                break
    return home


def _part_for_part(graph: Graph, use: Use, roots: Mapping[int, tuple[int, int]], source: int) -> bool:
    """Whether a step reads of the source just the bytes in whose place it may write its output."""
    read = [tensor for tensor in use.reads if roots[tensor][0] == source]
    at, size = roots[use.writes][1], graph.tensors[use.writes].bytes
    return bool(read) and all(
        tensor in use.in_place and roots[tensor][1] == at and graph.tensors[tensor].bytes == size for tensor in read
    )
