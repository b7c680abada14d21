"""Take over a firmware that another tool built (an IDE, idf.py, PlatformIO): its sizes, for the harness."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from pipeline import files
from pipeline.board import load_board
from pipeline.problem import Problem, run
from pipeline.size import elf_compiler, measured


def adopt(name: str, board_name: str, runtime: str, elf: Path) -> Path:
    """Write size.json of build/<name>/<board>-<runtime>/ from an ELF that was built of its sources; returns it."""
    board = load_board(board_name)
    folder = files.firmware_dir(name, board_name, runtime)
    made_by = f"python -m pipeline.generate {name} --board {board_name} --runtime {runtime}"
    plan = files.read_json(folder / "plan.json", made_by, ("arena_bytes", "weights_bytes"))
    files.needed(elf, "the tool that builds it")
    try:
        _check_linked(elf)
        size, compiler = measured(name, board, elf, None, plan), elf_compiler(elf)
    except ELFError as error:
        raise Problem(
            elf, f"is not an ELF file ({error})", "it is what the tool links, before an image is made"
        ) from error
    limits = {"flash": board.flash_bytes, "ram": board.ram_bytes}
    report = {"board": board_name, "runtime": runtime, "compiler": compiler, **dataclasses.asdict(size)}
    files.write_json(folder / "size.json", {**report, "limits": limits, "image": None, "elf": elf.name})
    return folder / "size.json"


def _check_linked(elf: Path) -> None:
    with elf.open("rb") as file:
        if ELFFile(file)["e_type"] == "ET_REL":
            raise Problem(elf, "is an object, not yet linked", "it is what the tool links of its objects")


def main(argv: list[str]) -> int:
    """Adopt an ELF."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.adopt", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="the model, models/NAME")
    parser.add_argument(
        "elf", type=Path, metavar="ELF", help="what the tool linked, such as .pio/build/uno/firmware.elf"
    )
    parser.add_argument("--board", required=True, metavar="B", help="the board, boards/B.toml")
    parser.add_argument("--runtime", default="compiled", metavar="R", help="firmware/runtimes/R (default: compiled)")
    options = parser.parse_args(argv)
    name = files.check_model_name(options.name)
    files.check_runtime(options.runtime)
    written = adopt(name, options.board, options.runtime, options.elf)
    sys.stdout.write(f"{written.relative_to(files.project_root())}: sizes of {options.elf}\n")
    return 0


if __name__ == "__main__":
    run(main)
