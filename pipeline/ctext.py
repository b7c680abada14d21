"""Pieces of generated C that every runtime needs: the templates, names, numbers in rows, files that keep their time."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import edges, files
from pipeline.graph import Tensor

TEMPLATES = Path(__file__).parent / "templates"
LINE_BYTES = 110  # of a row of numbers


def render(template: str, view: Mapping[str, Any]) -> str:
    """The text of a template of pipeline/templates; a name that `view` lacks is an error."""
    import jinja2

    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, trim_blocks=True,
                                     lstrip_blocks=True, keep_trailing_newline=True, autoescape=False,
                                     extensions=["jinja2.ext.do"])  # fmt: skip
    return environment.get_template(template).render(view)


def origin(model: str, model_id: str, version: str) -> dict[str, Any]:
    """What the head of every generated file names."""
    id_bytes = [f"0x{byte:02x}" for byte in bytes.fromhex(model_id)]
    return {"model": model, "prefix": c_prefix(model), "version": version, "model_id": model_id, "id_bytes": id_bytes}


def flatbuffer_array(content: bytes) -> dict[str, Any]:
    """What model_data.h and model_data.c print: the .tflite as it is."""
    return {"data_bytes": len(content), "data_rows": rows(np.frombuffer(content, np.uint8))}


def c_prefix(model: str) -> str:
    """The model's name as a C identifier, to start every external name with."""
    word = re.sub(r"\W+", "_", model)
    return f"m{word}" if word[:1].isdigit() else word


def edge(*tensors: Tensor) -> dict[str, Any]:
    """The model's inputs or outputs as model.h prints them; the quantization is the first one's."""
    known = edges.facts(tensors)
    bits = struct.unpack("<I", struct.pack("<f", known["scale"]))[0]
    parts = zip(known.get("parts", [{"dtype": "int8", "at": 0, **known}]), tensors, strict=True)
    return {"bytes": edges.size(tensors), "shape": tensors[0].shape, "scale": f"{known['scale']:.9g}",
            "scale_bits": f"0x{bits:08x}u", "zero_point": known["zero_point"],
            "parts": [{**part, "bytes": tensor.bytes} for part, tensor in parts]}  # fmt: skip


def edge_json(*tensors: Tensor) -> dict[str, Any]:
    """The model's inputs or outputs as plan.json has them; several, or other than int8, one by one too."""
    known = edges.facts(tensors)
    shape = known["shape"] if "parts" in known else list(tensors[0].shape)
    return {"bytes": edges.size(tensors), **known, "shape": shape}


def array_key(values: NDArray[Any]) -> tuple[str, tuple[int, ...], bytes]:
    """What two arrays have in common that can be one in C."""
    return str(values.dtype), values.shape, values.tobytes()


def rows(values: NDArray[Any]) -> list[str]:
    """Numbers with commas, broken into lines."""
    lines, line = [], ""
    for value in values.tolist():
        word = "INT32_MIN, " if value == -(2**31) else f"{value}, "
        if len(line) + len(word) > LINE_BYTES:
            lines.append(line.rstrip())
            line = ""
        line += word
    return [*lines, line.rstrip()]


def write_changed(folder: Path, texts: Mapping[str, str]) -> None:
    """Files by name into `folder`; one that would not change keeps its time: make does no work twice."""
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            files.write_text(path, text)
