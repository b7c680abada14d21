"""Write a firmware image to a board, by the board's own upload command."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline import files
from pipeline.board import Board, load_board
from pipeline.idf import IDF
from pipeline.problem import EXIT_DEVICE, Problem, run
from pipeline.sketch import ARDUINO
from pipeline.tool import run_tool


def flash(board: Board, folder: Path, port: str) -> Path:
    """Write the image in `folder` (build/<name>/<board>-<runtime>) to the board at `port`; returns the image."""
    if board.upload is None or board.image is None:
        raise Problem(f"board {board.name}", "cannot be flashed: it is an emulator", f"make hil board={board.name}")
    name, runtime = folder.parent.name, folder.name.removeprefix(f"{board.name}-")
    image = files.needed(folder / board.image.file, files.make_model(name, board.name, runtime))
    if not port:
        raise Problem("--port", "is needed to flash a board", _ports())
    if "://" not in port and not Path(port).exists():
        raise Problem(port, "there is no such port", _ports(), EXIT_DEVICE)
    values = {"port": port, "image": str(image), "build": str(folder / (IDF if board.idf else ARDUINO))}
    command, package = board.upload.command, board.upload.package
    run_tool(command, values, files.project_root(), show=True, code=EXIT_DEVICE, package=package)
    return image


def _ports() -> str:
    from serial.tools import list_ports

    found = sorted(port.device for port in list_ports.comports())
    return f"there are: {', '.join(found)}" if found else "no serial port is there: is the board plugged in?"


def main(argv: list[str]) -> int:
    """Flash the firmware of a model."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.flash", description="Write the firmware to a board.")
    parser.add_argument("name", metavar="NAME", help="the model, models/NAME")
    parser.add_argument("--board", required=True, metavar="B", help="the board, boards/B.toml")
    parser.add_argument("--port", default="", metavar="P", help="where the board is, such as /dev/ttyUSB0")
    parser.add_argument("--runtime", default="compiled", metavar="R", help="firmware/runtimes/R (default: compiled)")
    options = parser.parse_args(argv)
    name, board = files.check_model_name(options.name), load_board(options.board)
    folder = files.firmware_dir(name, board.name, files.check_runtime(options.runtime))
    image = flash(board, folder, options.port)
    sys.stdout.write(f"{options.port} runs {image.relative_to(files.project_root())}\n")
    return 0


if __name__ == "__main__":
    run(main)
