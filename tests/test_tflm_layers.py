"""TFLite Micro's operators one by one: on the Cortex-M4 with the user's library, and the wrong one named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_tflm_library import firmware_of, library, run, spoil  # noqa: F401
from test_tflm_types import ARENA

from pipeline import layers, tflm, words
from pipeline.flatbuffer import read
from pipeline.layers import Step

# The dense layer's own kernel, and a wrong rounding behind it: every third value is one less.
PLANTED = """
inline TfLiteStatus truncate(TfLiteContext *context, TfLiteNode *node)
{
    const TfLiteStatus status = tflite::Register_FULLY_CONNECTED_INT8().invoke(context, node);
    TfLiteEvalTensor *output = context->GetEvalTensor(context, node->outputs->data[0]);

    for (int i = 0; i < output->dims->data[output->dims->size - 1]; i += 3) {
        output->data.int8[i] = static_cast<int8_t>(output->data.int8[i] - (output->data.int8[i] > -128));
    }
    return status;
}

inline TFLMRegistration planted()
{
    TFLMRegistration registration = tflite::Register_FULLY_CONNECTED_INT8();

    registration.invoke = truncate;
    return registration;
}

using model_resolver_t"""


def report_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


@pytest.mark.usefixtures("library")
def test_the_report_profiles_tflite_micros_operators(trained: Callable[[str], Path], tmp_path: Path) -> None:
    folder = firmware_of("bearing", trained, tmp_path)
    run("build", "bearing", tmp_path)
    said = run("hil", "bearing", tmp_path, "--windows", "9", "--layers")
    assert "equals the reference" in said
    steps = report_of(folder)["layers"]["steps"]
    assert [step["op"] for step in steps] == ["FULLY_CONNECTED"] * 4
    assert sum(step["share"] for step in steps) == pytest.approx(1)
    assert [step["macs"] for step in steps] == [128 * 32, 32 * 8, 8 * 32, 32 * 128]
    assert all(step["ticks"] > step["macs"] for step in steps)
    assert steps[0]["weights_bytes"] == 128 * 32 + 4 * 32 and steps[0]["zeros"] > 0.4


@pytest.mark.usefixtures("library")
def test_a_wrong_rounding_in_a_kernel_of_the_library_is_found(tiny_trained: Path, tmp_path: Path) -> None:
    folder = firmware_of("tiny", lambda _: tiny_trained / "build" / "tiny", tmp_path)
    spoil(folder, "resolver.h", r"AddFullyConnected\(.*\)\);", "AddFullyConnected(planted()));")
    spoil(folder, "resolver.h", r"^using model_resolver_t", PLANTED)
    run("build", "tiny", tmp_path)
    said = run("hil", "tiny", tmp_path, codes=(1,))
    report = report_of(folder)
    first = report["layers"]["first"]
    assert (report["verdict"], first["op"]) == ("fail", "FULLY_CONNECTED")
    assert (first["largest"], first["wrong_inputs"]) == (1, 0)
    place = [step["op"] for step in report["layers"]["steps"]].index("FULLY_CONNECTED")
    assert first["index"] == place > 0
    assert f"step {place} FULLY_CONNECTED {first['name']} is the first that differs" in said
    assert (Path(first["folder"]) / "model.tflite").exists()


@pytest.mark.usefixtures("library")
def test_a_library_without_its_profiler_says_so(trained: Callable[[str], Path], tmp_path: Path) -> None:
    folder = firmware_of("bearing", trained, tmp_path)
    layers_cc = tmp_path / "firmware" / "runtimes" / "tflm" / "layers.cc"
    layers_cc.write_text(layers_cc.read_text().replace("return new (profiler_place) Profiler;", "return nullptr;"))
    run("build", "bearing", tmp_path)
    run("hil", "bearing", tmp_path, "--windows", "9")
    report = report_of(folder)
    assert report["verdict"] == "pass"
    assert "was built without its profiler (TF_LITE_STRIP_ERROR_STRINGS)" in report["layers"]["words"]


def test_an_operator_of_several_outputs_is_a_step_for_each() -> None:
    from ops.cases_project import cases_of

    graph = read(cases_of("SPLIT")[0].content)
    operators = tflm.plan_json(graph, b"", ARENA, {})["operators"]
    (node,) = (node for node in graph.nodes if node.op == "SPLIT")
    assert [step["output"] for step in operators if step["op"] == "SPLIT"] == list(node.outputs)
    assert [step["index"] for step in operators] == list(range(len(operators)))


def test_steps_that_nobody_timed_have_no_ticks() -> None:
    model: Any = SimpleNamespace(plan={"operators": [{"index": 0, "op": "ADD", "name": "add", "macs": 9}]})
    (untimed,) = layers.profile([Step(0, 0)], model, 1.0)
    assert (untimed["ticks"], untimed["share"], untimed["ticks_per_mac"]) == (None, None, None)
    said = words.layers({"words": "", "steps": [untimed]})
    assert said == "no ticks: this device does not time its steps, or none took a tick"
    (timed,) = layers.profile([Step(18, 0)], model, 1.0)
    assert words.layers({"words": "right", "steps": [timed]}) == "right; add 100 % (2 a MAC)"
