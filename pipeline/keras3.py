"""A Keras 3 network as the tf_keras network of the same layers and weights, which pruning needs; proven on numbers."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.problem import Problem

TOLERANCE = 1e-4  # of the largest output: float32 summed in another order
HINT = "build it from layers that Keras 2 has too, import tf_keras instead, or bring your own .tflite (README, READY)"
ALWAYS = ("name", "trainable", "activity_regularizer")
RENAMED = {("LeakyReLU", "negative_slope"): "alpha"}
HARD = {"hard_sigmoid": "hard_sigmoid", "hard_silu": "hard_silu", "hard_swish": "hard_silu"}


@cache
def activations(tf_keras: Any) -> dict[str, Any]:
    """Keras 3's functions that tf_keras lacks or means otherwise, registered so that it saves and loads them."""

    def hard_sigmoid(x: Any) -> Any:
        return tf_keras.backend.relu(x + 3.0, max_value=6.0) / 6.0

    def hard_silu(x: Any) -> Any:
        return x * hard_sigmoid(x)

    register = tf_keras.saving.register_keras_serializable("keras3")
    return {function.__name__: register(function) for function in (hard_sigmoid, hard_silu)}


def is_keras3(network: Any) -> bool:
    """Whether it is a model of Keras 3: its classes come from the package keras."""
    return any(cls.__module__.split(".")[0] == "keras" and cls.__name__ == "Model" for cls in type(network).__mro__)


def as_tf_keras(network: Any, tf_keras: Any, where: Path | str) -> Any:
    """The same network in tf_keras, with its weights; a Problem where that is not to be had."""
    try:
        made = _Rebuild(tf_keras, where).model(type(network).__name__, network.get_config())
        _copy_weights(network, made)
        apart = _difference(network, made)
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise Problem(where, f"its Keras 3 network cannot be rebuilt in tf_keras: {reason}", HINT) from error
    if not apart <= TOLERANCE:
        what = f"its Keras 3 network gives other outputs when it is rebuilt in tf_keras: {apart:.2g} of the largest"
        raise Problem(where, what, HINT)
    return made


class _Rebuild:
    """Layers and models of tf_keras from what Keras 3's get_config() says of its own."""

    def __init__(self, tf_keras: Any, where: Path | str) -> None:
        self._keras, self._where = tf_keras, where
        self._activations = activations(tf_keras)

    def model(self, kind: str, config: Mapping[str, Any]) -> Any:
        """A Sequential or Functional model from its config."""
        if "layers" not in config:
            raise Problem(self._where, f"its Keras 3 network is a class of its own, {kind}", HINT)
        if kind == "Sequential":
            return self._sequential(config)
        return self._functional(config)

    def _sequential(self, config: Mapping[str, Any]) -> Any:
        made = self._keras.Sequential([self._object(each) for each in config["layers"]], name=config["name"])
        if not made.built:
            made.build(config["build_input_shape"])
        return made

    def _functional(self, config: Mapping[str, Any]) -> Any:
        specs = {spec["name"]: spec for spec in config["layers"]}
        layers = {name: self._object(spec) for name, spec in specs.items()}
        made: dict[tuple[str, int], Any] = {}

        def tensor(name: str, node: int, slot: int) -> Any:
            if specs[name]["class_name"] == "InputLayer":
                return layers[name].output
            if (name, node) not in made:
                call = specs[name]["inbound_nodes"][node]
                made[name, node] = layers[name](*filled(call["args"]), **filled(call["kwargs"]))
            found = made[name, node]
            return found[slot] if isinstance(found, list | tuple) else found

        def filled(tree: Any) -> Any:
            if isinstance(tree, Mapping) and tree.get("class_name") == "__keras_tensor__":
                return tensor(*tree["config"]["keras_history"])
            if isinstance(tree, Mapping):
                return {key: filled(each) for key, each in tree.items() if each is not None}
            return [filled(each) for each in tree] if isinstance(tree, list | tuple) else tree

        def edge(tree: Any) -> Any:
            return tensor(*tree) if isinstance(tree[0], str) else [edge(each) for each in tree]

        return self._keras.Model(edge(config["input_layers"]), edge(config["output_layers"]), name=config["name"])

    def _object(self, spec: Mapping[str, Any]) -> Any:
        """A layer, or a model within the model."""
        kind, config = spec["class_name"], spec["config"]
        if "layers" in config:
            return self.model(kind, config)
        if kind == "InputLayer":
            return self._keras.layers.InputLayer(batch_input_shape=config["batch_shape"], name=config["name"])
        cls = getattr(self._keras.layers, kind, None)
        if cls is None or not str(spec["module"]).startswith("keras."):
            raise Problem(
                self._where, f"its layer {config.get('name', kind)} is a {kind}, which tf_keras has not", HINT
            )
        known = {name for each in cls.__mro__ for name in inspect.signature(each.__init__).parameters} | {*ALWAYS}
        named = {RENAMED.get((kind, key), key): value for key, value in config.items()}
        return cls(**{key: self._value(value) for key, value in named.items()
                      if key in known and key != "dtype" and not key.endswith("_initializer")})  # fmt: skip

    def _value(self, value: Any) -> Any:
        """A setting: layers and activations inside it are tf_keras's."""
        if isinstance(value, Mapping) and str(value.get("module")).startswith(("keras.layers", "keras.models")):
            return self._object(value)
        if isinstance(value, list):
            return [self._value(each) for each in value]
        return self._activations[HARD[value]] if isinstance(value, str) and value in HARD else value


def _copy_weights(theirs: Any, ours: Any) -> None:
    """Layer by layer, by name."""
    for layer in theirs.layers:
        mine = ours.get_layer(layer.name)
        if hasattr(layer, "layers") and hasattr(mine, "layers"):
            _copy_weights(layer, mine)
        else:
            weights, shapes = layer.get_weights(), [weight.shape for weight in mine.get_weights()]
            if [weight.shape for weight in weights] != shapes:
                raise ValueError(f"{layer.name} has other weights there")
            mine.set_weights(weights)


def _difference(theirs: Any, ours: Any) -> float:
    """How far apart the outputs for a few random windows are, as a share of the largest."""
    rng = np.random.default_rng(0)
    windows = [rng.normal(0, 1, (4, *tensor.shape[1:])).astype(np.float32) for tensor in theirs.inputs]
    given = windows if len(windows) > 1 else windows[0]
    pairs = [each if isinstance(each, list) else [each] for each in (theirs(given), ours(given))]
    reals = [np.concatenate([np.asarray(part).ravel() for part in each]) for each in pairs]
    return float(np.max(np.abs(reals[0] - reals[1])) / max(1e-6, np.max(np.abs(reals[0]))))
