"""What windows() of a model's file must give: sides of windows that fit SPEC, and share no subject or recording."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from pipeline.model_file import Source
from pipeline.problem import Problem, raise_all
from pipeline.spec import Provenance, Side, Splits

GIVE = "return Splits(train, val, test, groups, rule, provenance) of pipeline.spec"
KINDS = {"x": ("biuf", "numbers"), "y": ("biu", "whole numbers"), "g": ("iu", "whole numbers")}


def check_splits(source: Source, splits: Splits) -> None:
    """Whatever of the windows is not as it should be, as Problems at once: first of its types, then of its values."""
    if not isinstance(splits, Splits):
        raise Problem(source.path, f"windows() gives a {type(splits).__name__}, not Splits", GIVE)
    raise_all([Problem(source.path, f"windows() gives its {what}", hint) for what, hint in _odd_parts(splits)])
    sides = splits.sides()
    problems = _shared_groups(source, splits)
    for name, side in sides.items():
        problems += [Problem(source.path, f"windows() gives {name} windows {what}") for what in _misfits(source, side)]
    if not len(splits.train.x):
        problems.append(Problem(source.path, "windows() gives no training windows"))
    if not len(splits.test.x):
        problems.append(Problem(source.path, "windows() gives no test windows"))
    if source.spec.task == "anomaly":
        problems += _anomaly_misfits(source, splits)
    raise_all(problems or _nothing_to_learn(source, splits.train))


def _odd_parts(splits: Splits) -> list[tuple[str, str]]:
    """What is of another type, with a hint."""
    groups = splits.groups
    if not isinstance(groups, tuple | list | np.ndarray) or not all(isinstance(group, str) for group in groups):
        return [(f"groups as {groups!r}, not a tuple of names", "name each subject or recording: g counts them")]
    odd = [
        (f"{name} as a {type(part).__name__}, not a {kind.__name__}", hint)
        for name, part, kind, hint in (
            ("rule", splits.rule, str, "say in a sentence how the sides were chosen"),
            ("provenance", splits.provenance, Provenance, "say where the recordings come from"),
        )
        if not isinstance(part, kind)
    ]
    for name, side in splits.sides().items():
        if not isinstance(side, Side):
            hint = "Side(x, y, g), gather(...), or empty_side(shape)"
            odd.append((f"{name} as a {type(side).__name__}, not a Side", hint))
        else:
            odd += [(f"{name} windows with {what}", "") for what in _odd_arrays(side, len(groups))]
    return odd


def _odd_arrays(side: Side, groups: int) -> list[str]:
    odd = []
    for name, (kinds, wanted) in KINDS.items():
        array: Any = getattr(side, name)
        if not isinstance(array, np.ndarray):
            odd.append(f"{name} as a {type(array).__name__}, not an array")
        elif array.dtype.kind not in kinds:
            odd.append(f"{name} of {array.dtype}, not of {wanted}")
    if odd:
        return odd
    count = len(side.x) if side.x.ndim else 0
    odd = [
        f"{name} {list(array.shape)}, not one for each of {count}"
        for name, array in (("y", side.y), ("g", side.g))
        if array.shape != (count,)
    ]
    unknown = sorted({*side.g.ravel().tolist()} - {*range(groups)})
    return odd + [f"group {group}, groups names {groups} from 0" for group in unknown[:1]]


def _shared_groups(source: Source, splits: Splits) -> list[Problem]:
    problems = []
    for (first, one), (second, other) in combinations(splits.sides().items(), 2):
        for group in sorted(set(one.g.tolist()) & set(other.g.tolist())):
            what = f"{splits.groups[group]} is on two sides, {first} and {second}"
            problems.append(Problem(source.path, what, "all windows of one subject or recording belong to one side"))
    return problems


def _misfits(source: Source, side: Side) -> list[str]:
    spec, misfits = source.spec, []
    if side.x.shape[1:] != spec.shape:
        packed = f": {' and '.join(map(str, spec.shapes))}, by pack()" if len(spec.shapes) > 1 else ""
        misfits.append(f"{side.x.shape[1:]}, SPEC.window says {spec.shape}{packed}")
    with np.errstate(over="ignore"):
        if not np.isfinite(side.x.astype(np.float32, copy=False)).all():
            misfits.append("with numbers that are not finite")
    if wrong := sorted({*side.y.tolist()} - {*range(len(spec.labels))}):
        misfits.append(f"of label {wrong[-1]}, SPEC.labels names {len(spec.labels)} from 0")
    return misfits


def _anomaly_misfits(source: Source, splits: Splits) -> list[Problem]:
    problems = []
    if splits.calib is None or not len(splits.calib.x):
        problems.append(
            Problem(source.path, "windows() gives no calib side", "the alarm threshold is set on normal windows")
        )
    normal = {name: side for name, side in splits.sides().items() if name != "test"}
    odd = [name for name, side in normal.items() if side.y.any()]
    problems += [Problem(source.path, f"windows() gives {name} windows that are not normal") for name in odd]
    if len(splits.test.y) and len(np.unique(splits.test.y)) < 2:
        what = f"windows() gives test windows that are all {source.spec.labels[int(splits.test.y[0])]}"
        problems.append(Problem(source.path, what, "an anomaly model is judged on normal windows and on faults"))
    return problems


def _nothing_to_learn(source: Source, train: Side) -> list[Problem]:
    """Windows without a signal, or without a class; those of a network that is trained already may be any."""
    spec = source.spec
    if not spec.training.epochs:
        return []
    if train.x.min() == train.x.max():
        what = f"windows() gives training windows that are all {train.x.flat[0]:g}"
        return [Problem(source.path, what, "does it read the recordings?")]
    missing = [label for index, label in enumerate(spec.labels) if not (train.y == index).any()]
    if spec.task == "anomaly" or not missing:
        return []
    what = f"windows() gives no training windows of {', '.join(missing)}"
    return [Problem(source.path, what, "a class that is not learnt is never told: give some, or leave out its label")]
