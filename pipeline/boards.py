"""The table of `make boards`: every board, what builds it, what emulates it, and what of that is here."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import Any

from pipeline import arduino, files
from pipeline.board import (
    NOTHING,
    Board,
    find_compiler,
    how_to_compile,
    load_board,
)
from pipeline.commands import find_emulator, how_to_install
from pipeline.cores import kernels_of
from pipeline.problem import run
from pipeline.tool import program

HEAD = ("board", "chip", "core", "RAM", "flash", "runtimes", "framework", "built by", "emulator")


def facts(board: Board) -> dict[str, Any]:
    """What `--json` prints of a board: its file, and which tools are there."""
    compiler = find_compiler(board)
    found = {"compiler": compiler.command if compiler else None}
    if board.emulator:
        found["emulator"] = board.emulator.name if find_emulator(board.emulator) else None
    more = {"runtimes": _runtimes(board), "frameworks": _frameworks(board), "found": found}
    return {**dataclasses.asdict(board), **more}


def _runtimes(board: Board) -> list[str]:
    known = sorted(path.name for path in (files.project_root() / "firmware" / "runtimes").glob("*") if path.is_dir())
    return list(board.runtimes) or known


def _frameworks(board: Board) -> list[str]:
    named = {"bare metal": board.build is not NOTHING, "Arduino": board.arduino, "ESP-IDF": board.idf,
             "PlatformIO": board.platformio}  # fmt: skip
    return [name for name, there in named.items() if there] or ["none"]


def _kernels(board: Board) -> str:
    own = f"firmware/kernels/{kernels_of(board.core)}"
    if (files.project_root() / own).is_dir():
        return f"{own}, and portable ones where it has none"
    return f"portable ones: {board.core} has none of its own"


def _missing(board: Board) -> str:
    """What to install to build for a board whose tools are not there."""
    if not board.is_compiled:
        return "none: it interprets the model"
    if board.arduino:
        return f"not found ({arduino.missing(board.arduino, board.name).hint})"
    if board.idf:
        return "not found (install ESP-IDF 5.1 or later and run its export.sh)"
    return f"not found ({how_to_compile(board)})"


def table(boards: list[Board]) -> list[str]:
    """One line a board, then what each emulator is faithful to."""
    rows = [HEAD, *(_row(board) for board in boards)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*lines, "", *_fidelity(boards)]


def _row(board: Board) -> tuple[str, ...]:
    compiler, emulator = find_compiler(board), board.emulator
    built = compiler.command if compiler else "not found" if board.is_compiled else "nothing to build"
    emulated = (emulator.name if find_emulator(emulator) else f"{emulator.name}: not found") if emulator else "none"
    size = (f"{board.ram_bytes / 1024:.0f} KB", f"{board.flash_bytes / 1024:.0f} KB")
    words = (", ".join(_runtimes(board)), ", ".join(_frameworks(board)))
    return board.name, board.chip.split(",")[0], board.core, *size, *words, built, emulated


def _fidelity(boards: list[Board]) -> list[str]:
    users: dict[tuple[str, str, str], list[str]] = {}
    for board in boards:
        if board.emulator:
            key = (board.emulator.name, board.emulator.faithful, board.emulator.not_faithful)
            users.setdefault(key, []).append(board.name)
    lines = []
    for (name, faithful, not_faithful), names in users.items():
        lines += [f"{name} ({', '.join(names)})", f"  is faithful to      {faithful}"]
        lines += [f"  is not faithful to  {not_faithful}"]
    return lines


def paragraph(board: Board) -> list[str]:
    """All about one board."""
    compiler, upload, serial = find_compiler(board), board.upload, board.serial
    ends = {True: "high", False: "low"}
    facts = {
        "compiler": compiler.command if compiler else _missing(board),
        "kernels": _kernels(board),
        "framework": ", ".join(_frameworks(board)),
        "runtimes": ", ".join(_runtimes(board)),
        "upload": program(upload.command) if upload else "none: it runs in its emulator only",
        "serial": f"{serial.baud} baud, DTR {ends[serial.dtr]}, RTS {ends[serial.rts]}, "
        f"{serial.settle_seconds:g} s to start after the port opened",
    }
    if board.emulator:
        missing = "" if find_emulator(board.emulator) else f" not found ({how_to_install(board.emulator)})"
        facts["emulator"] = f"{board.emulator.name}{missing}"
    first = (
        f"{board.name}: {board.chip}, {board.core}, {board.ram_bytes // 1024} KB RAM,"
        f" {board.flash_bytes // 1024} KB flash, port {board.port}"
    )
    return [first, *(f"  {name:<11}{words}" for name, words in facts.items()), *_indented(_fidelity([board])[1:])]


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def main(argv: list[str]) -> int:
    """Print the table of all boards, or a paragraph on each one named."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.boards", description="Show the boards.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="boards to show in full (default: a table of all)")
    parser.add_argument("--json", action="store_true", help="for a machine")
    options = parser.parse_args(argv)
    boards = [load_board(name) for name in options.names or files.board_names()]
    if options.json:
        sys.stdout.write(json.dumps([facts(board) for board in boards], indent=2) + "\n")
    elif options.names:
        sys.stdout.write("\n\n".join("\n".join(paragraph(board)) for board in boards) + "\n")
    else:
        sys.stdout.write("\n".join(table(boards)) + "\n")
    return 0


if __name__ == "__main__":
    run(main)
