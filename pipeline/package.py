"""A zip for somebody's own firmware: an Arduino library, which is an ESP-IDF component and plain C as well."""

from __future__ import annotations

import argparse
import io
import re
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import __version__, files, metrics
from pipeline.board import Board, load_board
from pipeline.cores import core_of, kernels_of
from pipeline.ctext import c_prefix, render
from pipeline.generate import compile_model, sources, too_large
from pipeline.problem import Problem, raise_all, run
from pipeline.sketch import INCLUDE

GENERATED = ("model.h", "model.c", "weights.h", "weights.c")
FUNCTIONS = ("init", "quantize", "quantize_sample", "run", "label", "example_sample")
CONSTANTS = ("SAMPLES", "CHANNELS", "HZ", "INPUT", "OUTPUT", "LABELS", "EXAMPLE_LABEL")
_KEYS = ("model_id", "input", "output", "task", "provenance")  # of quantize.json
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the same package gives the same bytes

Facts = Mapping[str, Any]
Real = NDArray[np.float32]


def package(name: str, board: Board) -> Path:
    """Write build/<name>/<name>-<board>.zip from what training left in build/<name>/."""
    folder = files.build_dir(name)
    made_by = files.tflite_made_by(name)
    content = files.needed(folder / "model.tflite", made_by).read_bytes()
    quantize = files.read_json(folder / "quantize.json", made_by, _KEYS)
    check_plain(name, quantize)
    made = compile_model(content, folder / "model.tflite", core_of(board.core), most=board.arena_bytes)
    raise_all(too_large(made, name, board.name))
    word = c_prefix(name)
    reference = files.read_arrays(folder / "reference.npz", made_by, ("inputs", "outputs", "labels"))
    if quantize.get("standardise") is None:
        windows = metrics.dequantize(reference["inputs"], quantize["input"])
    else:
        windows = files.read_arrays(folder / "windows.npz", f"python -m pipeline.windows {name}", ["x_test"])["x_test"]
    view = _view(word, board, quantize, _example(folder, quantize, reference, windows))
    view["ram"] = made.layout.arena_bytes
    texts = _texts(word, view)
    generated = sources(made, content, f"{word}_model")
    texts |= {f"src/{file}": _source(file, generated[file]) for file in GENERATED}
    texts |= _kernels(board, generated)
    target = folder / f"{name}-{board.name}.zip"
    files.write_bytes(target, _zipped(word, texts))
    return target


def check_plain(name: str, quantize: Facts) -> None:
    """Refuse what the package's functions do not know: several inputs or outputs, or of other types."""
    types = [part["dtype"] for edge in ("input", "output") for part in quantize[edge].get("parts", [{"dtype": "int8"}])]
    if types not in (["int8"] * 2, ["int16"] * 2):
        what = "has several inputs or outputs, or others than int8 or int16: a package knows one of each"
        raise Problem(name, what, "its C is in the folder that make model names: take it as it is")
    if "classes" in quantize["output"]:
        what = "decides by the value of its only output: a package takes the largest of several"
        raise Problem(name, what, "its C is in the folder that make model names: take it as it is")


def _described(quantize: Facts) -> dict[str, Any]:
    """What windows are made of; of a model that does not say, just values."""
    return dict(quantize.get("window") or {"hz": 0.0, "channels": ["values"], "unit": "what the model was trained on"})


def _standardised(quantize: Facts) -> tuple[Real, Real]:
    """Mean and deviation of each channel; of a model that takes values as they are, 0 and 1."""
    channels = len(_described(quantize)["channels"])
    known = quantize.get("standardise") or {"mean": [0.0] * channels, "scale": [1.0] * channels}
    return np.asarray(known["mean"], np.float32), np.asarray(known["scale"], np.float32)


