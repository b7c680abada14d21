"""Boards are facts: boards/<name>.toml read strictly into a Board."""

from __future__ import annotations

import shutil
import tomllib
from dataclasses import dataclass
from typing import Any

from pipeline import arduino, files
from pipeline.arduino import Arduino
from pipeline.memory import USUAL, Memory, unknown
from pipeline.problem import Problem, did_you_mean, raise_all
from pipeline.program import program_of
from pipeline.table import overlaid, read_table
from pipeline.tool import has_module

FEATURES = ("layers", "mlperf")  # of the firmware, that a board may leave out
IDF_TOOL = "idf.py"
CLOCK_KINDS = ("cycles", "instructions", "microseconds")


@dataclass(frozen=True)
class Compiler:
    """One C compiler that builds for the board; the first that is on PATH is taken."""

    command: str
    package: str = ""  # the Debian package that brings it, if one does
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Build:
    """How C becomes firmware: flags of the core, and compilers in the order they are tried."""

    flags: tuple[str, ...]
    compilers: tuple[Compiler, ...]
    link_flags: tuple[str, ...] = ()


NOTHING = Build((), ())  # is compiled: the board interprets the model


@dataclass(frozen=True)
class Idf:
    """How ESP-IDF knows a board: the chip, as `idf.py set-target` takes it."""

    target: str


@dataclass(frozen=True)
class Platformio:
    """How PlatformIO knows a board of the Arduino tools."""

    platform: str
    board: str


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
class Serial:
    """How the board's serial line is opened."""

    baud: int
    dtr: bool
    rts: bool
    settle_seconds: float  # after opening: boards that reset then need it to start
    max_baud: int = 0  # the harness agrees with the firmware on a rate up to this one


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


@dataclass(frozen=True)
class Board:
    """boards/<name>.toml. `core` is also the folder of faster kernels, firmware/kernels/<core>/, if there is one."""

    name: str
    chip: str
    core: str
    port: str
    clock_hz: int
    flash_bytes: int
    ram_bytes: int  # RAM the firmware may use: data, activations, stack; on an ESP32 constants too, but not code (IRAM)
    arena_bytes: int  # at most this much of it for activations
    serial: Serial
    build: Build = NOTHING
    arduino: Arduino | None = None  # instead of `build`
    idf: Idf | None = None  # instead of `build`
    platformio: Platformio | None = None  # besides `arduino`
    memory: Memory = USUAL
    leave_out: tuple[str, ...] = ()  # FEATURES that there is no room for
    image: Image | None = None
    upload: Upload | None = None
    emulator: Emulator | None = None
    runtimes: tuple[str, ...] = ()  # the only ones it runs, the usual one first; empty: any

    @property
    def usual_runtime(self) -> str:
        """The runtime to take when nobody says which."""
        return self.runtimes[0] if self.runtimes else "compiled"

    @property
    def is_compiled(self) -> bool:
        """Whether firmware is made for it; else it interprets the model."""
        return self.arduino is not None or self.idf is not None or self.build is not NOTHING


def board_names() -> list[str]:
    """Names of all boards: the files of boards/ but local.toml, which holds settings of this machine."""
    return sorted(path.stem for path in (files.project_root() / "boards").glob("*.toml") if path.stem != "local")


def load_board(name: str) -> Board:
    """The board of boards/<name>.toml; all problems of the file at once."""
    if name not in board_names():
        raise Problem("boards", f"there is no board {name}", did_you_mean(name, board_names()))
    where = f"boards/{name}.toml"
    table = _whole_table(name, where)
    problems: list[Problem] = []
    if "name" in table:
        problems.append(Problem(where, "has no key name", "the name is the file's"))
    board = read_table(Board, {**table, "name": name}, where, "", problems)
    raise_all(problems)
    assert isinstance(board, Board)
    raise_all(_contradictions(board, where))
    return board


def _whole_table(name: str, where: str) -> dict[str, Any]:
    """The table of boards/<name>.toml, laid over that of the board it says it is `like`."""
    table = _table(name, where)
    base = table.pop("like", None)
    if base is None:
        return table
    if base not in board_names():
        raise Problem(where, f"like: there is no board {base}", did_you_mean(str(base), board_names()))
    under = _table(base, f"boards/{base}.toml")
    if "like" in under:
        raise Problem(where, f"like: {base} is itself like {under['like']}", "name the board that is like no other")
    return overlaid(under, table)


