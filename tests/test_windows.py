"""Windows: cut, split by group, standardised by the training side only."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline import windows
from pipeline.model_file import load_model
from pipeline.problem import Problem, Problems
from pipeline.spec import Side


def test_cuts_overlapping_windows_and_pads_none() -> None:
    signal = np.arange(20, dtype=np.float32).reshape(10, 2)
    cut = windows.cut(signal, 4, 3)
    assert cut.shape == (3, 4, 2)
    assert cut[1].tolist() == signal[3:7].tolist()


def test_a_signal_shorter_than_a_window_gives_a_clear_problem(tiny_project: Path) -> None:
    source = load_model("tiny")
    splits = source.windows()
    short = replace(splits, train=windows.empty_side((32, 2)))
    with pytest.raises(Problem, match="gives no training windows"):
        windows.check_splits(source, short)


def test_standardisation_comes_from_the_training_side_only(tiny_project: Path) -> None:
    splits = load_model("tiny").windows()
    windows.make_windows("tiny")
    arrays, facts = windows.read_windows("tiny")
    mean, scale = (np.array(facts["standardise"][key]) for key in ("mean", "scale"))
    assert mean == pytest.approx(splits.train.x.mean((0, 1)), abs=1e-5)
    assert scale == pytest.approx(splits.train.x.std((0, 1)), rel=1e-5)
    assert arrays["x_train"].std((0, 1)) == pytest.approx(1, abs=1e-4)
    assert arrays["x_test"].std((0, 1)).min() > 1.1  # person 4 moves more than the ones that train
    assert arrays["x_test"] == pytest.approx((splits.test.x - mean) / scale, abs=1e-4)


def test_a_constant_channel_is_not_divided_by_zero() -> None:
    mean, scale = windows.standardisation(np.full((3, 4, 1), 7, np.float32))
    assert (mean.tolist(), scale.tolist()) == ([7], [1])


def test_refuses_a_group_on_two_sides(tiny_project: Path) -> None:
    path = tiny_project / "models/tiny/model.py"
    path.write_text(path.read_text().replace("side(3), side(4)", "side(2), side(0)"))
    with pytest.raises(
        Problems, match=r"person 2 is on two sides, train and val; .*person 0 is on two sides, train and test"
    ):
        windows.make_windows("tiny")
    assert not (tiny_project / "build").exists()


def test_refuses_windows_of_another_shape_and_broken_numbers(tiny_project: Path) -> None:
    source = load_model("tiny")
    splits = source.windows()
    broken = Side(splits.val.x[:, :, :1] * np.nan, splits.val.y, splits.val.g)
    with pytest.raises(Problems, match=r"val windows \(32, 1\), SPEC.window says \(32, 2\).*not finite"):
        windows.check_splits(source, replace(splits, val=broken))


def test_refuses_labels_that_spec_does_not_name(tiny_project: Path) -> None:
    source = load_model("tiny")
    splits = source.windows()
    odd = Side(splits.val.x, splits.val.y + 1, splits.val.g)
    with pytest.raises(Problem, match=r"val windows of label 2, SPEC.labels names 2"):
        windows.check_splits(source, replace(splits, val=odd))


def test_an_anomaly_model_needs_normal_training_and_calibration_windows(tiny_project: Path) -> None:
    source = load_model("tiny")
    anomaly = replace(source.spec, task="anomaly", limits=replace(source.spec.limits, metric="auc"))
    with pytest.raises(Problems, match=r"gives no calib side.*train windows that are not normal"):
        windows.check_splits(replace(source, spec=anomaly), source.windows())


def test_cuts_again_only_when_a_source_is_newer(tiny_project: Path) -> None:
    windows.current_windows("tiny")
    made = tiny_project / "build/tiny/windows.json"
    os.utime(made, ns=(1, 2**62))  # far in the future
    first = made.stat().st_mtime_ns
    windows.current_windows("tiny")
    assert made.stat().st_mtime_ns == first
    os.utime(made, ns=(1, 1))
    windows.current_windows("tiny")
    assert made.stat().st_mtime_ns > 1


def test_augmentation_works_in_physical_units(tiny_project: Path) -> None:
    source = replace(load_model("tiny"), augment=lambda x, random: x + 1)
    change = windows.augmentation(source, {"mean": [10.0, 0.0], "scale": [2.0, 4.0]})
    assert change is not None
    assert change(np.zeros((1, 1, 2), np.float32), np.random.default_rng(0)).tolist() == [[[0.5, 0.25]]]


def test_restandardising_forgets_the_first_constants(tiny_project: Path) -> None:
    physical = load_model("tiny").windows()
    mean, scale = windows.standardisation(physical.train.x)
    constants = {"mean": mean.tolist(), "scale": scale.tolist()}
    other = Side((physical.test.x - mean) / scale, physical.test.y, physical.test.g)
    anew, (side,) = windows.restandardise([other], constants)
    assert anew["scale"] == pytest.approx(physical.test.x.std((0, 1)), rel=1e-4)
    assert side.x.std((0, 1)) == pytest.approx(1, abs=1e-4)


def test_main_prints_what_is_on_each_side(tiny_project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert windows.main(["tiny"]) == 0
    assert "val        58 windows of person 3\n" in capsys.readouterr().out
    assert windows.main(["tiny", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rule"] == "by person"


@pytest.mark.parametrize(("name", "sides", "least", "most"), [("rehab", 3, 600, 1500), ("bearing", 4, 300, 1500)])
def test_no_subject_or_recording_of_real_data_is_on_two_sides(
    trained: Callable[[str], Path], name: str, sides: int, least: int, most: int
) -> None:
    folder = trained(name)
    facts = json.loads((folder / "windows.json").read_text())
    with np.load(folder / "windows.npz") as arrays:
        found = {side: set(arrays[f"g_{side}"].tolist()) for side in facts["sides"]}
        assert least <= len(arrays["x_test"]) <= most
    assert len(found) == sides
    every = [group for groups in found.values() for group in groups]
    assert len(every) == len(set(every)) == len(facts["groups"])
    assert {side: {facts["groups"][g] for g in groups} for side, groups in found.items()} == {
        side: set(names) for side, names in facts["sides"].items()
    }
    assert set(facts["provenance"]) == {"package", "version", "file", "sha256", "licence"}