def _texts(word: str, view: Facts) -> dict[str, str]:
    """The package's own files by their place in it."""
    places = {
        f"src/{word}.h": "api.h",
        f"src/{word}.c": "api.c",
        f"src/{word}_example.c": "example.c",
        "src/board.h": "board.h",
        "examples/once/once.ino": "once.ino",
        "examples/live/live.ino": "live.ino",
        "library.properties": "library.properties",
        "keywords.txt": "keywords.txt",
        "CMakeLists.txt": "CMakeLists.txt",
        "idf_component.yml": "idf_component.yml",
    }
    return {place: _source(place, render(f"package/{file}.j2", view)) for place, file in places.items()}


def _source(place: str, text: str) -> str:
    return render("arduino/source.j2", {"text": text}) if place.endswith(".c") else text


def _kernels(board: Board, generated: Mapping[str, str]) -> dict[str, str]:
    """The kernels that the model calls, the board's faster ones where there are such, and what they include."""
    kernels = files.project_root() / "firmware" / "kernels"
    own = kernels / kernels_of(board.core)
    found: dict[str, str] = {}
    waiting = [generated[file] for file in GENERATED]
    while waiting:
        for name in INCLUDE.findall(waiting.pop()):
            path = next((path for path in (own / name, kernels / name) if path.exists()), None)
            if path and name not in found:
                found[name] = path.read_text()
                waiting.append(found[name])
    return {f"src/{name}": text for name, text in found.items()}


def _example(folder: Path, quantize: Facts, reference: Mapping[str, NDArray[Any]], windows: Real) -> dict[str, Any]:
    """A test window in physical units [samples, channels] that is labelled rightly, if possible not with the first
    label, and quantizes to the reference's values by the package's own arithmetic; for anomaly detection a fault."""
    mean, scale = _standardised(quantize)
    dtype = metrics.single(quantize["input"])[1]
    apart = 0 if dtype == np.int8 else 1  # steps; of 16 bits float32 does not round each as the reference did
    gain = (1 / (scale.astype(np.float64) * quantize["input"]["scale"])).astype(np.float32)
    offset = (quantize["input"]["zero_point"] - mean.astype(np.float64) * gain).astype(np.float32)
    predicted = predictions(quantize, reference)
    right, anomaly = predicted == reference["labels"], quantize["task"]["kind"] == "anomaly"
    for index in (*np.flatnonzero(right & (predicted > 0)), *np.flatnonzero(right & (predicted == 0) & (not anomaly))):
        raw = np.asarray(windows[index].reshape(-1, len(gain)) * scale + mean, np.float32)
        asked = reference["inputs"][index].reshape(-1).view(dtype).reshape(raw.shape)
        if np.abs(quantized(raw, gain, offset, dtype) - asked.astype(np.int64)).max() <= apart:
            return {"raw": raw, "label": int(predicted[index]), "gain": gain, "offset": offset}
    hint = "windows() of its file gives others" if quantize.get("standardise") is None else "train it anew"
    raise Problem(folder, "has no test window that the model labels rightly", hint)


