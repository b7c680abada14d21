"""Pruning: the sparsity is reached, is in the file, and its price is checked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, copy_tiny, stage

from pipeline import prune, saving
from pipeline.cores import CORES, PORTABLE, core_of
from pipeline.model_file import load_model
from pipeline.problem import Problem


class Layer:
    def __init__(self, name: str, *weights: list[object]) -> None:
        self.name, self.weights = name, [np.array(w, np.float32) for w in weights]

    def get_weights(self) -> list[np.ndarray]:
        return self.weights


class Dense(Layer):
    output_shape = (None, 64)


class Network:
    def __init__(self, *layers: Layer) -> None:
        self.layers = layers


def test_the_sparsity_table_counts_zeros_of_matrices_only() -> None:
    before = Network(Layer("dense", [[1, 0], [1, 1]], [0, 0]), Layer("norm", [0, 1]))
    after = Network(Layer("dense", [[0, 0], [0, 1]], [0, 0]), Layer("norm", [0, 0]))
    table = prune.sparsity_table(before, after)
    assert table == [{"layer": "dense", "before": 0.25, "after": 0.75, "weights": 4}]


def test_overall_sparsity_weighs_layers_by_their_size() -> None:
    table = [{"before": 0, "after": 1.0, "weights": 1}, {"before": 0, "after": 0.0, "weights": 3}]
    assert prune.overall(table) == 0.25


def test_tiny_reaches_its_sparsity_in_each_layer(tiny_trained: Path) -> None:
    facts = json.loads((tiny_trained / "build/tiny/prune.json").read_text())
    assert [row["layer"] for row in facts["sparsity"]] == ["conv", "classes"]
    assert all(row["before"] < 0.1 and row["after"] >= 0.49 for row in facts["sparsity"])
    assert facts["reached"] >= facts["target"] - prune.SLACK
    assert set(facts["metrics"]) == {"float", "pruned"}


@pytest.mark.parametrize(("name", "least"), [("rehab", 0.81), ("bearing", 0.94)])
def test_the_built_in_models_keep_their_accuracy_at_their_sparsity(
    name: str, least: float, trained: Callable[[str], Path]
) -> None:
    facts = json.loads((trained(name) / "prune.json").read_text())
    assert facts["reached"] >= least
    assert all(row["after"] >= least for row in facts["sparsity"])
    limits = json.loads((trained(name) / "quantize.json").read_text())["limits"]
    before, after = (facts["metrics"][rung][limits["metric"]] for rung in ("float", "pruned"))
    assert before - after <= limits["drop_pruned"] and after >= limits["minimum"]


def test_too_large_a_drop_is_exit_1_says_by_how_much_and_still_prints_the_table(tiny_copy: Path) -> None:
    path = tiny_copy / "models/tiny/model.py"
    path.write_text(path.read_text().replace("drop_pruned=0.4", "drop_pruned=-0.5"))
    done = stage("prune", "tiny", cwd=tiny_copy)
    assert done.returncode == 1
    assert "limit missed: tiny pruned: accuracy drops by " in done.stderr
    assert "more than the limit -0.5" in done.stderr
    assert "zeros before" in done.stdout
    assert "50.0%" in done.stdout


def pruned_for(root: Path, board: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    shutil.copy(ROOT / "boards" / f"{board}.toml", root / "boards")
    done = stage("prune", "tiny", "--board", board, cwd=root)
    return done, json.loads((root / "build/tiny/prune.json").read_text())


def test_a_model_that_gains_nothing_on_the_board_is_not_called_pruned(tiny_copy: Path) -> None:
    path = tiny_copy / "models/tiny/model.py"
    path.write_text(path.read_text().replace("sparsity=0.5", "sparsity=0.1"))
    done, _ = pruned_for(tiny_copy, "cortex-m4")
    assert done.returncode == 1
    assert "pruning saves neither flash nor instructions on cortex-m4" in done.stderr


def test_zeros_are_where_the_boards_core_can_skip_them(tiny_copy: Path) -> None:
    path = tiny_copy / "models/tiny/model.py"
    path.write_text(path.read_text().replace("sparsity=0.5", "sparsity=0.7"))
    done, facts = pruned_for(tiny_copy, "cortex-m4")
    assert "pruning saves neither" not in done.stderr
    assert (facts["pattern"], facts["core"]) == ("2x2", "cortex-m4")
    conv = facts["saved"][0]
    assert (conv["layer"], conv["format"], conv["dense_bytes"]) == ("conv", "sparse", 80)
    assert conv["bytes"] <= 4 + 7 * 5  # four pairs of outputs, seven of 24 words
    _, facts = pruned_for(tiny_copy, "host")  # no zeros are skipped there: whether they pay is another core's to say
    assert facts["pattern"] == "unstructured" and facts["core"] != "host"


def test_a_models_pattern_is_noted_anew_where_another_core_wants_another(tiny_copy: Path) -> None:
    path, seen = tiny_copy / "build/tiny/pattern", []
    for board in ("cortex-m4", "nano33ble", "rv32"):
        shutil.copy(ROOT / "boards" / f"{board}.toml", tiny_copy / "boards")
        assert stage("pattern", "tiny", "--board", board, cwd=tiny_copy).returncode == 0
        seen.append((path.read_text(), path.stat().st_mtime_ns))
    assert seen[0] == seen[1] and [text for text, _ in seen] == ["2x2\n", "2x2\n", "unstructured\n"]
    assert stage("pattern", "tiny", "--board", "rv32", "--pattern", "2x2", cwd=tiny_copy).returncode == 0
    assert path.read_text() == "2x2\n"


def test_zeros_gain_nothing_on_any_core_with_16_bit_activations(tiny_project: Path) -> None:
    spec, target = load_model("tiny").spec, core_of("rv32imc")
    assert prune.candidates(spec, target) == [target] and len(prune.candidates(spec, PORTABLE)) == len(CORES)
    wide = replace(spec, activations=16)
    assert not any(core.sparse for board in (target, PORTABLE) for core in prune.candidates(wide, board))
    network = Network(Dense("wide", np.eye(64), np.zeros(64)))
    assert [saving.savings(network, core)[0]["format"] for core in (target, *prune.candidates(wide, target))] == [
        "sparse",
        "dense",
    ]


def test_a_broken_network_file_names_the_stage_that_makes_it(tiny_copy: Path) -> None:
    (tiny_copy / "build/tiny/float.keras").write_bytes(b"half a file")
    done = stage("prune", "tiny", cwd=tiny_copy)
    assert done.returncode == 2
    assert "float.keras: is not a network that tf_keras reads" in done.stderr
    assert "hint: run: python -m pipeline.train tiny" in done.stderr


def test_says_that_the_model_must_be_trained_first(tiny_project: Path) -> None:
    with pytest.raises(Problem, match=r"train\.json: does not exist yet") as caught:
        prune.prune("tiny")
    assert caught.value.hint == "run: python -m pipeline.train tiny"


def test_without_tfmot_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorflow_model_optimization.py").write_text("raise ImportError('No module named tfmot')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(Problem, match="pruning needs tensorflow-model-optimization: No module named tfmot") as caught:
        prune.toolkit()
    assert caught.value.code == 4


def layers_instead(text: str, lines: str) -> str:
    text = text.replace("minimum=0.6", "minimum=0.0").replace("prune_epochs=2", "prune_epochs=8")
    return re.sub(r"layers\.Conv1D.*?GlobalAveragePooling1D\(\),\n.*?Dense.*?\n", lines, text, flags=re.DOTALL)


def test_layers_that_tfmot_does_not_know_keep_their_weights(tmp_path: Path) -> None:
    lines = 'layers.DepthwiseConv1D(3, name="depthwise"), layers.Flatten(), layers.Dense(64, name="hidden"),'
    lines += 'layers.Dense(2, "softmax"),'
    root = copy_tiny(tmp_path, lambda text: layers_instead(text, lines))
    assert stage("train", "tiny", cwd=root).returncode == 0
    done = stage("prune", "tiny", cwd=root)
    assert done.returncode == 0 or "pruning saves neither" in done.stderr  # so small a dense layer stays dense
    facts = json.loads((root / "build/tiny/prune.json").read_text())
    zeros = {row["layer"]: row["after"] for row in facts["sparsity"]}
    assert zeros["hidden"] == pytest.approx(0.5, abs=0.01) and zeros["depthwise"] < 0.1
    assert facts["reached"] == pytest.approx(0.5, abs=prune.SLACK)


def test_a_network_without_a_layer_to_prune_is_refused(tmp_path: Path) -> None:
    lines = "layers.DepthwiseConv1D(3), layers.GlobalAveragePooling1D(), layers.Softmax(),"
    root = copy_tiny(tmp_path, lambda text: layers_instead(text, lines))
    assert stage("train", "tiny", cwd=root).returncode == 0
    done = stage("prune", "tiny", cwd=root)
    assert done.returncode == 2
    assert "no layer of its network can be pruned" in done.stderr
    assert "hint: write sparsity=0" in done.stderr
