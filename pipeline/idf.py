"""The firmware of one model as an ESP-IDF project, and building it where ESP-IDF is installed."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline import files
from pipeline.board import IDF_TOOL, Board, load_board
from pipeline.ctext import c_prefix, render
from pipeline.problem import EXIT_TOOL, Problem, run
from pipeline.progress import say
from pipeline.sketch import SOURCES, write_sources
from pipeline.tool import run_tool

IDF = "idf"  # where the project lies, in a firmware's folder
BUILD = (IDF_TOOL, "-C", "{project}", "build")
TFLM = 'espressif/esp-tflite-micro: "^1.3.1"'
REQUIRES = "driver esp_timer"


def write_project(root: Path, folder: Path, name: str, board: Board, runtime: str) -> Path:
    """Write `folder`/idf/ from the generated code in `folder` (both below `root`); returns it."""
    assert board.idf
    project = root / folder / IDF
    shutil.rmtree(project / "main", ignore_errors=True)
    write_sources(root, folder, name, board, runtime, project / "main", "idf/board.h.j2")
    names = sorted(path.name for path in (project / "main").iterdir() if path.suffix in SOURCES)
    view = {"name": name, "word": c_prefix(name), "board": board.name, "target": board.idf.target, "sources": names,
            "component": TFLM if runtime == "tflm" else "", "requires": REQUIRES,
            "psram": board.memory.arena == "psram",
            "clock_mhz": board.clock_hz // 1_000_000}  # fmt: skip
    places = {"CMakeLists.txt": "CMakeLists.txt", "main/CMakeLists.txt": "main.txt",
              "main/idf_component.yml": "idf_component.yml", "sdkconfig.defaults": "sdkconfig.defaults"}  # fmt: skip
    for place, template in places.items():
        files.write_text(project / place, render(f"idf/{template}.j2", view))
    return project


def build_project(root: Path, folder: Path, name: str, board: Board, runtime: str) -> tuple[Path, Path]:
    """Write the project and build it; the ELF and the image in `folder`, relative to `root`."""
    project = write_project(root, folder, name, board, runtime)
    if shutil.which(IDF_TOOL) is None:
        what = f"is not installed, so {project.relative_to(root)} is written but not built"
        hint = (
            f"install ESP-IDF 5.1 or later and run its export.sh;  or build the folder elsewhere with {IDF_TOOL} build"
        )
        raise Problem(IDF_TOOL, what, hint, EXIT_TOOL)
    say(f"build {project.relative_to(root)} with {IDF_TOOL}")
    run_tool(BUILD, {"project": str(project)}, root)
    made, word = project / "build", c_prefix(name)
    for suffix in (".elf", ".bin"):
        shutil.copyfile(made / f"{word}{suffix}", root / folder / f"firmware{suffix}")
    return folder / "firmware.elf", folder / "firmware.bin"


def main(argv: Sequence[str]) -> int:
    """Write the project, and say how to build it."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.idf", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="the model, models/NAME")
    parser.add_argument("--board", required=True, metavar="B", help="the board, boards/B.toml")
    parser.add_argument("--runtime", default="compiled", metavar="R", help="firmware/runtimes/R (default: compiled)")
    options = parser.parse_args(argv)
    name, board = files.check_model_name(options.name), load_board(options.board)
    files.check_runtime(options.runtime)
    if board.idf is None:
        raise Problem(f"board {board.name}", "is not built by ESP-IDF", "make boards lists those that are")
    root = files.project_root()
    folder = files.firmware_dir(name, board.name, options.runtime).relative_to(root)
    project = write_project(root, folder, name, board, options.runtime).relative_to(root)
    sys.stdout.write(f"{project}: {IDF_TOOL} -C {project} build, then {IDF_TOOL} -C {project} -p PORT flash\n")
    return 0


if __name__ == "__main__":
    run(main)
