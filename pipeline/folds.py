"""Cross-validation by group: every subject is tested once by a network that never saw that subject."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline import metrics
from pipeline.files import build_dir, write_json
from pipeline.fit import Course, fit
from pipeline.model_file import Source, load_model
from pipeline.network import build_network, check_outputs, keras, outputs, task_of
from pipeline.problem import Problem
from pipeline.spec import Side
from pipeline.windows import augmentation, current_windows, restandardise

MEASURES = ("accuracy", "macro_f1")


def cross_validate(name: str, count: int) -> dict[str, Any]:
    """Fit `count` networks, each tested on its own groups and stopped early on the next fold's; write folds.json."""
    source = load_model(name)
    if source.spec.task != "classification":
        raise Problem(name, "folds need a classification model", "an anomaly model trains on normal recordings only")
    arrays, facts = current_windows(name)
    whole = Side(*(np.concatenate([arrays[f"{part}_{side}"] for side in ("train", "val", "test")]) for part in "xyg"))
    groups = sorted(set(whole.g.tolist()))
    if not 3 <= count <= len(groups):
        raise Problem(name, f"cannot make {count} folds of {len(groups)} groups", f"give 3 to {len(groups)}")
    parts = [part.tolist() for part in np.array_split(np.array(groups), count)]
    rows = [_fold(source, whole, parts, index, facts) for index in range(count)]
    result = {"model": name, "seed": source.spec.seed, "folds": rows, "summary": summary(rows)}
    write_json(build_dir(name) / "folds.json", result)
    return result


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean and spread (sample standard deviation) of each measure over the folds."""
    values = {measure: [row[measure] for row in rows] for measure in MEASURES}
    return {key: {"mean": float(np.mean(v)), "spread": float(np.std(v, ddof=1))} for key, v in values.items()}


def _fold(source: Source, whole: Side, parts: list[list[int]], index: int, facts: dict[str, Any]) -> dict[str, Any]:
    """One fold, standardised anew by its own training groups."""
    held, watched = parts[index], parts[(index + 1) % len(parts)]
    learnt = [group for part in parts for group in part if group not in held and group not in watched]
    constants, (train, val, test) = restandardise(
        [whole.of(groups) for groups in (learnt, watched, held)], facts["standardise"], *source.spec.shapes
    )
    network, settings = build_network(source), source.spec.training
    check_outputs(source, network, train.x)
    title = f"{source.name}: fold {index + 1} of {len(parts)}"
    course = Course(title, settings.epochs, settings.rate, settings.patience)
    keras_ = keras(source.spec.seed)
    fitted = fit(keras_, network, source.spec, train, val, course, augmentation(source, constants))
    made = outputs(network, test.x, source.spec.output)
    figures = metrics.score(task_of(source.spec), made, test.y, test.x, "float")
    names = [facts["groups"][group] for group in held]
    return {"test": names, "kept_epoch": fitted.kept, "windows": len(test.x), **figures}


def print_folds(result: dict[str, Any]) -> None:
    """One row a fold, then mean and spread."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "fold", "test", "windows", "accuracy", "macro F1", title=f"{result['model']}: cross-validation by group"
    )
    for index, row in enumerate(result["folds"], start=1):
        measures = [f"{row[measure]:.3f}" for measure in MEASURES]
        table.add_row(str(index), ", ".join(row["test"]), str(row["windows"]), *measures)
    spread = [f"{value['mean']:.3f} ± {value['spread']:.3f}" for value in result["summary"].values()]
    table.add_row("mean", "", "", *spread)
    Console().print(table)
