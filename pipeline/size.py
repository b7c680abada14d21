"""What a firmware takes of its board, read from the ELF and the linker, and whether that fits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from pipeline.board import Board
from pipeline.memory import APART
from pipeline.problem import Problem, raise_all
from pipeline.table import roomy

# One line of the table that GNU ld prints with --print-memory-usage: region, used, unit, size, unit.
MEMORY_USAGE = re.compile(r"^\s*(\w+):\s+(\d+) (\w+)\s+(\d+) (\w+)", re.MULTILINE)
UNITS = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}
NO_ROOM = re.compile(r"region [`'](\w+)' overflowed by (\d+) bytes")
NO_AVR_RAM = re.compile(r"is not within region [`']data'")
AVR_REACH = 65_536


@dataclass(frozen=True)
class Size:
    """Bytes. `ram` is all in the board's own RAM when the firmware runs: data, activations, the stack kept for it."""

    flash: int  # the image, or everything in the ELF that has content
    ram: int
    code: int  # what has content, without the model's weights
    weights: int
    arena: int
    stack: int


def measure(elf: Path, image: Path | None, plan: dict[str, Any], stack: int = 0) -> Size:
    """Add up the sections that are loaded; where constants lie in RAM (ESP32), the linker script calls them data.

    `stack` is what is kept for it where no section says so."""
    ram = stack
    with elf.open("rb") as file:
        parsed = ELFFile(file)
        arena = arena_of(plan, parsed.elfclass // 8)
        for section in parsed.iter_sections():
            if not section["sh_flags"] & SH_FLAGS.SHF_ALLOC:
                continue
            size = section["sh_size"]
            here = section.name == ".data" or (section["sh_flags"] & SH_FLAGS.SHF_WRITE and section.name != APART)
            ram += size if here else 0
            stack += size if section.name == ".stack" else 0
    return Size(
        flash=_flash_of(image) if image else content(elf),
        ram=ram,
        code=content(elf) - plan["weights_bytes"],
        weights=plan["weights_bytes"],
        arena=arena,
        stack=stack,
    )


def content(elf: Path) -> int:
    """Bytes of an ELF file or an object that are loaded."""
    with elf.open("rb") as file:
        sections = [each for each in ELFFile(file).iter_sections() if each["sh_flags"] & SH_FLAGS.SHF_ALLOC]
        return sum(each["sh_size"] for each in sections if each["sh_type"] != "SHT_NOBITS")


def arena_of(plan: dict[str, Any], pointer_bytes: int) -> int:
    """Bytes of the arena; TFLite Micro keeps pointers in it, so that there it depends on their size."""
    if pointer_bytes == 8 and "arena" in plan:
        return int(plan["arena"]["pointers_of_8_bytes"]["bytes"])
    return int(plan["arena_bytes"])


def _flash_of(image: Path) -> int:
    """Bytes of flash that an image fills: a UF2 file is twice that."""
    size = image.stat().st_size
    return size // 2 if image.suffix == ".uf2" else size


def overflows(name: str, board: Board, memory_usage: str) -> list[Problem]:
    """What the linker's table of memory regions says is too much."""
    problems = []
    for region, used, used_unit, size, size_unit in MEMORY_USAGE.findall(memory_usage):
        needed, there = int(used) * UNITS[used_unit], int(size) * UNITS[size_unit]
        problems += _compare(name, board, region, needed, there)
    return problems


def no_room(name: str, board: Board, said: str) -> list[Problem]:
    """What an Arduino core's linker says is too much: a region by its bytes, or AVR's RAM without a number."""
    hint = "a smaller window, fewer or smaller layers, or another board"
    whats = [
        f"needs {more} bytes more than region {region} of board {board.name} has"
        for region, more in dict(NO_ROOM.findall(said)).items()
    ]
    if NO_AVR_RAM.search(said):
        whats.append(f"needs more RAM than board {board.name} has: {board.ram_bytes} bytes")
    return [Problem(f"model {name}", what, hint) for what in whats]


def does_not_fit(name: str, board: Board, size: Size) -> list[Problem]:
    """What is more than the board has although it linked."""
    return [
        *_compare(name, board, "flash", size.flash, board.flash_bytes),
        *_compare(name, board, "RAM", size.ram, board.ram_bytes),
    ]


def measured(name: str, board: Board, elf: Path, image: Path | None, plan: dict[str, Any]) -> Size:
    """`measure`, with Problems when that is more than the board has. An Arduino image may be text: its ELF counts."""
    sketch = board.arduino
    size = measure(elf, None if sketch else image, plan, sketch.stack_bytes if sketch else 0)
    raise_all([*does_not_fit(name, board, size), *constants_out_of_reach(name, board, elf)])
    return size


def arena_does_not_fit(name: str, board: Board, plan: dict[str, Any]) -> list[Problem]:
    """What the plan says before anything is compiled."""
    return _compare(name, board, "arena", plan["arena_bytes"], board.arena_bytes)


def _compare(name: str, board: Board, what: str, needed: int, there: int) -> list[Problem]:
    if needed <= there:
        return []
    limit = {"FLASH": "flash_bytes", "flash": "flash_bytes", "arena": "arena_bytes"}.get(what, "ram_bytes")
    boards = roomy(limit, needed)
    hint = "a smaller window, fewer or smaller layers" + (f", or another board: {', '.join(boards)}" if boards else "")
    return [Problem(f"model {name}", f"needs {needed} bytes of {what}, board {board.name} has {there}", hint)]


def constants_out_of_reach(name: str, board: Board, elf: Path) -> list[Problem]:
    """On AVR constants (`__flash`) are read with 16-bit addresses: they must end below 64 KB of flash."""
    with elf.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        found = table.get_symbol_by_name("__ctors_start") if isinstance(table, SymbolTableSection) else None
    end = found[0]["st_value"] if found and board.core == "avr" else 0  # constants lie between vectors and code
    what = f"has constants up to byte {end} of flash, an AVR reads them up to {AVR_REACH} only"
    return [Problem(f"model {name}", what, "fewer or smaller layers")] if end > AVR_REACH else []


def elf_compiler(elf: Path) -> str:
    """The compiler that the ELF says made it, such as gcc 5.4.0."""
    with elf.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".comment")
        text = section.data().split(b"\0")[0].decode(errors="replace") if section else ""
    return f"gcc {text.rpartition(' ')[2]}" if text.startswith("GCC") else text or "unknown"