def _table(name: str, where: str) -> dict[str, Any]:
    path = files.project_root() / "boards" / f"{name}.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Problem(where, f"is not TOML: {error}") from error


def find_compiler(board: Board) -> Compiler | None:
    """The first of the board's compilers that is on PATH; for a board of the Arduino tools, that tool."""
    if board.arduino:
        tool = arduino.find_tool(board.arduino)
        return Compiler(tool) if tool else None
    if board.idf:
        return Compiler(IDF_TOOL) if shutil.which(IDF_TOOL) else None
    return next((each for each in board.build.compilers if shutil.which(each.command)), None)


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
    return f"apt install {emulator.package}" if emulator.package else ""


def _contradictions(board: Board, where: str) -> list[Problem]:
    problems = _unknown_ports(board, where)
    for key in ("clock_hz", "flash_bytes", "ram_bytes", "arena_bytes"):
        if getattr(board, key) <= 0:
            problems.append(Problem(where, f"{key} is {getattr(board, key)}, not above 0"))
    if board.serial.baud <= 0 or board.serial.settle_seconds < 0:
        problems.append(Problem(where, "[serial] baud must be above 0 and settle_seconds not below"))
    for feature in sorted(set(board.leave_out) - set(FEATURES)):
        problems.append(Problem(where, f"leave_out: there is no feature {feature}", did_you_mean(feature, FEATURES)))
    if board.arena_bytes > board.ram_bytes and not board.memory.arena:
        problems.append(Problem(where, f"arena_bytes {board.arena_bytes} is more than ram_bytes {board.ram_bytes}"))
    return (
        problems + _sections(board, where) + (_emulator_contradictions(board.emulator, where) if board.emulator else [])
    )


def _sections(board: Board, where: str) -> list[Problem]:
    problems = []
    if not board.is_compiled and not board.emulator:
        hint = "without [build] only an emulator can run it"
        problems.append(Problem(where, "has neither [build] nor [emulator]", hint))
    if sum((board.build is not NOTHING, board.arduino is not None, board.idf is not None)) > 1:
        problems.append(Problem(where, "has more than one of [build], [arduino] and [idf]", "each builds all of it"))
    if board.platformio and not board.arduino:
        problems.append(Problem(where, "[platformio] is another way to [arduino], which it lacks"))
    if board.build is not NOTHING and not board.build.compilers:
        problems.append(Problem(where, "[build] compilers is empty"))
    if board.upload and not board.image:
        problems.append(Problem(where, "[upload] needs an [image] to write"))
    return problems


def _unknown_ports(board: Board, where: str) -> list[Problem]:
    ports = files.project_root() / "firmware" / "ports"
    if not ports.is_dir():  # a bench that only checks boards builds nothing
        return []
    known = sorted(path.parent.name for path in ports.glob("*/port.c*"))
    asked = {board.port, *([board.emulator.port] if board.emulator else [])}
    what = "there is no port {} in firmware/ports"
    problems = [Problem(where, what.format(name), did_you_mean(name, known)) for name in sorted(asked - set(known))]
    return problems or unknown(board.memory, ports / board.port, where)


def _emulator_contradictions(emulator: Emulator, where: str) -> list[Problem]:
    problems = []
    if emulator.source and not (files.project_root() / emulator.source).is_file():
        problems.append(Problem(where, f"[emulator] there is no source {emulator.source}"))
    if not emulator.command:
        problems.append(Problem(where, "[emulator] command is empty"))
    if emulator.clock.kind not in CLOCK_KINDS:
        hint = did_you_mean(emulator.clock.kind, CLOCK_KINDS)
        problems.append(Problem(where, f"[emulator.clock] there is no kind {emulator.clock.kind}", hint))
    if emulator.clock.ticks_per_unit <= 0:
        problems.append(Problem(where, "[emulator.clock] ticks_per_unit must be above 0"))
    return problems
