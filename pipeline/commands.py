"""The command lines of a board's file: image, upload and emulator; what may stand in them, and what is there."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from pipeline import files
from pipeline.problem import Problem, did_you_mean
from pipeline.program import program_of
from pipeline.tool import PLACE, has_module

CLOCK_KINDS = ("cycles", "instructions", "microseconds")
IMAGE_PLACES = ("python", "elf", "image")
UPLOAD_PLACES = ("python", "image", "port", "build")


@dataclass(frozen=True)
class Image:
    """What is made of the ELF to put it on the chip. {python}, {elf} and {image} are filled in.

    The Arduino tools make it themselves: of the same ending as `file`."""

    file: str
    make: tuple[str, ...] = ()
    check: tuple[str, ...] = ()


@dataclass(frozen=True)
class Upload:
    """The command that writes the image to a board. {python}, {image}, {port} and {build} (where the Arduino tools
    built it) are filled in."""

    command: tuple[str, ...]
    package: str = ""  # the Debian package that brings it, if one does


@dataclass(frozen=True)
class Clock:
    """What an emulator's clock counts, and how many of the port's ticks make one of these units."""

    kind: str
    ticks_per_unit: float


@dataclass(frozen=True)
class Emulator:
    """Stands in for the board: the same sources behind another port. {python} and {elf} are filled in, and {program}:
    `source` compiled for this machine with `link`, on first use."""

    name: str
    command: tuple[str, ...]
    port: str
    clock: Clock
    faithful: str
    not_faithful: str
    package: str = ""  # the Debian package that brings it
    module: str = ""  # the Python module without which a {python} command is of no use
    source: str = ""
    link: tuple[str, ...] = ()


def find_emulator(emulator: Emulator) -> bool:
    """Whether the emulator's program, or its Python module, is there; one that runs the ELF itself always is."""
    if emulator.source:
        return program_of(emulator.source, emulator.link) is not None
    if emulator.command[0] == "{python}":
        return not emulator.module or has_module(emulator.module)
    return emulator.command[0] == "{elf}" or shutil.which(emulator.command[0]) is not None


def how_to_install(emulator: Emulator) -> str:
    """The command that brings the emulator, as far as the board file says."""
    if emulator.module:
        return f"pip install {emulator.module}"
    if emulator.source and not emulator.package:
        return f"gcc and what it links must be there: gcc {emulator.source} {' '.join(emulator.link)}".rstrip()
    return f"apt install {emulator.package}" if emulator.package else ""


def unknown_places(command: tuple[str, ...], places: tuple[str, ...], where: str, what: str) -> list[Problem]:
    """Problems of {names} in a command line that nothing is known for, and of one that names no program."""
    named = [name for part in command for name in PLACE.findall(part) if name not in places]
    problems = [
        Problem(where, f"{what} has {{{name}}}, for which there is no value", did_you_mean(name, places))
        for name in dict.fromkeys(named)
    ]
    return problems if command and command[0] else [Problem(where, f"{what} is empty"), *problems]


def image_problems(image: Image, makes: bool, where: str) -> list[Problem]:
    """What is wrong with an [image]; `makes`: the board's tools make it themselves."""
    problems = []
    if image.file != Path(image.file).name or not image.file:
        problems.append(Problem(where, f"[image] file must be a name without a folder, not {image.file!r}"))
    if not makes and not image.make:
        problems.append(Problem(where, "[image] lacks make", "the command that makes {image} of {elf}"))
    for key in ("make", "check"):
        if command := getattr(image, key):
            problems += unknown_places(command, IMAGE_PLACES, where, f"[image] {key}")
    return problems


def emulator_problems(emulator: Emulator, where: str) -> list[Problem]:
    """What is wrong with an [emulator]."""
    places = ("python", "elf", *(("program",) if emulator.source else ()))
    problems = unknown_places(emulator.command, places, where, "[emulator] command")
    if emulator.source and not (files.project_root() / emulator.source).is_file():
        problems.append(Problem(where, f"[emulator] there is no source {emulator.source}"))
    if emulator.clock.kind not in CLOCK_KINDS:
        hint = did_you_mean(emulator.clock.kind, CLOCK_KINDS)
        problems.append(Problem(where, f"[emulator.clock] there is no kind {emulator.clock.kind}", hint))
    if not 0 < emulator.clock.ticks_per_unit < math.inf:
        problems.append(Problem(where, "[emulator.clock] ticks_per_unit must be above 0 and finite"))
    return problems
