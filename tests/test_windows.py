"""Windows: cut, split by group, standardised by the training side only."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import windows
from pipeline.model_file import load_model
from pipeline.problem import Problem, Problems
from pipeline.spec import Side, Splits
from pipeline.splits import check_splits
from pipeline.windows import Augment


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
        check_splits(source, short)


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
        check_splits(source, replace(splits, val=broken))


def test_neither_cuts_what_is_too_short_nor_gathers_nothing() -> None:
    with pytest.raises(ValueError, match="a signal of 10 samples is shorter than a window of 32"):
        windows.cut(np.zeros((10, 2), np.float32), 32, 16)
    with pytest.raises(ValueError, match="no recordings to gather: a side without windows is empty_side"):
        windows.gather([])


ODD_SPLITS: list[tuple[Callable[[Splits], Any], str]] = [
    (lambda s: None, r"windows\(\) gives a NoneType, not Splits$"),
    (lambda s: (s.train, s.test), r"windows\(\) gives a tuple, not Splits$"),
    (lambda s: replace(s, val=None), "gives its val as a NoneType, not a Side$"),
    (lambda s: replace(s, rule=None), "gives its rule as a NoneType, not a str$"),
    (lambda s: replace(s, provenance="mine"), "gives its provenance as a str, not a Provenance$"),
    (lambda s: replace(s, groups="people"), "gives its groups as 'people', not a tuple of names$"),
    (lambda s: replace(s, groups=tuple(range(5))), r"gives its groups as \(0, 1, 2, 3, 4\), not a tuple of names$"),
    (lambda s: replace(s, groups=s.groups[:4]), "gives its test windows with group 4, groups names 4 from 0$"),
]


@pytest.mark.parametrize(("change", "said"), ODD_SPLITS)
def test_refuses_what_is_no_splits(tiny_project: Path, change: Callable[[Splits], Any], said: str) -> None:
    source = load_model("tiny")
    with pytest.raises(Problem, match=said):
        check_splits(source, change(source.windows()))


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("x", lambda x: x.tolist(), "x as a list, not an array$"),
        ("x", lambda x: x.astype(object), "x of object, not of numbers$"),
        ("x", lambda x: x.astype(complex), "x of complex128, not of numbers$"),
        ("x", lambda x: x.astype(np.float64) * 1e40, "numbers that are not finite$"),
        ("x", lambda x: x * 0, "gives training windows that are all 0$"),
        ("y", lambda y: y * 0.5, "y of float64, not of whole numbers$"),
        ("y", lambda y: np.array(["slow", "fast"])[y], "y of <U4, not of whole numbers$"),
        ("y", lambda y: np.eye(2, dtype=int)[y], r"y \[174, 2\], not one for each of 174$"),
        ("y", lambda y: y[1:], r"y \[173\], not one for each of 174$"),
        ("y", lambda y: y - 1, "train windows of label -1, SPEC.labels names 2 from 0$"),
        ("y", lambda y: y * 0, "gives no training windows of fast$"),
        ("g", lambda g: g[1:], r"g \[173\], not one for each of 174$"),
        ("g", lambda g: g - 9, "train windows with group -9, groups names 5 from 0$"),
        ("g", lambda g: np.array(["a", "b", "c"])[g], "g of <U1, not of whole numbers$"),
    ],
)
def test_refuses_arrays_that_are_no_windows_labels_or_groups(
    tiny_project: Path, part: str, change: Callable[[Any], Any], said: str
) -> None:
    source = load_model("tiny")
    splits = source.windows()
    with pytest.raises(Problem, match=said):
        check_splits(
            source, replace(splits, train=replace(splits.train, **{part: change(getattr(splits.train, part))}))
        )


def test_a_network_that_is_trained_already_may_have_any_windows(tiny_project: Path) -> None:
    source = load_model("tiny")
    splits = source.windows()
    ready = replace(source, spec=replace(source.spec, training=replace(source.spec.training, epochs=0)))
    check_splits(ready, replace(splits, train=replace(splits.train, y=splits.train.y * 0)))


def test_labels_that_are_true_and_false_are_counted_as_numbers(tiny_project: Path) -> None:
    path = tiny_project / "models/tiny/model.py"
    path.write_text(path.read_text().replace("(0, 1)])", "(False, True)])"))
    windows.make_windows("tiny")
    assert windows.read_windows("tiny")[0]["y_train"].dtype == np.int64


def test_refuses_labels_that_spec_does_not_name(tiny_project: Path) -> None:
    source = load_model("tiny")
    splits = source.windows()
    odd = Side(splits.val.x, splits.val.y + 1, splits.val.g)
    with pytest.raises(Problem, match=r"val windows of label 2, SPEC.labels names 2"):
        check_splits(source, replace(splits, val=odd))


def test_an_anomaly_model_needs_normal_training_and_calibration_windows(tiny_project: Path) -> None:
    source = load_model("tiny")
    anomaly = replace(source.spec, task="anomaly", limits=replace(source.spec.limits, metric="auc"))
    with pytest.raises(Problems, match=r"gives no calib side.*train windows that are not normal"):
        check_splits(replace(source, spec=anomaly), source.windows())


@pytest.mark.parametrize(("label", "told"), [(0, "slow"), (1, "fast")])
def test_an_anomaly_model_is_tested_on_normal_windows_and_faults(tiny_project: Path, label: int, told: str) -> None:
    source = load_model("tiny")
    splits = source.windows()
    anomaly = replace(source.spec, task="anomaly", limits=replace(source.spec.limits, metric="auc"))
    train, val, test = (replace(side, y=side.y * 0) for side in (splits.train, splits.val, splits.test))
    normal = replace(
        splits, train=train, val=val, test=replace(test, y=test.y + label), calib=replace(val, g=val.g - 3)
    )
    normal = replace(normal, train=replace(train, g=train.g * 0 + 1))
    with pytest.raises(Problem, match=f"gives test windows that are all {told}$"):
        check_splits(replace(source, spec=anomaly), normal)


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


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x, random: None, r"augment\(\) gives a NoneType for windows \(4, 32, 2\)$"),
        (lambda x, random: (x, random), r"augment\(\) gives a tuple for windows"),
        (lambda x, random: x[1:], r"augment\(\) gives float32 \(3, 32, 2\) for windows \(4, 32, 2\)$"),
        (lambda x, random: x[..., :1], r"augment\(\) gives float32 \(4, 32, 1\) for windows"),
        (lambda x, random: np.fft.fft(x), r"augment\(\) gives complex128 \(4, 32, 2\) for windows"),
        (lambda x, random: x * np.nan, r"augment\(\) gives numbers that are not finite$"),
    ],
)
def test_refuses_what_augment_makes_no_windows_of(tiny_project: Path, change: Augment, said: str) -> None:
    made = windows.augmentation(replace(load_model("tiny"), augment=change), {"mean": [1.0, 0.0], "scale": [2.0, 4.0]})
    assert made is not None
    with pytest.raises(Problem, match=said):
        made(np.zeros((4, 32, 2), np.float32), np.random.default_rng(0))


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
