"""A window step by step on the device: the ticks of every step, and the first whose bytes are not the reference's."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import files, wire
from pipeline.built import Built
from pipeline.device import Device
from pipeline.problem import EXIT_DEVICE, Problem
from pipeline.wire import Frame

PART = 4096  # bytes of a tensor asked for at once
SECONDS = 20.0  # for one window with a look at every step, and a tensor's bytes behind it
PROFILE, COMPARE, DIFFERED = "profile", "compare", "differed"
UNKNOWN = ("type", "length")  # what firmware without LAYERS and TENSOR says to them
Facts = dict[str, Any]
Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Step:
    """One step on the device: ticks, and CRC-32 of what it wrote."""

    ticks: int
    crc: int


def steps(device: Device, window: bytes) -> list[Step] | None:
    """Every step of one window; None when the firmware was built without LAYERS."""
    answer = device.ask(wire.LAYERS, window, SECONDS)
    if answer.type == wire.ERROR and wire.parse_error(answer.body).code in UNKNOWN:
        return None
    with _as_problem(device):
        return [Step(*record) for record in wire.parse_layers(_body(device, answer, wire.LAYERS_ANSWER), window)]


def stack(device: Device) -> Facts | None:
    """The stack's size and the most of it that was ever used, in bytes; None where the firmware does not know."""
    answer = device.ask(wire.STACK, b"", SECONDS)
    if answer.type == wire.ERROR and wire.parse_error(answer.body).code in UNKNOWN:
        return None
    with _as_problem(device):
        size, used = wire.parse_stack(_body(device, answer, wire.STACK_ANSWER))
    return {"size": size, "used": used} if size else None


def tensor(device: Device, window: bytes, maker: int, when: int) -> bytes:
    """What step `maker` wrote (-1: the window) as it stands behind step `when`, fetched part by part."""
    content, size = b"", 1
    while len(content) < size:
        question = wire.ask_tensor(window, maker, when, len(content), PART)
        body = _body(device, device.ask(wire.TENSOR, question, SECONDS), wire.TENSOR_ANSWER)
        with _as_problem(device):
            size, part = wire.parse_tensor(body, window)
        if not part:
            raise Problem(device.name, f"gave no bytes of a tensor of {size} bytes", "", EXIT_DEVICE)
        content += part
    return content


@contextmanager
def _as_problem(device: Device) -> Iterator[None]:
    """What wire says of an answer is the device's mistake."""
    try:
        yield
    except ValueError as error:
        hint = "firmware and harness are of different versions: build and flash the firmware again"
        raise Problem(device.name, f"the device {error}", hint, EXIT_DEVICE) from error


def _body(device: Device, answer: Frame, wanted: int) -> bytes:
    if answer.type == wanted:
        return answer.body
    error = wire.parse_error(answer.body)
    what = f"cannot show its layers: {error.code}: {error.text}"
    raise Problem(device.name, what, "build and flash the firmware again", EXIT_DEVICE)


def profile(seen: list[Step], model: Built, ticks_per_unit: float) -> list[Facts]:
    """A row a step: its operator and name, ticks in the clock's unit, share, MACs, ticks a MAC, weights, zeros, and
    what it would be with all of its weights.

    Where no step has ticks (TFLite Micro's package times none), ticks and share are None."""
    whole = sum(step.ticks for step in seen)
    rows = []
    for step, facts in zip(seen, model.plan["operators"], strict=False):
        units, macs = step.ticks / ticks_per_unit, facts.get("macs", 0)
        rows.append({
            **{key: facts.get(key)
               for key in ("index", "op", "name", "kernel", "macs", "weights_bytes", "zeros", "dense")},
            "ticks": round(units, 1) if whole else None,
            "share": step.ticks / whole if whole else None,
            "ticks_per_mac": round(units / macs, 3) if macs and whole else None,
        })  # fmt: skip
    return rows


def look(device: Device, model: Built, index: int, ticks_per_unit: float, why: str) -> Facts | None:
    """Window `index` of the test split step by step. `why`: PROFILE asks for no more, the others for a comparison."""
    window = model.reference["inputs"][index].tobytes()
    deepest = stack(device)  # first: a look at the layers goes deeper than the model
    seen = steps(device, window)
    if seen is None:
        return None
    facts: Facts = {
        "stack": deepest,
        "window": index,
        "steps": profile(seen, model, ticks_per_unit),
        "first": None,
        "words": "",
    }
    if why == PROFILE:
        return facts
    expected = reference_tensors(model, index)
    wrong = first_difference(seen, model, expected)
    if wrong is None:
        again = " when it runs once more" if why == DIFFERED else ""
        return {**facts, "words": f"every step of window {index} equals the reference{again}"}
    first = difference(device, window, model.plan["operators"], wrong, expected)
    folder = write_repro(model, first, expected)
    shown = {key: value for key, value in first.items() if not isinstance(value, bytes | list)}
    return {**facts, "first": {**shown, "folder": str(folder)}, "words": in_words(first, index)}


