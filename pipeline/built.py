"""What the harness knows of a model built for a board: files of build/<name>/ and build/<name>/<board>-<runtime>/."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import files, words
from pipeline.board import Board, load_board
from pipeline.problem import EXIT_DEVICE, Problem, did_you_mean, raise_all
from pipeline.rungs import Answered
from pipeline.wire import Info

_REFERENCE = ("inputs", "outputs", "labels", "groups", "float_outputs", "pruned_outputs")
_PLAN = ("model_id", "arena_bytes", "weights_bytes", "input", "output", "operators", "kernel_version")
_SIZE = ("flash", "ram", "arena", "weights", "code", "compiler")
_QUANTIZE = ("model_id", "task", "input", "output", "metrics", "limits", "sparsity")


@dataclass(frozen=True)
class Built:
    """A model and one firmware of it. `reference` is the test split, mapped from disk: inputs int8 [n, *shape], the
    outputs int8 [n, *out] that must come back, labels [n], groups [n], float_outputs and pruned_outputs [n, *out]."""

    name: str
    board: Board
    runtime: str
    folder: Path
    quantize: Mapping[str, Any]
    plan: Mapping[str, Any]
    size: Mapping[str, Any]
    reference: Mapping[str, NDArray[Any]]

    @property
    def sizes(self) -> tuple[int, int]:
        """Bytes of a window and of its answer; firmware that streams takes and makes a part of them at a time."""
        return self.reference["inputs"][0].nbytes, self.reference["outputs"][0].nbytes


def load(name: str, board: str, runtime: str) -> Built:
    """Read and check the files of a build; a Problem names the command that makes what is missing."""
    made_by = files.make_model(name, board, runtime)
    parent, folder = files.build_dir(name), files.firmware_dir(name, board, runtime)
    model = read(name, load_board(board), runtime, parent, folder, made_by)
    flatbuffer = parent / "model.tflite"
    if flatbuffer.exists() and (now := files.model_id(flatbuffer.read_bytes())) != model.quantize["model_id"]:
        what = f"is model {now[:8]}, quantize.json beside it is of {model.quantize['model_id'][:8]}"
        raise Problem(flatbuffer, what, f"run: {made_by}")
    return model


def read(name: str, board: Board, runtime: str, parent: Path, folder: Path, made_by: str) -> Built:
    """Read and check the files of a model in `parent` and of a firmware in `folder`."""
    quantize = files.read_json(parent / "quantize.json", made_by)
    plan = files.read_json(folder / "plan.json", made_by, _PLAN)
    size = files.read_json(folder / "size.json", made_by, _SIZE)
    reference = files.map_arrays(parent / "reference.npz", made_by)
    _check(parent, quantize, reference, made_by)
    if plan["model_id"] != quantize["model_id"]:
        what = f"was made of model {plan['model_id'][:8]}, quantize.json is of {quantize['model_id'][:8]}"
        raise Problem(folder / "plan.json", what, f"run: {made_by}")
    return Built(name, board, runtime, folder, quantize, plan, size, reference)


def firmwares(name: str | None, board: str, runtime: str) -> list[str]:
    """Names of the models that were built for a board, or just the one asked for."""
    known = {path.name for path in (files.project_root() / "build").glob("*") if path.is_dir()} | {*files.model_names()}
    if name and name not in known:
        raise Problem("build", f"there is no model {name}", did_you_mean(name, known))
    if name:
        return [name]
    return sorted(path.parent.name for path in (files.project_root() / "build").glob(f"*/{board}-{runtime}"))


def check_identity(built: Built, info: Info, port: str, emulated: bool) -> None:
    """Refuse a device that runs another model, board or build than the files are of; all differences at once."""
    made_by = f"make model name={built.name} board={built.board.name}"
    again = made_by if emulated else f"make flash board={built.board.name} port={port}"
    if info.model_id != built.quantize["model_id"]:
        here = files.build_dir(built.name).relative_to(files.project_root()) / "model.tflite"
        what = f"the device runs model {info.model_id[:8]}, {here} is {built.quantize['model_id'][:8]}"
        raise Problem(port, what, again, EXIT_DEVICE)
    plan = built.plan
    pairs = {
        "board": (info.board, built.board.name),
        "runtime": (info.runtime, built.runtime),
        "input bytes": (info.input_bytes, plan["input"]["bytes"]),
        "output bytes": (info.output_bytes, plan["output"]["bytes"]),
        "input scale": (info.input_scale, _float32(plan["input"]["scale"])),
        "input zero point": (info.input_zero_point, plan["input"]["zero_point"]),
        "output scale": (info.output_scale, _float32(plan["output"]["scale"])),
        "output zero point": (info.output_zero_point, plan["output"]["zero_point"]),
        "arena bytes": (info.arena_bytes, built.size["arena"]),
        "weights bytes": (info.weights_bytes, plan["weights_bytes"]),
        "operators": (info.operators, len(plan["operators"])),
        "kernel version": (info.kernel_version, plan["kernel_version"]),
    }
    differ = [
        f"the device has {what} {said}, plan.json {built}" for what, (said, built) in pairs.items() if said != built
    ]
    raise_all([Problem(port, what, again, EXIT_DEVICE) for what in differ])


def _check(folder: Path, quantize: Any, reference: Mapping[str, NDArray[Any]], made_by: str) -> None:
    """Both files are whole and of one another."""
    hint = f"run: {made_by}"
    lacking = [f"quantize.json lacks {key}" for key in _QUANTIZE if key not in quantize]
    lacking += [f"reference.npz lacks {key}" for key in _REFERENCE if key not in reference]
    raise_all([Problem(folder, what, hint) for what in lacking])
    count = len(reference["inputs"])
    shapes = {"inputs": quantize["input"]["shape"], "outputs": quantize["output"]["shape"]}
    wrong = [key for key, shape in shapes.items() if list(reference[key].shape) != [count, *shape]]
    wrong += [key for key in shapes if reference[key].dtype != np.int8]
    wrong += [key for key in _REFERENCE if len(reference[key]) != count]
    if wrong or not count:
        what = f"does not fit quantize.json: {', '.join(wrong) or 'it holds no windows'}"
        raise Problem(folder / "reference.npz", what, hint)
    _check_outputs(folder, quantize, reference, hint)


def _check_outputs(folder: Path, quantize: Any, reference: Mapping[str, NDArray[Any]], hint: str) -> None:
    """The outputs score what quantize.json says: else they are another model's, and the board would be blamed."""
    name, every = quantize["limits"]["metric"], np.arange(len(reference["labels"]))
    found = Answered(quantize, reference, every, reference["outputs"], every).score("int8")[name]
    noted = quantize["metrics"]["int8"][name]
    if abs(found - noted) > 1e-6:
        what = f"is not of the model in quantize.json: its {words.plain(name)} is {found:.4f}, not {noted:.4f}"
        raise Problem(folder / "reference.npz", what, hint)


def _float32(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])
