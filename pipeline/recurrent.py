"""Recurrent layers over many steps as loops: the network around them and each layer's cell are converted apart, and
joined again. The LSTM that is one operator stays what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.flatbuffer import read, write
from pipeline.graph import Graph, Node, Tensor
from pipeline.loops import with_loop
from pipeline.network import is_one_operator, unrolled
from pipeline.passes import makers, readers
from pipeline.progress import say

STEPS = 12  # that are unrolled: more of them, at up to 17 operators each, would be hundreds
RESCALING = ("ADD", "SUB", "MUL", "FULLY_CONNECTED")  # whose output may have any scale
ALIKE = 1e-4  # of a scale: calibrated twice on the same values

Reals = NDArray[np.float32]
Convert = Callable[..., bytes]  # (function of tensors, what it belongs to, windows ...)
Answer = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Run:
    """One call of a recurrent layer: what it took and made, and of each of its states all values, [n, rows, ...]."""

    layer: Any
    rows: Reals
    states: tuple[Reals, ...]  # of one step more
    results: Reals

    @property
    def given(self) -> Reals:
        """What the layer gives on."""
        return self.results if self.layer.return_sequences else self.results[:, -1]


def converted(network: Any, windows: Sequence[Reals], convert: Convert) -> bytes | None:
    """The network as a flatbuffer with loops; None where no layer needs one."""
    runs = _record(network, windows)
    if not runs:
        return None
    network, count = unrolled(network, {run.layer.name for run in runs}), len(windows)

    def around(*values: Any) -> list[Any]:
        taken, given = [], iter(values[count:])

        def answer(layer: Any, rows: Any) -> Any:
            taken.append(_forward(layer, rows))
            return next(given)

        with _answering(network, answer):
            made = network(values[0] if count == 1 else list(values[:count]))
        return [*(made if isinstance(made, list | tuple) else [made]), *taken]

    content = convert(around, network, *windows, *(run.given for run in runs))
    graph = read(content)
    outputs = len(graph.outputs) - len(runs)
    for i, run in enumerate(runs):
        edge = graph.outputs[outputs + i], graph.inputs[count + i]
        graph = _joined(graph, *edge, f"{network.name}/{run.layer.name}/while", _cell(run, convert), run)
    whole = replace(graph, inputs=graph.inputs[:count], outputs=graph.outputs[:outputs])
    return write(_in_order(whole))


def _can_be_loop(layer: Any) -> bool:
    """Whether it is a recurrent layer that a loop can stand for."""
    plain = {"return_state": False, "stateful": False, "time_major": False}
    return all(getattr(layer, name, None) is value for name, value in plain.items()) and not is_one_operator(layer)


@contextmanager
def _answering(network: Any, answer: Answer) -> Iterator[None]:
    """While it lasts, recurrent layers of many steps are not run: `answer` gives what they would."""
    layers = [layer for layer in network.submodules if _can_be_loop(layer)]

    def call(layer: Any) -> Callable[..., Any]:
        own = layer.call

        def answered(inputs: Any, *_: Any, **settings: Any) -> Any:
            special = settings.get("mask") is not None or settings.get("initial_state") is not None
            if isinstance(inputs, list | tuple) or special or inputs.shape[1] <= STEPS:
                return own(inputs, *_, **settings)
            return answer(layer, inputs)

        return answered

    for layer in layers:
        layer.call = call(layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call


def _forward(layer: Any, rows: Any) -> Any:
    """The rows in the order in which the layer takes them."""
    import tensorflow as tf

    return tf.reverse(rows, [1]) if layer.go_backwards else rows


def _record(network: Any, windows: Sequence[Reals]) -> list[Run]:
    """Every call of a layer that is to be a loop, in order, with all that its cell saw."""
    import tensorflow as tf

    runs: list[Run] = []

    def answer(layer: Any, rows: Any) -> Any:
        rows, cell = _forward(layer, rows), layer.cell
        states = tf.nest.flatten(cell.get_initial_state(batch_size=len(rows), dtype=tf.float32))
        seen, results = [states], []
        for step in range(rows.shape[1]):
            result, states = cell(rows[:, step], states)
            states = tf.nest.flatten(states)
            seen.append(states)
            results.append(result)
        kept = tuple(np.stack([np.asarray(each[i]) for each in seen], 1) for i in range(len(states)))
        runs.append(Run(layer, np.asarray(rows), kept, np.stack([np.asarray(each) for each in results], 1)))
        return tf.constant(runs[-1].given)

    with _answering(network, answer):
        network(windows[0] if len(windows) == 1 else list(windows))
    return runs


def _cell(run: Run, convert: Convert) -> Graph:
    """One step: (row, states) to (result, states), with the scales of the states before it behind it too."""
    import tensorflow as tf

    same: list[bool] = []

    def step(row: Any, *states: Any) -> list[Any]:
        result, after = run.layer.cell(row, list(states))
        after = tf.nest.flatten(after)
        same[:] = [result is after[0]]
        return after if same[0] else [result, *after]

    rows = np.concatenate([run.rows, run.rows[:, -1:]], 1)  # once more, so that the last states are seen
    content = convert(step, run.layer.cell, *(each.reshape(-1, each.shape[-1]) for each in (rows, *run.states)))
    graph = read(content)
    if same[0]:
        graph = replace(graph, outputs=(graph.outputs[0], *graph.outputs))
    for number, i in enumerate(graph.inputs[1:]):
        graph = _fed_back(graph, i, number + 1)
    return graph


def _fed_back(graph: Graph, state: int, number: int) -> Graph:
    """The step whose output `number` has the quantization of the state that it goes on as."""
    made, quant = graph.outputs[number], graph.tensors[state].quant
    maker = makers(graph).get(made)
    if graph.tensors[made].quant == quant:
        return graph
    if maker is not None and maker.op in RESCALING and not readers(graph)[made]:
        return _with(graph, made, quant=quant)
    return _requantized(graph, made, replace(graph.tensors[state], name="state"), lambda i: i == number)


def _requantized(graph: Graph, tensor: int, like: Tensor, which: Callable[[int], bool]) -> Graph:
    """With a QUANTIZE of a tensor, which some of the outputs then are."""
    made = len(graph.tensors)
    node = Node(len(graph.nodes), "QUANTIZE", (tensor,), (made,), {"table": "QuantizeOptions"})
    outputs = tuple(made if which(i) and each == tensor else each for i, each in enumerate(graph.outputs))
    return replace(graph, tensors=(*graph.tensors, like), nodes=(*graph.nodes, node), outputs=outputs)


def _joined(graph: Graph, taken: int, given: int, name: str, cell: Graph, run: Run) -> Graph:
    """The network with the loop between what a layer took and what it gave."""
    say(f"{name.rsplit('/', 1)[0]}: a loop of {run.rows.shape[1]} steps of {len(cell.nodes)} operators,"
        f" where unrolled it would be {run.rows.shape[1] * len(cell.nodes)}")  # fmt: skip
    row, made = cell.tensors[cell.inputs[0]], cell.tensors[cell.outputs[0]]
    for i, like in ((taken, row), (given, made)):
        if graph.tensors[i].quant is None:  # nothing else is done with it
            graph = _with(graph, i, quant=like.quant, dtype=like.dtype)
    if _alike(graph.tensors[taken], row):
        cell = _with(cell, cell.inputs[0], quant=graph.tensors[taken].quant)
    else:
        like = replace(graph.tensors[taken], name=f"{name}_rows", quant=row.quant)
        graph = _requantized(graph, taken, like, lambda _: False)
        taken = len(graph.tensors) - 1
    if not _alike(graph.tensors[given], made):
        like = replace(graph.tensors[given], name=name, quant=made.quant)
        node = Node(len(graph.nodes), "QUANTIZE", (len(graph.tensors),), (given,), {"table": "QuantizeOptions"})
        given = len(graph.tensors)
        graph = replace(graph, tensors=(*graph.tensors, like), nodes=(*graph.nodes, node))
    return with_loop(_with(graph, given, name=name), taken, given, cell, run.layer.return_sequences)


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of the same values are quantized alike."""
    return one.zero_point == other.zero_point and abs(one.scale / other.scale - 1) < ALIKE


def _with(graph: Graph, tensor: int, **changes: Any) -> Graph:
    changed = replace(graph.tensors[tensor], **changes)
    return replace(graph, tensors=(*graph.tensors[:tensor], changed, *graph.tensors[tensor + 1 :]))


def _in_order(graph: Graph) -> Graph:
    """Each operator behind those that make what it reads."""
    made_by, placed = makers(graph), dict[int, Node]()

    def place(node: Node) -> None:
        for i in node.inputs if node.index not in placed else ():
            if i in made_by:
                place(made_by[i])
        placed.setdefault(node.index, node)

    for node in graph.nodes:
        place(node)
    return replace(graph, nodes=tuple(replace(node, index=i) for i, node in enumerate(placed.values())))
