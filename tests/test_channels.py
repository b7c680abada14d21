"""Channel pruning: which filters go, that nothing else changes, and which networks are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, stage

from pipeline import channels, metrics
from pipeline.cores import PORTABLE, core_of
from pipeline.network import keras, load_network, outputs
from pipeline.problem import Problem

M4 = core_of("cortex-m4")
DEAD = {"first": [0, 3, 5, 6], "second": [1, 2, 9, 11], "wide": [2, 4, 6, 8, 10, 12, 14, 15]}


@pytest.fixture(scope="module")
def tf_keras() -> Any:
    return keras(1)


def built(tf_keras: Any, functional: bool) -> Any:
    """All that a chain may have, with random weights; DEAD filters give zeros whatever comes."""
    layers, rng = tf_keras.layers, np.random.default_rng(4)
    stack = [
        layers.Conv2D(8, 3, padding="same", use_bias=False, name="first"),
        layers.BatchNormalization(scale=False, name="norm"),
        layers.ReLU(),
        layers.DepthwiseConv2D(3, strides=2, padding="same", name="apart"),
        layers.BatchNormalization(name="apart_norm"),
        layers.Conv2D(12, 1, activation="relu", name="second"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(16, activation="tanh", name="wide"),
        layers.Dropout(0.5),
        layers.Dense(5, activation="softmax", name="classes"),
    ]
    if functional:
        given = made = layers.Input((8, 12, 2))
        for layer in stack:
            made = layer(made)
        network = tf_keras.Model(given, made)
    else:
        network = tf_keras.Sequential([layers.Input((8, 12, 2)), *stack])
    dead = {**DEAD, **dict.fromkeys(("norm", "apart", "apart_norm"), DEAD["first"])}
    for layer in network.layers:
        weights = [rng.normal(0, 0.4, each.shape).astype(np.float32) for each in layer.get_weights()]
        for variable, each in zip(layer.weights, weights, strict=True):
            if "variance" in variable.name:
                each[:] = np.abs(each) + 0.2
            elif layer.name == "apart" and each.ndim > 1:
                continue
            elif layer.name in dead:
                each[..., dead[layer.name]] = 0
        layer.set_weights(weights)
    return network


def left(name: str, count: int) -> list[int]:
    return [i for i in range(count) if i not in DEAD[name]]


@pytest.mark.parametrize("functional", [False, True])
@pytest.mark.parametrize("core", [M4, PORTABLE], ids=lambda core: core.name)
def test_filters_of_zeros_go_first_and_change_nothing(tf_keras: Any, functional: bool, core: Any) -> None:
    network = built(tf_keras, functional)
    chain = channels.chain_of(network, "here")
    wanted = {name: left(name, count) for name, count in (("first", 8), ("second", 12), ("wide", 16))}
    share = 1 - chain.weights({name: np.array(each) for name, each in wanted.items()}) / chain.weights({})
    kept = channels.choose(chain, core, share - 1e-9, "here")
    assert {name: each.tolist() for name, each in kept.items()} == wanted
    thin = channels.smaller(tf_keras, network, chain, kept)
    shapes = {layer.name: layer.get_weights()[0].shape for layer in thin.layers if layer.get_weights()}
    assert shapes == {
        "first": (3, 3, 2, 4), "norm": (4,), "apart": (3, 3, 4, 1), "apart_norm": (4,), "second": (1, 1, 4, 8),
        "wide": (2 * 3 * 8, 8), "classes": (8, 5),
    }  # fmt: skip
    x = np.random.default_rng(5).normal(size=(20, 8, 12, 2)).astype(np.float32)
    np.testing.assert_allclose(outputs(thin, x), outputs(network, x), rtol=0, atol=1e-5)
    assert outputs(thin, x).std(axis=0).max() > 0.01
    rows = {row["layer"]: row for row in channels.savings(chain, kept, core)}
    assert all(row["bytes"] == np.prod(shapes[name]) < row["dense_bytes"] for name, row in rows.items())
    assert all(row["predicted"][1] < row["predicted"][0] for row in rows.values())
    assert (rows["apart"]["channels"], rows["classes"]["channels"]) == ([8, 4], [5, 5])


def test_the_layer_whose_channels_take_most_loses_them_first(tf_keras: Any) -> None:
    layers = tf_keras.layers
    stack = [layers.Input((64, 4)), layers.Conv1D(16, 1, name="often"), layers.GlobalAveragePooling1D()]
    network = tf_keras.Sequential([*stack, layers.Dense(16, name="once"), layers.Dense(2)])
    for layer in network.layers:
        layer.set_weights([np.ones_like(each) for each in layer.get_weights()])
    chain = channels.chain_of(network, "here")
    assert {name: len(each) for name, each in channels.choose(chain, M4, 0.2, "here").items()} == {
        "often": 12, "once": 16}  # fmt: skip
    all_gone = channels.choose(chain, M4, 0.99, "here")
    assert {name: len(each) for name, each in all_gone.items()} == {"often": 4, "once": 4}


def test_what_is_before_a_layer_that_is_not_known_stays_whole(tf_keras: Any) -> None:
    layers = tf_keras.layers
    stack = [layers.Input((8, 8)), layers.Conv1D(8, 3, name="before"), layers.LSTM(8), layers.Dense(8, name="behind")]
    stack += [layers.Dense(8, "softmax", name="mixed"), layers.Dense(2)]
    network = tf_keras.Sequential(stack)
    kept = channels.choose(channels.chain_of(network, "here"), M4, 0.9, "here")
    assert {name: len(each) for name, each in kept.items()} == {"behind": 4}
    thin = channels.smaller(tf_keras, network, channels.chain_of(network, "here"), kept)
    assert [layer.units for layer in thin.layers[1:]] == [8, 4, 8, 2]


def residual(layers: Any) -> tuple[Any, Any]:
    given = layers.Input((8, 4))
    made = layers.Conv1D(4, 1, name="convolved")(given)
    return given, layers.Add(name="sum")([given, made])


def joined(layers: Any) -> tuple[Any, Any]:
    given = [layers.Input((4,), name="one"), layers.Input((4,), name="two")]
    return given, layers.Concatenate(name="both")(given)


def shared(layers: Any) -> tuple[Any, Any]:
    given, layer = layers.Input((8,)), layers.Dense(8, name="twice")
    return given, layer(layer(given))


def two_outputs(layers: Any) -> tuple[Any, Any]:
    given = layers.Input((8,))
    made = layers.Dense(8)(given)
    return given, [made, layers.Dense(2)(made)]


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (residual, "channels are pruned in chains, and sum takes other than just what convolved gives"),
        (joined, "channels are pruned in chains, and two takes other than just what one gives"),
        (shared, "channels are pruned in chains, and twice takes other than just what .* gives"),
        (two_outputs, "channels are pruned in chains, and its network has several outputs"),
    ],
)
def test_a_network_that_is_no_chain_is_refused(tf_keras: Any, make: Callable[[Any], Any], what: str) -> None:
    with pytest.raises(Problem, match=what) as caught:
        channels.chain_of(tf_keras.Model(*make(tf_keras.layers)), "here")
    assert caught.value.hint == "prune it with --pattern unstructured or 2x2"


def test_a_network_of_one_layer_has_no_channels_to_lose(tf_keras: Any) -> None:
    network = tf_keras.Sequential([tf_keras.layers.Input((8,)), tf_keras.layers.Dense(8)])
    with pytest.raises(Problem, match="no layer of its network can lose channels"):
        channels.choose(channels.chain_of(network, "here"), M4, 0.5, "here")


def test_the_line_goes_on_with_the_smaller_network(tiny_copy: Path) -> None:
    (tiny_copy / "boards/cortex-m4.toml").write_text((ROOT / "boards/cortex-m4.toml").read_text())
    path, folder = tiny_copy / "models/tiny/model.py", tiny_copy / "build/tiny"
    text = path.read_text().replace("prune_epochs=2", "prune_epochs=12")
    # its test windows are louder than those that set the ranges, and with four channels that matters
    path.write_text(text.replace("minimum=0.6", "minimum=0.0").replace("drop_int8=0.4", "drop_int8=1.0"))
    before = json.loads((folder / "quantize.json").read_text())
    done = stage("prune", "tiny", "--board", "cortex-m4", "--pattern", "channels", cwd=tiny_copy)
    assert done.returncode == 0, done.stderr
    assert "channels for cortex-m4, 50.0% of the weights gone" in done.stdout and "4 of 8" in done.stdout
    facts = json.loads((folder / "prune.json").read_text())
    assert (facts["pattern"], facts["core"], facts["reached"]) == ("channels", "cortex-m4", 0.5)
    conv, classes = facts["saved"]
    assert (conv["channels"], conv["dense_bytes"], conv["bytes"]) == ([8, 4], 80, 40)
    assert (classes["channels"], classes["dense_bytes"], classes["bytes"]) == ([2, 2], 16, 8)
    assert conv["instructions"] < 0.8 and conv["predicted"][1] / conv["predicted"][0] == conv["instructions"]
    network = load_network(folder / "pruned.keras", "prune", 1)
    assert network.get_layer("conv").get_weights()[0].shape == (5, 2, 4)
    done = stage("quantize", "tiny", cwd=tiny_copy)
    assert done.returncode == 0, done.stderr
    after = json.loads((folder / "quantize.json").read_text())
    assert after["tflite_bytes"] < before["tflite_bytes"] and after["output"]["shape"] == before["output"]["shape"]
    reference = np.load(folder / "reference.npz")
    x, y = (metrics.dequantize(reference[f"{edge}s"], after[edge]) for edge in ("input", "output"))
    np.testing.assert_allclose(y, outputs(network, x), rtol=0, atol=0.05)
    assert y[:, 0].std() > 0.1
    (tiny_copy / "firmware").symlink_to(ROOT / "firmware")
    assert stage("generate", "tiny", "--board", "cortex-m4", cwd=tiny_copy).returncode == 0
    plan = json.loads((folder / "cortex-m4-compiled/plan.json").read_text())
    taken = next(each for each in plan["operators"] if "conv2d" in each["kernel"])
    assert taken["predicted"] == pytest.approx(conv["predicted"][1], rel=0.15)
