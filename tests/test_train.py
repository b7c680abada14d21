"""Training: what it writes, that it repeats, and how it fails. TensorFlow runs in child processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import copy_tiny, stage

from pipeline import curve, fit, folds, train
from pipeline.problem import Problem


def test_writes_history_metrics_and_the_curve(tiny_trained: Path) -> None:
    folder = tiny_trained / "build/tiny"
    facts = json.loads((folder / "train.json").read_text())
    assert set(facts["history"]) == {"loss", "accuracy", "val_loss", "val_accuracy", "lr"}
    assert set(facts["metrics"]) == {"accuracy", "macro_f1", "confusion"}
    assert facts["parameters"] == 130
    assert facts["metrics"]["accuracy"] >= 0.6
    assert np.sum(facts["metrics"]["confusion"]) == 58
    assert (folder / "train.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_gives_the_same_network(tiny_trained: Path, tmp_path: Path) -> None:
    again = copy_tiny(tmp_path / "again")
    assert stage("train", "tiny", cwd=again).returncode == 0
    first, second = (json.loads((root / "build/tiny/train.json").read_text()) for root in (tiny_trained, again))
    assert first["history"] == second["history"]
    assert first["metrics"] == second["metrics"]


def test_keeps_the_epoch_with_the_least_validation_loss(tiny_trained: Path) -> None:
    facts = json.loads((tiny_trained / "build/tiny/train.json").read_text())
    assert facts["kept_epoch"] == 1 + int(np.argmin(facts["history"]["val_loss"]))


def test_a_missed_limit_is_exit_1_says_by_how_much_and_leaves_stdout_to_the_result(tmp_path: Path) -> None:
    root = copy_tiny(
        tmp_path / "strict", lambda text: text.replace("minimum=0.6", "minimum=1.0").replace("epochs=3", "epochs=1")
    )
    done = stage("train", "tiny", "--json", cwd=root)
    assert done.returncode == 1
    accuracy = json.loads(done.stdout)["metrics"]["accuracy"]
    *progress, missed = done.stderr.splitlines()
    assert missed == f"limit missed: tiny float: accuracy {accuracy:.4f} is {1.0 - accuracy:.4f} below the limit 1.0"
    assert progress[:2] == ["tiny: cutting windows", "tiny: training: 1 to do"]
    assert all(line.startswith("tiny: ") for line in progress)


def test_folds_test_every_group_once_and_give_mean_and_spread(tmp_path: Path) -> None:
    root = copy_tiny(tmp_path / "project", lambda text: text.replace("epochs=3", "epochs=1"))
    done = stage("train", "tiny", "--folds", "3", cwd=root)
    assert done.returncode == 0, done.stderr
    result = json.loads((root / "build/tiny/folds.json").read_text())
    assert sorted(name for fold in result["folds"] for name in fold["test"]) == [f"person {i}" for i in range(5)]
    accuracies = [fold["accuracy"] for fold in result["folds"]]
    assert result["summary"]["accuracy"]["mean"] == pytest.approx(np.mean(accuracies))
    assert result["summary"]["accuracy"]["spread"] == pytest.approx(np.std(accuracies, ddof=1))
    assert "±" in done.stdout
    assert not (root / "build/tiny/float.keras").exists()


@pytest.mark.parametrize("count", ["2", "6"])
def test_refuses_a_number_of_folds_that_the_groups_do_not_give(tiny_project: Path, count: str) -> None:
    with pytest.raises(Problem, match=f"cannot make {count} folds of 5 groups"):
        train.main(["tiny", "--folds", count])


def test_refuses_folds_of_an_anomaly_model(tiny_project: Path) -> None:
    path = tiny_project / "models/tiny/model.py"
    text = path.read_text().replace('"classification"', '"anomaly"').replace('"accuracy"', '"auc"')
    path.write_text(text)
    with pytest.raises(Problem, match="folds need a classification model"):
        folds.cross_validate("tiny", 3)


def test_refuses_what_is_no_network(tmp_path: Path) -> None:
    root = copy_tiny(tmp_path / "list", lambda text: text.replace("tf_keras.Sequential(stack)", "stack"))
    done = stage("train", "tiny", cwd=root)
    assert done.returncode == 2
    assert "network() gives a builtins list, not a Keras model" in done.stderr


def test_refuses_a_network_of_another_shape(tmp_path: Path) -> None:
    root = copy_tiny(tmp_path / "three", lambda text: text.replace("Dense(2", "Dense(3"))
    done = stage("train", "tiny", cwd=root)
    assert done.returncode == 2
    assert "network() turns (32, 2) into (3,), SPEC says (32, 2) into (2,)" in done.stderr


def test_without_tensorflow_it_says_what_to_install(tiny_project: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "tensorflow.py").write_text("raise ImportError('No module named tensorflow')")
    root = Path(__file__).resolve().parents[1]
    done = stage("train", "tiny", cwd=tiny_project, PYTHONPATH=f"{blocked}:{root}")
    assert done.returncode == 4
    assert "error: tensorflow: training needs TensorFlow and tf-keras: No module named tensorflow" in done.stderr
    assert "hint: run: pip install '.[train]'" in done.stderr


def test_an_unknown_model_is_one_line_with_the_nearest_name() -> None:
    done = stage("train", "rehap")
    assert (done.returncode, done.stderr) == (
        2,
        "error: models: there is no model rehap\n  hint: did you mean rehab?\n",
    )


def test_uneven_classes_get_weights_and_even_ones_do_not() -> None:
    assert fit.class_weights(np.array([0] * 10 + [1] * 11)) is None
    assert fit.class_weights(np.array([0] * 10 + [1] * 30)) == [2.0, 0.6667]


def test_the_learning_rate_falls_along_a_cosine() -> None:
    rates = [fit.cosine(epoch, 10, 0.1) for epoch in range(11)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[5] == pytest.approx(0.0505)
    assert rates[10] == pytest.approx(0.001)
    assert rates == sorted(rates, reverse=True)


def test_the_curve_of_an_anomaly_model_has_no_accuracy() -> None:
    assert curve.curve("bearing", {"loss": [2.0, 1.0]}, 2).startswith(b"\x89PNG")


def test_rehab_and_bearing_reach_what_was_promised(trained: Callable[[str], Path]) -> None:
    rehab, bearing = (json.loads((trained(name) / "train.json").read_text()) for name in ("rehab", "bearing"))
    assert rehab["metrics"]["accuracy"] >= 0.80
    assert bearing["metrics"]["auc"] >= 0.99
