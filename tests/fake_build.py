"""A project folder with one built model whose device is a FakeDevice: what the harness reads, without training."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fake_device import FakeDevice, Faults

from pipeline import files, metrics

HERE = Path(__file__).resolve().parents[1]
LABELS = ["still", "walk", "run"]


@dataclass
class FakeBuild:
    """build/<name>/ and build/<name>/<board>-compiled/ under `root`; `device()` answers with the reference outputs."""

    root: Path
    name: str
    board: str
    arrays: dict[str, Any]
    quantize: dict[str, Any]

    @property
    def folder(self) -> Path:
        return self.root / "build" / self.name / f"{self.board}-compiled"

    def device(self, faults: Faults | None = None, **facts: Any) -> FakeDevice:
        inputs, outputs = self.arrays["inputs"], self.arrays["outputs"]
        known = {window.tobytes(): output.tobytes() for window, output in zip(inputs, outputs, strict=True)}
        quantize = self.quantize
        scales = tuple(quantize[edge][key] for edge in ("input", "output") for key in ("scale", "zero_point"))
        usual = {
            "input_bytes": inputs[0].size,
            "output_bytes": outputs[0].size,
            "model": self.name,
            "board": self.board,
            "model_id": bytes.fromhex(quantize["model_id"]),
            "scales": scales,
            "arena": 2048,
            "weights": 1000,
            "compute": known.__getitem__,
        }
        return FakeDevice(faults=faults or Faults(), **{**usual, **facts})


def fake_build(
    root: Path,
    name: str = "demo",
    board: str = "host",
    kind: str = "classification",
    count: int = 60,
    wide: bool = False,
) -> FakeBuild:
    """Write the files of a model of this kind, all windows classified or detected rather well; `wide`: 16x8."""
    for folder in ("boards", "models", "firmware/ports/host"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "firmware" / "ports" / "host" / "port.c").touch()
    shutil.copy(HERE / "boards" / "host.toml", root / "boards" / f"{board}.toml")
    rng = np.random.default_rng(1)
    if kind == "anomaly":
        task, arrays, edges = _anomaly(rng, count)
    else:
        task, arrays, edges = _classification(rng, count)
    quantize = _quantize(name, task, arrays, edges)
    return write(FakeBuild(root, name, board, *(_wide(arrays, quantize) if wide else (arrays, quantize))))


def write(build: FakeBuild) -> FakeBuild:
    """Put the files there (again)."""
    parent = build.root / "build" / build.name
    files.write_json(parent / "quantize.json", build.quantize)
    files.write_arrays(parent / "reference.npz", build.arrays, packed=False)
    files.write_json(build.folder / "plan.json", _plan(build))
    size = {"flash": 9000, "ram": 5000, "code": 4000, "weights": 1000, "arena": 2048, "stack": 1024}
    more = {"board": build.board, "runtime": "compiled", "compiler": "gcc 12", "elf": "firmware.elf", "image": None}
    files.write_json(build.folder / "size.json", {**more, **size, "limits": {"flash": 1_048_576, "ram": 262_144}})
    return build


def _classification(rng: Any, count: int) -> tuple[Any, Any, Any]:
    labels = np.arange(count) % len(LABELS)
    outputs = rng.integers(-120, -20, (count, len(LABELS)), dtype=np.int8)
    outputs[np.arange(count), np.where(np.arange(count) % 10 == 9, (labels + 1) % 3, labels)] = 90
    inputs = rng.integers(-128, 128, (count, 8, 2), dtype=np.int8)
    edges = ({"scale": 0.5, "zero_point": 3, "shape": [8, 2]}, {"scale": 0.00390625, "zero_point": -128, "shape": [3]})
    return {"kind": "classification", "labels": LABELS}, _arrays(inputs, outputs, labels, edges), edges


def _anomaly(rng: Any, count: int) -> tuple[Any, Any, Any]:
    labels = np.arange(count) % 2
    inputs = rng.integers(-100, 100, (count, 12), dtype=np.int8)
    off = np.where(labels[:, None] == 1, 25, 3) * rng.random((count, 12))
    outputs = np.clip(inputs + off, -128, 127).astype(np.int8)
    edges = ({"scale": 0.5, "zero_point": 0, "shape": [12]}, {"scale": 0.5, "zero_point": 0, "shape": [12]})
    task = {"kind": "anomaly", "labels": ["normal", "fault"], "threshold": {"float": 4.0, "pruned": 4.0, "int8": 4.0}}
    return task, _arrays(inputs, outputs, labels, edges), edges


def _wide(arrays: Any, quantize: Any) -> tuple[Any, Any]:
    """The same model with 16-bit windows and answers: every real number is what it was."""
    facts, wide = {**quantize, "activations": 16}, dict(arrays)
    for edge in ("input", "output"):
        known = quantize[edge]
        values = ((arrays[f"{edge}s"].astype(np.int16) - known["zero_point"]) * 64).astype("<i2")
        part = {"at": 0, "dtype": "int16", "shape": known["shape"], "scale": known["scale"] / 64, "zero_point": 0}
        wide[f"{edge}s"] = values.reshape(len(values), -1).view(np.int8)
        whole = {"scale": part["scale"], "zero_point": 0, "shape": [wide[f"{edge}s"].shape[1]]}
        facts[edge] = {**whole, "parts": [part], "judged": 0}
    return wide, facts


def _arrays(inputs: Any, outputs: Any, labels: Any, edges: Any) -> dict[str, Any]:
    real = metrics.dequantize(outputs, edges[1])
    return {
        "inputs": inputs,
        "outputs": outputs,
        "labels": labels.astype(np.int64),
        "groups": (labels * 0).astype(np.int64),
        "float_outputs": real + np.float32(0.001),
        "pruned_outputs": real,
    }


def _quantize(name: str, task: Any, arrays: Any, edges: Any) -> dict[str, Any]:
    inputs = metrics.dequantize(arrays["inputs"], edges[0])
    real = {
        "float": arrays["float_outputs"],
        "pruned": arrays["pruned_outputs"],
        "int8": metrics.dequantize(arrays["outputs"], edges[1]),
    }
    scores = {rung: metrics.score(task, outputs, arrays["labels"], inputs, rung) for rung, outputs in real.items()}
    main, minimum = ("accuracy", 0.8) if task["kind"] == "classification" else ("auc", 0.9)
    return {
        "model": name,
        "model_id": "5f1c02ab00112233",
        "task": task,
        "input": edges[0],
        "output": edges[1],
        "metrics": scores,
        "limits": {"metric": main, "minimum": minimum, "drop_pruned": 0.02, "drop_int8": 0.02, "ticks": {}},
        "sparsity": [
            {"layer": "conv1", "before": 0.0, "after": 0.7, "weights": 480},
            {"layer": "classes", "before": 0.1, "after": 0.75, "weights": 120},
        ],
    }


def _plan(build: FakeBuild) -> dict[str, Any]:
    quantize, arrays = build.quantize, build.arrays
    edges = {
        edge: {"bytes": arrays[f"{edge}s"][0].size, **{key: quantize[edge][key] for key in ("scale", "zero_point")}}
        for edge in ("input", "output")
    }
    facts = {"model": build.name, "model_id": quantize["model_id"], "board": build.board, "runtime": "compiled"}
    operators = [{"index": index, "op": "CONV_2D", "name": f"conv{index}"} for index in range(3)]
    places = [
        ("arena", 0, 1200, 0, 1),
        ("arena", 1200, 600, 1, 2),
        ("scratch", 1800, 248, 1, 1),
        ("input", 0, 60, 0, 0),
    ]
    keys = ("place", "offset", "bytes", "first", "last")
    tensors = [{"name": "t", "shape": [1], **dict(zip(keys, place, strict=True))} for place in places]
    return {**facts, "kernel_version": 1, "arena_bytes": 2048, "weights_bytes": 1000, **edges, "operators": operators,
            "tensors": tensors}  # fmt: skip


def replaced(build: FakeBuild, **changes: Any) -> FakeBuild:
    """The build with other facts, its files written anew."""
    return write(dataclasses.replace(build, **changes))
