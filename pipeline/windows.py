"""Cut recordings into windows, keep every subject or recording on one side, standardise by the training side."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import data, spec
from pipeline.files import build_dir, read_arrays, read_json, write_arrays, write_json
from pipeline.model_file import Source, load_model, model_path
from pipeline.problem import Problem, run
from pipeline.progress import say
from pipeline.spec import Side, Splits
from pipeline.splits import check_splits

FACTS = ("sides", "standardise", "window", "provenance", "groups")
Arrays = dict[str, NDArray[Any]]
Augment = Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.float32]]


def cut(signal: NDArray[np.float32], length: int, hop: int) -> NDArray[np.float32]:
    """Windows [count, length, channels] of a signal [samples, channels], one every `hop` samples, none padded."""
    if len(signal) < length:
        raise ValueError(f"a signal of {len(signal)} samples is shorter than a window of {length}")
    windows = np.lib.stride_tricks.sliding_window_view(signal, length, axis=0)[::hop]
    return np.ascontiguousarray(np.moveaxis(windows, -1, 1), dtype=np.float32)


def gather(recordings: list[tuple[NDArray[np.float32], int, int]]) -> Side:
    """One side from (windows, label, group) of each of its recordings."""
    if not recordings:
        raise ValueError("no recordings to gather: a side without windows is empty_side(shape)")
    x = np.concatenate([windows for windows, _, _ in recordings])
    counts = [len(windows) for windows, _, _ in recordings]
    y = np.repeat(np.array([label for _, label, _ in recordings], np.int64), counts)
    return Side(x, y, np.repeat(np.array([group for _, _, group in recordings], np.int64), counts))


def pack(*inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Windows of several inputs, an array [n, *shape] for each, as one array [n, values]: their values side by side."""
    return np.concatenate([np.asarray(each, np.float32).reshape(len(each), -1) for each in inputs], axis=1)


def unpack(x: NDArray[np.float32], *shapes: tuple[int, ...]) -> list[NDArray[np.float32]]:
    """The array [n, *shape] of each input; x itself where there is one."""
    if len(shapes) == 1:
        return [x]
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
    return [part.reshape(len(x), *shape) for part, shape in zip(np.split(x, ends, axis=1), shapes, strict=True)]


def given(network: Any, x: NDArray[np.float32]) -> Any:
    """Windows as the network takes them: an array, or a tuple of one for each input."""
    parts = unpack(x, *(tuple(each.shape[1:]) for each in network.inputs))
    return parts[0] if len(parts) == 1 else tuple(parts)


def empty_side(shape: tuple[int, ...]) -> Side:
    """A side without windows."""
    return Side(np.zeros((0, *shape), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64))