def first_difference(seen: list[Step], model: Built, expected: Tensors) -> int | None:
    """The first step whose output is not the reference's; of several that fill one tensor, the last is judged. Floats
    between integers have no reference."""
    outputs = [facts["output"] for facts in model.plan["operators"]]
    for number, step in enumerate(seen):
        whole = outputs[number] not in outputs[number + 1 :]
        wanted = expected.get(f"t{outputs[number]}")
        if whole and wanted is not None and step.crc != zlib.crc32(wanted.tobytes()):
            return number
    return None


def difference(device: Device, window: bytes, operators: list[Facts], number: int, expected: Tensors) -> Facts:
    """The output of step `number` against the reference's, and whether its inputs were right when it began."""
    facts = operators[number]
    got = tensor(device, window, number, number)
    wanted = expected[f"t{facts['output']}"]
    values = np.frombuffer(got, wanted.dtype).astype(np.int64)
    apart = np.abs(values - wanted.reshape(-1).astype(np.int64))
    inputs = [
        b"".join(tensor(device, window, step, number - 1)[start : start + count] for step, start, count in makers)
        for makers in facts["makers"]
    ]
    known = {i: expected[f"t{i}"].tobytes() for i in facts["inputs"] if f"t{i}" in expected}
    wrong = [i for i, content in zip(facts["inputs"], inputs, strict=True) if content != known.get(i, content)]
    at = int(np.argmax(apart > 0))
    return {
        **{key: facts.get(key) for key in ("index", "op", "name", "kernel", "output")},
        "bytes": int((apart > 0).sum()), "of": len(apart), "largest": int(apart.max()), "at": at,
        "got_value": int(values[at]), "expected_value": int(wanted.reshape(-1)[at]),
        "wrong_inputs": len(wrong), "got": got, "inputs": inputs,
    }  # fmt: skip


def in_words(first: Facts, window: int) -> str:
    """The first step that differs, as a sentence."""
    name = f"step {first['index']} {first['op']} {first['name']}"
    if not first["bytes"]:
        return f"window {window}: {name} differed once and was right when asked again: it is not deterministic"
    value = f"value {first['at']} is {first['got_value']}, not {first['expected_value']}"
    blame = "its inputs are right"
    if first["wrong_inputs"]:
        blame = "an input was overwritten before it began"
    return (f"window {window}: {name} is the first that differs: {first['bytes']} of {first['of']} values,"
            f" by at most {first['largest']}; {value}; {blame}")  # fmt: skip


def reference_tensors(model: Built, index: int) -> dict[str, NDArray[Any]]:
    """Every tensor t<index> of one window as it must be, computed in a process that knows graphs."""
    with tempfile.TemporaryDirectory() as folder:
        window, tensors = Path(folder) / "window.npz", Path(folder) / "tensors.npz"
        files.write_arrays(window, {"inputs": model.reference["inputs"][index : index + 1]})
        most = model.plan.get("arena_most")
        compiled = ["--core", model.plan.get("core", ""), *(["--arena", str(most)] if most else [])]
        _apart("pipeline.tensors", str(_flatbuffer(model)), str(window), str(tensors), *compiled)
        return files.read_arrays(tensors, "python -m pipeline.tensors")


def write_repro(model: Built, first: Facts, expected: Tensors) -> Path:
    """The folder with the one step: its model, bytes in, expected and got, and C that runs it."""
    folder = model.folder / f"differs-{first['index']:02}-{first['name']}"
    same = [step for step in model.plan["operators"] if step["output"] == first["output"]]  # they fill it together
    seen = dict(zip(model.plan["operators"][first["index"]]["inputs"], first["inputs"], strict=True))
    inputs = list(dict.fromkeys(i for step in same for i in step["inputs"]))
    for number, i in enumerate(inputs):
        files.write_bytes(folder / f"input{number}.bin", seen[i] if i in seen else expected[f"t{i}"].tobytes())
    files.write_bytes(folder / "got.bin", first["got"])
    files.write_bytes(folder / "expected.bin", expected[f"t{first['output']}"].tobytes())
    _apart("pipeline.repro", str(_flatbuffer(model)), str(folder), "--tensor", str(first["output"]),
           "--inputs", *map(str, inputs), "--core", model.board.core)  # fmt: skip
    return folder


def _flatbuffer(model: Built) -> Path:
    return files.needed(files.build_dir(model.name) / "model.tflite", f"make model name={model.name}")


def _apart(module: str, *arguments: str) -> None:
    """Run a stage in a process of its own; its own message is on stderr."""
    root = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))}
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], stdout=subprocess.DEVNULL, env=environment, check=False
    )
    if done.returncode != 0:
        raise Problem(module, f"ended with exit code {done.returncode}", "its own message is above", done.returncode)
