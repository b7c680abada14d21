"""Boards are facts: boards/<name>.toml read strictly into a Board."""

from __future__ import annotations

import math
import re
import shutil
from dataclasses import dataclass

from pipeline import arduino, files
from pipeline.arduino import Arduino
from pipeline.commands import UPLOAD_PLACES, Emulator, Image, Upload, emulator_problems, image_problems, unknown_places
from pipeline.cores import misspelt
from pipeline.memory import USUAL, Memory, unknown
from pipeline.ports import MOST_BAUD
from pipeline.problem import Problem, did_you_mean, raise_all
from pipeline.table import board_table, read_table

FEATURES = ("layers", "mlperf")  # of the firmware, that a board may leave out
IDF_TOOL = "idf.py"
MOST_SETTLE = 60  # seconds


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
class Serial:
    """How the board's serial line is opened."""

    baud: int
    dtr: bool
    rts: bool
    settle_seconds: float  # after opening: boards that reset then need it to start
    max_baud: int = 0  # the harness agrees with the firmware on a rate up to this one


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


def load_board(name: str) -> Board:
    """The board of boards/<name>.toml; all problems of the file at once."""
    table, where = board_table(name), f"boards/{name}.toml"
    problems: list[Problem] = []
    if "name" in table:
        problems.append(Problem(where, "has no key name", "the name is the file's"))
    board = read_table(Board, {**table, "name": name}, where, "", problems)
    raise_all(problems)
    assert isinstance(board, Board)
    raise_all(_contradictions(board, where))
    return board


def find_compiler(board: Board) -> Compiler | None:
    """The first of the board's compilers that is on PATH; for a board of the Arduino tools, that tool."""
    if board.arduino:
        tool = arduino.find_tool(board.arduino)
        return Compiler(tool) if tool else None
    if board.idf:
        return Compiler(IDF_TOOL) if shutil.which(IDF_TOOL) else None
    return next((each for each in board.build.compilers if shutil.which(each.command)), None)


def how_to_compile(board: Board) -> str:
    """The command that brings one of the board's compilers, as far as the board file says."""
    packages = [each.package for each in board.build.compilers if each.package]
    return f"apt install {' or '.join(packages)}" if packages else "put it on PATH"


def _contradictions(board: Board, where: str) -> list[Problem]:
    problems = _unknown_names(board, where)
    for key in ("clock_hz", "flash_bytes", "ram_bytes", "arena_bytes"):
        if getattr(board, key) <= 0:
            problems.append(Problem(where, f"{key} is {getattr(board, key)}, not above 0"))
        if getattr(board, key) >= 2**32:
            problems.append(Problem(where, f"{key} is {getattr(board, key)}, which needs more than 32 bits"))
    if board.arena_bytes > board.ram_bytes and not board.memory.arena:
        problems.append(Problem(where, f"arena_bytes {board.arena_bytes} is more than ram_bytes {board.ram_bytes}"))
    problems += _serial(board.serial, where) + _sections(board, where)
    if board.arduino:
        port = files.project_root() / "firmware" / "ports" / board.port
        problems += arduino.wrong(board.arduino, port, where)
    if board.image:
        problems += image_problems(board.image, bool(board.arduino or board.idf), where)
    if board.upload:
        problems += unknown_places(board.upload.command, UPLOAD_PLACES, where, "[upload] command")
    return problems + (emulator_problems(board.emulator, where) if board.emulator else [])


def _serial(serial: Serial, where: str) -> list[Problem]:
    problems = []
    if serial.baud <= 0 or serial.settle_seconds < 0:
        problems.append(Problem(where, "[serial] baud must be above 0 and settle_seconds not below"))
    if serial.settle_seconds > MOST_SETTLE or math.isnan(serial.settle_seconds):
        what = f"[serial] settle_seconds is {serial.settle_seconds:g}, at most {MOST_SETTLE} are waited"
        problems.append(Problem(where, what, "seconds, not milliseconds"))
    for key in ("baud", "max_baud"):
        if getattr(serial, key) > MOST_BAUD:
            problems.append(Problem(where, f"[serial] {key} is {getattr(serial, key)}, no line does that"))
    if serial.max_baud and serial.max_baud < serial.baud:
        what = f"[serial] max_baud {serial.max_baud} is less than baud {serial.baud}"
        problems.append(Problem(where, what, "leave it out where the rate cannot change"))
    return problems


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
    for command in (each.command for each in board.build.compilers):
        if not command or ("/" not in command and len(command.split()) > 1):
            hint = "one program; what it is told belongs in flags"
            problems.append(Problem(where, f"[build] compilers: {command!r} is no command", hint))
    if board.upload and not board.image:
        problems.append(Problem(where, "[upload] needs an [image] to write"))
    return problems


def _unknown_names(board: Board, where: str) -> list[Problem]:
    """Problems of names: the board's own, its core, what it leaves out, runtimes and ports."""
    problems = []
    if not re.fullmatch(r"[\w.+-]+", board.name, re.ASCII):
        problems.append(Problem(where, "its name goes into C and folders", "letters, digits, - and _ only"))
    if (near := misspelt(board.core)) is not None:
        hint = (
            f"did you mean {near}?" if near else "the processor, such as cortex-m4; its faster kernels lie in a folder"
        )
        problems.append(Problem(where, f"there is no core {board.core!r}", hint))
    for feature in sorted(set(board.leave_out) - set(FEATURES)):
        problems.append(Problem(where, f"leave_out: there is no feature {feature}", did_you_mean(feature, FEATURES)))
    known = sorted(path.name for path in (files.project_root() / "firmware" / "runtimes").glob("*") if path.is_dir())
    for runtime in (each for each in board.runtimes if known and each not in known):
        problems.append(Problem(where, f"runtimes: there is no runtime {runtime}", did_you_mean(runtime, known)))
    return problems + _unknown_ports(board, where)


def _unknown_ports(board: Board, where: str) -> list[Problem]:
    ports = files.project_root() / "firmware" / "ports"
    if not ports.is_dir():  # a bench that only checks boards builds nothing
        return []
    known = sorted(path.parent.name for path in ports.glob("*/port.c*"))
    asked = {board.port, *([board.emulator.port] if board.emulator else [])}
    what = "there is no port {} in firmware/ports"
    problems = [Problem(where, what.format(name), did_you_mean(name, known)) for name in sorted(asked - set(known))]
    return problems or unknown(board.memory, ports / board.port, where)
