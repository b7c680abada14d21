"""The network in TensorFlow: made, loaded, saved, run. Only the stages up to quantize come here."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.cores import PATTERNS
from pipeline.files import needed
from pipeline.keras3 import activations, as_tf_keras, is_keras3
from pipeline.model_file import Source
from pipeline.problem import EXIT_TOOL, Problem, gist
from pipeline.spec import Model
from pipeline.windows import given

Task = dict[str, Any]
MOST = 1.001  # that a probability may be, rounded
CHECKED = 64  # windows, before anything is fitted
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
        if type(network).__name__ == "Sequential" and not network.built:
            raise _unknown_inputs(source, network)
        network = as_tf_keras(network, keras_, source.path)
    if not isinstance(network, keras_.Model):
        made = f"{type(network).__module__.split('.')[0]} {type(network).__name__}"
        raise Problem(source.path, f"network() gives a {made}, not a Keras model", "return a Sequential or a Model")
    if not network.inputs:
        raise _unknown_inputs(source, network)
    _check_edges(source, network)
    _check_saved(source, network, keras_)
    if source.spec.training.epochs and not network.trainable_weights:
        hint = "one that is trained already says Training(epochs=0)"
        raise Problem(source.path, "network() has no weights that are trainable", hint)
    return network


def _unknown_inputs(source: Source, network: Any) -> Problem:
    what = f"network() gives a {type(network).__name__} that does not say what it takes"
    hint = f"begin a Sequential with layers.Input({source.spec.shapes[0]}), or return Model(inputs, outputs)"
    return Problem(source.path, what, hint)


def _check_saved(source: Source, network: Any, keras_: Any) -> None:
    """The network is one that the next stages can load: its layers are of Keras, and in float32."""
    inner = [layer for layer in network.submodules if isinstance(layer, keras_.layers.Layer)]
    for layer in inner:
        if type(layer).__module__.split(".")[0] != "tf_keras" or type(layer).__name__ == "Lambda":
            what = f"layer {layer.name} is a {type(layer).__name__}, which prune cannot load again"
            raise Problem(source.path, what, "take a layer of Keras, or compute it in windows()")
        if layer.compute_dtype in ("float16", "bfloat16", "float64"):
            what = f"layer {layer.name} computes in {layer.compute_dtype}"
            raise Problem(source.path, what, "quantization begins with float32")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.keras"
        try:
            network.save(path)
            keras_.models.load_model(path, compile=False)
        except Exception as error:  # any: Keras has one for each layer
            what = f"network() gives one that cannot be saved and loaded again: {gist(error)}"
            raise Problem(source.path, what, 'activations by name: "relu6" for tf.nn.relu6') from error


def check_outputs(source: Source, network: Any, x: NDArray[np.float32]) -> None:
    """What is fine-tuned gives probabilities for windows, where it tells classes: its loss is made for them."""
    spec = source.spec
    if spec.task == "classification" and (spec.training.epochs or any(map(spec.share, PATTERNS))):
        made = outputs(network, x[:CHECKED], spec.output)
        if made.min() < 0 or made.max() > MOST:
            what = f"network() gives {made.min():.3g} to {made.max():.3g}, not probabilities"
            raise Problem(source.path, what, 'end it with activation="softmax"')


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
    where = f"network {network.name}"
    try:
        made = network.predict(given(network, x), batch_size=256, verbose=0)
    except Exception as error:  # any: a layer may raise what it likes
        raise Problem(where, f"cannot be run on windows: {gist(error)}") from error
    found = np.asarray(made[judged] if isinstance(made, list) else made, np.float32)
    if not np.isfinite(found).all():
        raise Problem(
            f"network {network.name}", "gives outputs that are not finite", "are its weights nan or infinite?"
        )
    return found


def task_of(spec: Model) -> Task:
    """The task as quantize.json holds it; thresholds come with `evaluate`."""
    task: Task = {"kind": spec.task, "labels": list(spec.labels), "output": spec.output}
    return task | ({"threshold": {}} if spec.task == "anomaly" else {})


def check_task(source: Source, task: Task, path: Path, made_by: str) -> None:
    """A Problem where the task that an earlier stage wrote is not that of the model's file any more."""
    for key, known in {**task_of(source.spec), "threshold": task.get("threshold")}.items():
        if task.get(key) != known:
            what = f"is of a network whose {key} was {task.get(key)}, the model's file says {known}"
            raise Problem(path, what, f"run: {made_by}")


def load_network(path: Path, made_by: str, seed: int) -> Any:
    """A network that a stage saved; a missing or broken file names the command that makes it."""
    try:
        return keras(seed).models.load_model(needed(path, made_by), compile=False)
    except Problem:
        raise
    except Exception as error:  # any: what a damaged file leads to
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise Problem(path, f"is not a network that tf_keras reads: {said}", f"run: {made_by}") from error


def save_network(network: Any, path: Path) -> None:
    """Write a .keras file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        network.save(half)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
