"""The firmware of one model as a PlatformIO project: one environment for each board of the Arduino tools."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline import files, generate
from pipeline.board import Board, load_board
from pipeline.ctext import render
from pipeline.problem import Problem, Problems, run
from pipeline.sketch import write_sources

RUNTIME = "compiled"


def write_project(root: Path, name: str, boards: Sequence[Board]) -> Path:
    """Write build/<name>/platformio/ with a folder of sources for each board; returns it."""
    project = files.build_dir(name) / "platformio"
    for board in boards:
        folder = files.firmware_dir(name, board.name, RUNTIME).relative_to(root)
        place = project / "src" / board.name
        shutil.rmtree(place, ignore_errors=True)
        write_sources(root, folder, name, board, RUNTIME, place / "src", "arduino/board.h.j2")
        sketch = (root / "firmware" / "ports" / board.port / "sketch.ino").read_text()
        files.write_text(place / "main.cpp", render("arduino/main.cpp.j2", {"sketch": sketch}))
    files.write_text(project / "platformio.ini", render("platformio.ini.j2", {"name": name, "boards": boards}))
    return project


def known_boards() -> list[str]:
    """Names of the boards that PlatformIO knows."""
    return [name for name in files.board_names() if load_board(name).platformio]


def generated(name: str, boards: Sequence[Board], all_of_them: bool) -> list[Board]:
    """Generate the code for each board. Those that have no room for it are left out, which is said, unless all of them
    were asked for."""
    found, problems = list[Board](), dict[str, Problem | Problems]()
    for board in boards:
        try:
            generate.main([name, "--board", board.name, "--runtime", RUNTIME])
            found.append(board)
        except (Problem, Problems) as error:
            problems[board.name] = error
    if problems and (all_of_them or not found):
        raise next(iter(problems.values()))
    for left_out, why in problems.items():
        parts = why.problems if isinstance(why, Problems) else (why,)
        sys.stderr.write(f"without {left_out}: {'; '.join(part.what for part in parts)}\n")
    return found


def main(argv: list[str]) -> int:
    """Generate the code for each board and write the project."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.platformio", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="the model, models/NAME")
    parser.add_argument("boards", nargs="*", metavar="BOARD", help="boards/BOARD.toml (default: all with room)")
    options = parser.parse_args(argv)
    name = files.check_model_name(options.name)
    boards = [load_board(each) for each in options.boards or known_boards()]
    if not boards:
        raise Problem(
            "boards", "there is none that PlatformIO knows", "a board's [platformio] names it: boards/README.md"
        )
    for board in boards:
        if board.platformio is None:
            what = "has no [platformio] in its file"
            raise Problem(f"board {board.name}", what, f"there are: {', '.join(known_boards())}")
    if (files.build_dir(name) / "model.tflite").exists():
        boards = generated(name, boards, all_of_them=bool(options.boards))
    root = files.project_root()
    project = write_project(root, name, boards).relative_to(root)
    sys.stdout.write(f"{project}: pio run -d {project} -e {boards[0].name} -t upload --upload-port PORT\n")
    return 0


if __name__ == "__main__":
    run(main)
