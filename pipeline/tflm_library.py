"""Where TFLite Micro comes from for a board without a framework: headers and a static library that the user built."""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import files
from pipeline.problem import EXIT_TOOL, Problem, did_you_mean, raise_all

LOCAL = "boards/local.toml"
KEYS = ("tflm_include", "tflm_library", "tflm_flags")
WAYS = (
    "one of three: framework=arduino with the Arduino-ESP32 core 3.x, which has it; framework=idf with the component"
    " espressif/esp-tflite-micro; or a static library of yours for this processor:"
    " make tflm_include=FOLDER tflm_library=FILE, or both keys in " + LOCAL
)
MORE_FOLDERS = (
    "name the folder that holds tensorflow/; third-party headers that are not inside it go behind it,"
    f" with {os.pathsep} between"
)
# Headers that the generated code leads to, and where TFLite Micro's sources and Espressif's component keep them.
HEADERS = ("tensorflow/lite/micro/micro_interpreter.h", "flatbuffers/flatbuffers.h")
THIRD_PARTY = ("third_party", "tensorflow/lite/micro/tools/make/downloads")
INSIDE = ("flatbuffers/include", "gemmlowp", "ruy")


@dataclass(frozen=True)
class Library:
    """Folders of headers, the library, and flags that its headers want (-DCMSIS_NN where it has those kernels)."""

    include: tuple[Path, ...]
    library: Path
    flags: tuple[str, ...]

    @property
    def build(self) -> str:
        """The library's name and the start of its SHA-256, for the INFO frame."""
        return f"{self.library.name} {hashlib.sha256(self.library.read_bytes()).hexdigest()[:8]}"


def find_library(board: str) -> Library:
    """What TFLM_INCLUDE, TFLM_LIBRARY and TFLM_FLAGS say (make's tflm_include= and so on), else boards/local.toml."""
    told = {**_local(board), **{key: value for key in KEYS if (value := os.environ.get(key.upper()))}}
    missing = [key for key in KEYS[:2] if not told.get(key)]
    if missing:
        what = f"needs TFLite Micro, which this project does not contain: no {' and no '.join(missing)} is given"
        raise Problem("runtime=tflm", what, WAYS, EXIT_TOOL)
    include = tuple(each for root in told["tflm_include"].split(os.pathsep) for each in _folders(Path(root)))
    library = Path(told["tflm_library"]).absolute()
    problems = [] if library.is_file() else [Problem("tflm_library", f"there is no file {library}", WAYS, EXIT_TOOL)]
    for header in HEADERS:
        if not any((folder / header).is_file() for folder in include):
            what = f"{told['tflm_include']} has no {header}"
            problems.append(Problem("tflm_include", what, MORE_FOLDERS, EXIT_TOOL))
    raise_all(problems)
    return Library(include, library, tuple(told.get("tflm_flags", "").split()))


def _folders(root: Path) -> list[Path]:
    """A folder of headers, and the third-party folders inside it."""
    inside = [root / place / each for place in THIRD_PARTY for each in INSIDE]
    return [folder.absolute() for folder in (root, *inside) if folder.is_dir()]


def _local(board: str) -> dict[str, str]:
    """The keys of boards/local.toml, at its top for all boards or in a table of the board's name."""
    path = files.project_root() / LOCAL
    if not path.exists():
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Problem(LOCAL, f"is not TOML: {error}") from error
    everywhere = {key: value for key, value in table.items() if not isinstance(value, dict)}
    told = {**everywhere, **table.get(board, {})}
    raise_all(_wrong(told))
    return told


def _wrong(told: Mapping[str, Any]) -> list[Problem]:
    unknown = [Problem(LOCAL, f"has no key {key}", did_you_mean(key, KEYS)) for key in told if key not in KEYS]
    return unknown + [
        Problem(LOCAL, f"{key} must be text, not {value!r}")
        for key, value in told.items()
        if not isinstance(value, str)
    ]
