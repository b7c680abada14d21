"""Loops over the rows of an input: what is none is refused, what is one is streamed, planned and priced as its body."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ops.test_conformance import python_answers
from ops.test_refusals import first, with_options, with_tensor
from test_streaming import assert_same, hops_of, whole, windows

from pipeline import flatbuffer
from pipeline.cores import core_of
from pipeline.generate import compile_model, sources
from pipeline.graph import Graph
from pipeline.importer import operators
from pipeline.ops.base import known_ops
from pipeline.problem import Problem, Problems

LAST = first("WHILE")  # of one row
EVERY = next(graph for graph in known_ops()["WHILE"].cases(np.random.default_rng(5)) if len(graph.nodes[0].inputs) == 4)


def rewired(graph: Graph, name: str, change: Callable[[Graph], Graph]) -> Graph:
    """With another condition or body."""
    return with_options(graph, **{name: change(graph.nodes[0].options[name])})


def with_node(named: str, **change: Any) -> Callable[[Graph], Graph]:
    """The first node of this kind changed."""

    def changed(graph: Graph) -> Graph:
        place = next(i for i, node in enumerate(graph.nodes) if node.op == named)
        nodes = list(graph.nodes)
        nodes[place] = replace(nodes[place], **change)
        return replace(graph, nodes=tuple(nodes))

    return changed


def with_constant(name: str, value: int) -> Callable[[Graph], Graph]:
    def changed(graph: Graph) -> Graph:
        place = next(i for i, tensor in enumerate(graph.tensors) if tensor.name == name)
        return with_tensor(graph, place, data=np.array([value], np.int32))

    return changed


def with_loop_inside(body: Graph) -> Graph:
    place = next(i for i, node in enumerate(body.nodes) if node.op == "TANH")
    nodes = list(body.nodes)
    nodes[place] = replace(nodes[place], op="WHILE")
    return replace(body, nodes=tuple(nodes))


NO_LOOP = "is no loop over the rows of an input"
REFUSALS = {
    "other steps than one": (rewired(LAST, "body", with_constant("one", 2)), NO_LOOP),
    "more rows than there are": (rewired(LAST, "cond", with_constant("count", 3)), NO_LOOP),
    "another end": (rewired(LAST, "cond", with_node("LESS", op="GREATER")), NO_LOOP),
    "a start that is not 0": (with_tensor(LAST, LAST.nodes[0].inputs[0], data=np.ones(1, np.int32)), NO_LOOP),
    "no row": (rewired(LAST, "body", with_node("GATHER", op="GATHER_ND")), NO_LOOP),
    "rows along another axis": (rewired(LAST, "body", with_node("GATHER", options={"axis": 2})), NO_LOOP),
    "another place": (rewired(EVERY, "body", with_constant("none", 1)), NO_LOOP),
    "two results": (replace(EVERY, outputs=EVERY.nodes[0].outputs[2:]), NO_LOOP),
    "a state that is an input": (with_tensor(LAST, LAST.nodes[0].inputs[2], data=None), NO_LOOP),
    "other sizes inside": (rewired(LAST, "body", lambda g: with_tensor(g, g.inputs[1], shape=(1, 2, 1))), NO_LOOP),
    "a loop inside": (rewired(LAST, "body", with_loop_inside), "has a loop inside"),
    "floats inside": (rewired(LAST, "body", lambda g: with_tensor(g, g.inputs[2], dtype="float32")), NO_LOOP),
    "an operator without a kernel": (
        rewired(LAST, "body", with_node("TANH", op="COS")),
        "m.tflite: #0 WHILE: 1 operator has no compiled kernel: #5 COS",
    ),
}


@pytest.mark.parametrize("what", sorted(REFUSALS))
def test_refuses(what: str) -> None:
    graph, words = REFUSALS[what]
    with pytest.raises((Problem, Problems), match=re.escape(words)):
        operators(graph, "m.tflite")


@pytest.mark.parametrize("graph", list(known_ops()["WHILE"].cases(np.random.default_rng(8)))[2:5], ids=str)
def test_a_loop_goes_on_by_itself(graph: Graph) -> None:
    """The states are kept from hop to hop, with which every byte is that of the window's loop."""
    content, (window,) = flatbuffer.write(graph), windows(graph, 4)
    rows = graph.tensors[0].shape[1]
    case = hops_of(content, rows // 2 if rows % 2 == 0 else 1, window)
    assert [step.call.kernel for step in case.plan.steps if step.state_bytes] == ["nn_loop_kept_s8"]
    assert_same(python_answers(case), whole(content, window))


def test_a_loop_costs_as_often_as_it_has_rows_what_its_body_does() -> None:
    content = flatbuffer.write(EVERY)
    plan = compile_model(content, "m", core_of("cortex-m4"))
    (loop,) = plan.steps
    assert loop.body is not None and loop.body.predicted
    assert plan.predicted == EVERY.tensors[0].shape[1] * loop.body.predicted
    assert plan.weights_bytes > plan.steps[0].call.fields["start"].nbytes  # type: ignore[union-attr]
    text = sources(plan, content, "m")["model.c"]
    assert text.count("NN_STEP(") == 1 and text.count("NN_PART(") == len(loop.body.steps)
