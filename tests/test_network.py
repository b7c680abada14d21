"""What network() may give, and what comes of one that cannot be fitted. TensorFlow runs in a child process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, TINY, copy_tiny, stage

from pipeline.problem import gist

# name: statements that end in what network() gives, of k (tf_keras), l (its layers) and tf
NETWORKS = {
    "bare": "k.Sequential([l.Flatten(), l.Dense(2, 'softmax')])",
    "own": "Own()",
    "layer": "k.Sequential([l.Input((32, 2)), l.Flatten(), Mine(name='mine'), l.Dense(2, 'softmax')])",
    "nested": "k.Sequential([l.Input((32, 2)), k.Sequential([Mine(name='deep')]), l.Flatten(), l.Dense(2, 'softmax')])",
    "lambda": "k.Sequential([l.Input((32, 2)), l.Flatten(), l.Lambda(abs, name='abs'), l.Dense(2, 'softmax')])",
    "half": "k.Sequential([l.Input((32, 2)), l.Flatten(), l.Dense(2, 'softmax', dtype='mixed_float16', name='half')])",
    "function": "k.Sequential([l.Input((32, 2)), l.Flatten(), l.Dense(2, tf.nn.log_softmax)])",
    "frozen": "k.Sequential([l.Input((32, 2)), l.Flatten(), l.Dense(2, 'softmax', trainable=False)])",
    "logits": "k.Sequential([l.Input((32, 2)), l.Flatten(), l.Dense(2)])",
    "nan": "k.Sequential([l.Input((32, 2)), l.Flatten(), l.Dense(2, 'softmax', bias_initializer=NAN)])",
    "index": "k.Sequential([l.Input((32, 2)), l.Flatten(), l.Embedding(4, 2), l.Flatten(), l.Dense(2, 'softmax')])",
    "fine": "k.Sequential([l.Input((32, 2)), l.Flatten(), l.Dense(2, 'softmax')])",
}
CHILD = """
import json, sys
import numpy as np
from dataclasses import replace
from pipeline.model_file import load_model
from pipeline.network import build_network, check_outputs, keras
from pipeline.problem import Problem

k = keras(0)
import tensorflow as tf
l = k.layers
NAN = k.initializers.Constant(float('nan'))

class Mine(l.Layer):
    def call(self, x):
        return x * 2

class Own(k.Model):
    def call(self, x):
        return x

def told(text):
    source = replace(load_model("tiny"), network=lambda: eval(text))
    try:
        check_outputs(source, build_network(source), np.linspace(-9, 9, 4 * 64, dtype=np.float32).reshape(4, 32, 2))
    except Problem as problem:
        return problem.lines()
    return ["fine"]

json.dump({name: told(text) for name, text in json.load(sys.stdin).items()}, sys.stdout)
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    root = copy_tiny(tmp_path_factory.mktemp("network") / "project")
    done = subprocess.run([sys.executable, "-c", CHILD], cwd=root, input=json.dumps(NETWORKS), capture_output=True,
                          text=True, env={"PYTHONPATH": str(ROOT)}, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("bare", "network() gives a Sequential that does not say what it takes"),
        ("own", "network() gives a Own that does not say what it takes"),
        ("layer", "layer mine is a Mine, which prune cannot load again"),
        ("nested", "layer deep is a Mine, which prune cannot load again"),
        ("lambda", "layer abs is a Lambda, which prune cannot load again"),
        ("half", "layer half computes in float16"),
        ("function", "network() gives one that cannot be saved and loaded again: "),
        ("frozen", "network() has no weights that are trainable"),
        ("logits", ", not probabilities"),
        ("nan", "gives outputs that are not finite"),
        ("index", "cannot be run on windows: indices["),
        ("fine", "fine"),
    ],
)
def test_a_network_that_later_stages_could_not_take_is_refused_first(
    told: dict[str, list[str]], name: str, what: str
) -> None:
    first, *hint = told[name]
    assert what in first
    assert len(first) < 400 and len(hint) == (name not in ("index", "fine"))


def test_says_what_it_does_not_take_as_it_was_built_in_keras_3(tmp_path: Path) -> None:
    text = (TINY / "model.py").read_text().replace("import tf_keras\n", "import keras as tf_keras\n")
    root = copy_tiny(tmp_path / "project", lambda _: text.replace("        layers.Input((32, 2)),\n", ""))
    done = stage("train", "tiny", cwd=root)
    assert done.returncode == 2
    assert "network() gives a Sequential that does not say what it takes" in done.stderr
    assert "hint: begin a Sequential with layers.Input((32, 2)), or return Model(inputs, outputs)\n" in done.stderr


def test_a_training_that_diverges_stops_and_leaves_what_there_was(tiny_copy: Path) -> None:
    path, network = tiny_copy / "models/tiny/model.py", tiny_copy / "build/tiny/float.keras"
    before = network.read_bytes()
    path.write_text(path.read_text().replace(", rate=1e-2", ", rate=1e30"))
    done = stage("train", "tiny", cwd=tiny_copy)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-2:] == [
        "error: tiny: training: loss is nan in epoch 1", "  hint: try a lower rate than 1e+30"
    ]  # fmt: skip
    assert network.read_bytes() == before


def test_what_goes_wrong_in_the_middle_of_fitting_is_told_too(tmp_path: Path) -> None:
    late = "windows, random, calls=[]):\n    calls.append(1)\n    if len(calls) > 3: return None"
    root = copy_tiny(tmp_path / "project", lambda text: text.replace("windows, random):", late))
    done = stage("train", "tiny", cwd=root)
    assert done.returncode == 2
    assert "error: tiny: training: the network cannot be fitted: " in done.stderr
    assert "augment() gives a NoneType for windows (16, 32, 2)" in done.stderr and "Traceback" not in done.stderr


def test_of_a_long_message_the_line_is_told_that_says_what_is_wrong() -> None:
    long = "Graph execution error:\n\nDetected at node\nindices[0,4] = -1 is not in [0, 10)\n\t [[{{node x}}]]"
    assert gist(ValueError(long)) == "indices[0,4] = -1 is not in [0, 10)"
    user = 'in user code:\n\n    File "m.py", line 3\n\n    ValueError: no\n\n    Call arguments received by layer'
    assert gist(ValueError(user)) == "ValueError: no"
    assert gist(KeyError()) == "KeyError"