def predictions(quantize: Facts, reference: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """The label of each test window by the reference."""
    outputs = reference["outputs"].reshape(len(reference["outputs"]), -1).view(metrics.single(quantize["output"])[1])
    task = quantize["task"]
    if task["kind"] == "classification":
        return np.asarray(outputs.argmax(axis=1), np.int64)
    real_out, real_in = (metrics.dequantize(reference[f"{edge}s"], quantize[edge]) for edge in ("output", "input"))
    return np.asarray(metrics.anomaly_scores(real_out, real_in) > task["threshold"]["int8"], np.int64)


def quantized(raw: Real, gain: Real, offset: Real, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The C code's quantize in numpy: float32, halves away from zero; int8 or int16."""
    limits = np.iinfo(dtype)
    value = np.clip(raw * gain + offset, np.float32(limits.min), np.float32(limits.max))
    return np.asarray(np.trunc(value + np.copysign(np.float32(0.5), value)), dtype)


def _view(word: str, board: Board, quantize: Facts, example: Facts) -> dict[str, Any]:
    """What the templates name."""
    window, task, raw = _described(quantize), quantize["task"], example["raw"]
    samples, channels = raw.shape
    anomaly, upper, (_, dtype) = task["kind"] == "anomaly", word.upper(), metrics.single(quantize["input"])
    named = list(window["channels"])
    provenance = quantize["provenance"]
    source = f"{provenance['package']} {provenance['version']}, {provenance['licence']}"
    labels = [re.sub(r'["\\]', "", str(label)) for label in task["labels"]]
    return {
        "name": word, "NAME": upper, "version": __version__, "model_id": quantize["model_id"], "board": board.name,
        "arena_bytes": board.arena_bytes, "samples": samples, "channel_count": channels, "hz": f"{window['hz']:g}",
        "channels": ", ".join(named if len(named) <= 8 else [*named[:2], "...", named[-1]]),
        "unit": window["unit"], "labels": labels, "macros": [macro(label) for label in labels], "anomaly": anomaly,
        "sentence": f"{', '.join(labels[:3])}{' ...' if len(labels) > 3 else ''} from {samples} x {channels} values.",
        "outputs": int(np.prod(metrics.single(quantize["output"])[0])), "type": f"{dtype}_t",
        "width": dtype.itemsize, "lowest": np.iinfo(dtype).min, "highest": np.iinfo(dtype).max,
        "threshold": _float(task["threshold"]["int8"]) if anomaly else "",
        "input_scale": _float(quantize["input"]["scale"]), "output_scale": _float(quantize["output"]["scale"]),
        "label_call": f"{word}_label(input, output)" if anomaly else f"{word}_label(output)",
        "example_label": example["label"], "example": _rows(raw), "provenance": source,
        "gains": _rows(example["gain"]), "offsets": _rows(example["offset"]),
        "hop": max(samples // 2, 1) if window["hz"] else samples, "timed": samples > 1 and window["hz"] > 0,
        "period": round(1e6 / window["hz"]) if window["hz"] else 0,
        "quantizing": "Quantize" if quantize.get("standardise") is None else "Standardise and quantize",
        "recorded": "random" if quantize.get("drawn") else "recorded",
        "functions": [f"{word}_{function}" for function in FUNCTIONS],
        "constants": [f"{upper}_{constant}" for constant in CONSTANTS if window["hz"] or constant != "HZ"],
    }  # fmt: skip


def macro(label: str) -> str:
    """A label as the end of a C macro's name."""
    return "LABEL_" + re.sub(r"\W+", "_", label).upper()


def _float(value: float) -> str:
    """A float32 in C that reads back as the same; without its suffix."""
    text = f"{np.float32(value):.9g}"
    return text if "." in text or "e" in text else f"{text}.0"


def _rows(values: Real) -> list[str]:
    words = [f"{_float(value)}f," for value in values.reshape(-1)]
    return [" ".join(words[i : i + 6]) for i in range(0, len(words), 6)]


def _zipped(word: str, texts: Mapping[str, str]) -> bytes:
    """One folder at the top, as the Arduino IDE wants it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for place in sorted(texts):
            archive.writestr(zipfile.ZipInfo(f"{word}/{place}", ZIP_TIME), texts[place], zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def main(argv: Sequence[str]) -> int:
    """`python -m pipeline.package NAME --board BOARD`"""
    parser = argparse.ArgumentParser(prog="python -m pipeline.package", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="the model, models/NAME")
    parser.add_argument("--board", required=True, metavar="B", help="the board whose kernels and limits are taken")
    options = parser.parse_args(argv)
    made = package(files.check_model_name(options.name), load_board(options.board))
    sys.stdout.write(f"{made.relative_to(files.project_root())}: an Arduino library, an ESP-IDF component, plain C\n")
    return 0


if __name__ == "__main__":
    run(main)
