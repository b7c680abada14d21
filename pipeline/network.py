"""The network in TensorFlow: made, loaded, saved, run. Only the stages up to quantize come here."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.files import needed
from pipeline.keras3 import activations, as_tf_keras, is_keras3
from pipeline.model_file import Source
from pipeline.problem import EXIT_TOOL, Problem
from pipeline.spec import Model
from pipeline.windows import given

Task = dict[str, Any]
# An LSTM like this becomes UNIDIRECTIONAL_SEQUENCE_LSTM.
FUSED_LSTM = {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True, "recurrent_dropout": 0.0}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what C++ code writes to stderr nowhere (TensorFlow logs before it can be told not to)."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def keras(seed: int) -> Any:
    """tf_keras with a fixed seed and deterministic operators; TensorFlow is imported here and not before."""
    os.environ.update(TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0")
    try:
        with quiet():
            import tensorflow as tf
            import tf_keras
    except ImportError as error:
        what = f"training needs TensorFlow and tf-keras: {error}"
        raise Problem("tensorflow", what, "run: pip install '.[train]'", EXIT_TOOL) from error
    tf.get_logger().setLevel("ERROR")
    tf_keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    activations(tf_keras)
    return tf_keras


def build_network(source: Source) -> Any:
    """The model's network, seeded, in tf_keras; a Problem when it is no network or does not fit the windows."""
    keras_ = keras(source.spec.seed)
    network = source.network()
    if is_keras3(network):
        network = as_tf_keras(network, keras_, source.path)
    if not isinstance(network, keras_.Model):
        made = f"{type(network).__module__.split('.')[0]} {type(network).__name__}"
        raise Problem(source.path, f"network() gives a {made}, not a Keras model", "return a Sequential or a Model")
    _check_edges(source, network)
    return network


def _check_edges(source: Source, network: Any) -> None:
    """The network's inputs are those of SPEC.window, and the judged output is the task's."""
    spec, edges = source.spec, (network.input, network.output)
    if any(isinstance(edge, dict) for edge in edges):
        hint = "return Model([a, b], [c, d]): windows and outputs are told apart by their order"
        raise Problem(source.path, "network() has its inputs or outputs in a dict", hint)
    takes, gives = ([tuple(each.shape[1:]) for each in tensors] for tensors in (network.inputs, network.outputs))
    if not 0 <= spec.output < len(gives):
        raise Problem(
            source.path, f"SPEC judges output {spec.output}, network() has {len(gives)}", "outputs count from 0"
        )
    wanted = spec.shape if spec.task == "anomaly" else (len(spec.labels),)
    if (tuple(takes), gives[spec.output]) != (spec.shapes, wanted):
        said, known = (" and ".join(map(str, shapes)) for shapes in (takes, spec.shapes))
        raise Problem(source.path, f"network() turns {said} into {gives[spec.output]}, SPEC says {known} into {wanted}")


def is_one_operator(layer: Any) -> bool:
    """Whether a recurrent layer is an LSTM that TensorFlow Lite has an operator for."""
    return type(layer).__name__ == "LSTM" and _is_fused(layer.get_config())


def _is_fused(config: Mapping[str, Any]) -> bool:
    return all(config[key] == value for key, value in FUSED_LSTM.items())


def unrolled(network: Any, loops: Collection[str] = ()) -> Any:
    """The same network with the recurrent layers as TensorFlow Lite takes them: LSTMs that become one operator, and
    those of these names, as they are, all others unrolled."""
    config = network.get_config()
    if not _roll(config, {name.removeprefix(way) for name in loops for way in ("", "forward_", "backward_")}):
        return network
    same = type(network).from_config(config)
    same.set_weights(network.get_weights())
    return same


def _roll(tree: Any, loops: Collection[str]) -> bool:
    """Set `unroll` of every layer in a config; whether that changed one."""
    if isinstance(tree, list | tuple):
        return any([_roll(each, loops) for each in tree])
    if not isinstance(tree, dict):
        return False
    inner = tree.get("config")
    if isinstance(inner, dict) and "unroll" in inner:
        stays = (tree["class_name"] == "LSTM" and _is_fused(inner)) or inner["name"] in loops
        before, inner["unroll"] = inner["unroll"], not stays
        return bool(before) == stays
    return any([_roll(each, loops) for each in tree.values()])


def outputs(network: Any, x: NDArray[np.float32], judged: int = 0) -> NDArray[np.float32]:
    """The network's outputs [n, *out] for windows [n, *shape]; of several outputs the judged one's."""
    made = network.predict(given(network, x), batch_size=256, verbose=0)
    return np.asarray(made[judged] if isinstance(made, list) else made, np.float32)


def task_of(spec: Model) -> Task:
    """The task as quantize.json holds it; thresholds come with `evaluate`."""
    task: Task = {"kind": spec.task, "labels": list(spec.labels), "output": spec.output}
    return task | ({"threshold": {}} if spec.task == "anomaly" else {})


def load_network(path: Path, made_by: str, seed: int) -> Any:
    """A network that a stage saved; a missing or broken file names the command that makes it."""
    try:
        return keras(seed).models.load_model(needed(path, made_by), compile=False)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise Problem(path, f"is not a network that tf_keras reads: {reason}", f"run: {made_by}") from error


def save_network(network: Any, path: Path) -> None:
    """Write a .keras file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        network.save(half)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