def standardisation(
    train: NDArray[np.float32], *shapes: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of each channel (last axis) of the training windows, a constant channel gets 1; where
    several inputs of these shapes are packed, of each value [values]."""
    if len(shapes) > 1:
        each = zip(unpack(train, *shapes), shapes, strict=True)
        spread = [[np.broadcast_to(value, (1, *shape)) for value in standardisation(x)] for x, shape in each]
        mean, scale = (pack(*values)[0] for values in zip(*spread, strict=True))
        return mean, scale
    axes = tuple(range(train.ndim - 1))
    mean, scale = train.mean(axes, dtype=np.float64), train.std(axes, dtype=np.float64)
    return mean.astype(np.float32), np.where(scale > 0, scale, 1.0).astype(np.float32)


def augmentation(source: Source, constants: dict[str, Any]) -> Augment | None:
    """The model's `augment`, which works in physical units, as a function of standardised windows; None without one."""
    if source.augment is None:
        return None
    change, (mean, scale) = source.augment, _constants(constants)

    def standardised(x: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
        made = change(x * scale + mean, random)
        return ((_same_windows(source, made, x.shape) - mean) / scale).astype(np.float32)

    return standardised


def _same_windows(source: Source, made: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """What `augment` gave, as an array; a Problem where that is not as many windows of the same shape."""
    array = np.asarray(made) if isinstance(made, list | np.ndarray) else np.zeros(())
    if array.shape != shape or array.dtype.kind not in "biuf":
        found = f"{array.dtype} {array.shape}" if array.ndim else f"a {type(made).__name__}"
        raise Problem(source.path, f"augment() gives {found} for windows {shape}", "return the windows, each changed")
    if not np.isfinite(array).all():
        raise Problem(source.path, "augment() gives numbers that are not finite")
    return array


def restandardise(
    sides: list[Side], constants: dict[str, Any], *shapes: tuple[int, ...]
) -> tuple[dict[str, Any], list[Side]]:
    """Sides that were standardised with `constants`, standardised anew by the first of them, and its constants."""
    mean, scale = _constants(constants)
    physical = [side.x * scale + mean for side in sides]
    mean, scale = standardisation(physical[0], *shapes)
    anew = [Side(((x - mean) / scale).astype(np.float32), s.y, s.g) for x, s in zip(physical, sides, strict=True)]
    return {"mean": mean.tolist(), "scale": scale.tolist()}, anew


def _constants(constants: dict[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return np.array(constants["mean"], np.float32), np.array(constants["scale"], np.float32)


def make_windows(name: str) -> Path:
    """Write build/<name>/windows.npz (standardised) and windows.json (split, provenance, constants)."""
    source = load_model(name)
    say(f"{name}: cutting windows")
    splits = source.windows()
    check_splits(source, splits)
    mean, scale = standardisation(splits.train.x, *source.spec.shapes)
    if not source.spec.training.epochs:  # the network knows them as they are
        mean, scale = np.zeros_like(mean), np.ones_like(scale)
    arrays: Arrays = {}
    for side_name, side in splits.sides().items():
        arrays[f"x_{side_name}"] = ((side.x - mean) / scale).astype(np.float32)
        arrays[f"y_{side_name}"], arrays[f"g_{side_name}"] = side.y.astype(np.int64), side.g.astype(np.int64)
    path = build_dir(name) / "windows.json"
    write_arrays(path.with_suffix(".npz"), arrays)
    write_json(path, _describe(source, splits, mean, scale))
    return path


def current_windows(name: str) -> tuple[Arrays, dict[str, Any]]:
    """The arrays and facts of build/<name>/windows.*, made first when missing or older than what they come from."""
    arrays, facts = build_dir(name) / "windows.npz", build_dir(name) / "windows.json"
    if not arrays.exists() or not facts.exists() or facts.stat().st_mtime < _newest(name):
        make_windows(name)
    return read_windows(name)


def read_windows(name: str, *shape: int) -> tuple[Arrays, dict[str, Any]]:
    """The arrays and facts of build/<name>/windows.* as they are; a Problem where windows are not of a shape."""
    made_by, path = f"python -m pipeline.windows {name}", build_dir(name) / "windows.npz"
    facts = read_json(path.with_suffix(".json"), made_by, FACTS)
    arrays = read_arrays(path, made_by, [f"{part}_{side}" for side in facts["sides"] for part in "xyg"])
    if shape and (found := arrays["x_train"].shape[1:]) != shape:
        again = f"run: {made_by}, then python -m pipeline.train {name}"
        raise Problem(path, f"has windows {found}, the model's file says {shape}", again)
    return arrays, facts


def side_of(arrays: Arrays, name: str) -> Side:
    """One side of windows.npz."""
    return Side(arrays[f"x_{name}"], arrays[f"y_{name}"], arrays[f"g_{name}"])


def _newest(name: str) -> float:
    sources = [model_path(name), *(Path(str(module.__file__)) for module in (data, spec, sys.modules[__name__]))]
    return max(path.stat().st_mtime for path in sources)


def _describe(source: Source, splits: Splits, mean: NDArray[np.float32], scale: NDArray[np.float32]) -> dict[str, Any]:
    sides = splits.sides()
    return {
        "model": source.name,
        "seed": source.spec.seed,
        "rule": splits.rule,
        "groups": list(splits.groups),
        "sides": {name: [splits.groups[g] for g in sorted(set(side.g.tolist()))] for name, side in sides.items()},
        "counts": {name: _counts(side, source.spec.labels) for name, side in sides.items()},
        "provenance": asdict(splits.provenance),
        "window": asdict(source.spec)["window"],
        "standardise": {"mean": mean.tolist(), "scale": scale.tolist()},
    }


def _counts(side: Side, labels: tuple[str, ...]) -> dict[str, int]:
    return {label: int(np.sum(side.y == index)) for index, label in enumerate(labels)}


def main(argv: list[str]) -> int:
    """Cut the windows of one model and print how many there are on each side."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.windows", description=__doc__)
    parser.add_argument("name", help="a folder of models/")
    parser.add_argument("--json", action="store_true", help="print windows.json")
    options = parser.parse_args(argv)
    make_windows(options.name)
    facts = read_windows(options.name)[1]
    if options.json:
        sys.stdout.write(json.dumps(facts) + "\n")
        return 0
    for side, counts in facts["counts"].items():
        groups = ", ".join(facts["sides"][side]) or "nothing"
        sys.stdout.write(f"{side:6} {sum(counts.values()):6} windows of {groups}\n")
    return 0


if __name__ == "__main__":
    run(main)
