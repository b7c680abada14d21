"""The firmware of one model as an Arduino sketch: a folder that needs nothing but an Arduino core."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline import arduino, files, memory
from pipeline.board import Board, load_board
from pipeline.cores import kernels_of
from pipeline.ctext import c_prefix, render
from pipeline.features import features
from pipeline.problem import Problem, raise_all, run
from pipeline.progress import say
from pipeline.size import measured, no_room

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
ARDUINO = "arduino"  # where the Arduino tools build, in a firmware's folder
SOURCES = (".c", ".cc", ".cpp")


def build_sketch(
    root: Path, folder: Path, name: str, board: Board, runtime: str, tool: str
) -> tuple[Path, Path | None]:
    """Write the sketch and compile it with `tool`; the ELF and the image in `folder`, relative to `root`."""
    assert board.arduino
    sketch = write_sketch(root, folder, name, board, runtime)
    made, elf = root / folder / ARDUINO, folder / "firmware.elf"
    say(f"compile {sketch.relative_to(root)} with {tool}")
    failed = arduino.compile_sketch(board.arduino, tool, sketch, made)
    if (made / f"{sketch.name}.elf").exists():
        shutil.copyfile(made / f"{sketch.name}.elf", root / elf)
    if failed is not None:
        _explain(name, board, made / f"{sketch.name}.elf", failed)
        raise Problem(sketch, f"does not compile with {tool}")
    if board.image is None:
        return elf, None
    image = folder / board.image.file
    shutil.copyfile(made / f"{sketch.name}{image.suffix}", root / image)
    return elf, image


def _explain(name: str, board: Board, elf: Path, said: str) -> None:
    """Problems when it did not fit; else the tool's own words."""
    raise_all(no_room(name, board, said))
    if elf.exists():
        measured(name, board, elf, None, {"weights_bytes": 0, "arena_bytes": 0})  # as parts of the whole
    say(said)


def write_sketch(root: Path, folder: Path, name: str, board: Board, runtime: str) -> Path:
    """Write `folder`/sketch/<name>/ from the generated code in `folder` (both below `root`); returns the .ino."""
    word = c_prefix(name)
    target = root / folder / "sketch" / word
    shutil.rmtree(target, ignore_errors=True)
    port = root / "firmware" / "ports" / board.port
    write_sources(root, folder, name, board, runtime, target / "src", "arduino/board.h.j2")
    ino = target / f"{word}.ino"
    files.write_text(ino, (port / "sketch.ino").read_text())
    return ino


def write_sources(
    root: Path, folder: Path, name: str, board: Board, runtime: str, target: Path, facts_template: str
) -> None:
    """Everything but main.c, in one folder, and board.h with what a command line would define."""
    files.needed(root / folder / "plan.json", f"python -m pipeline.generate {name} --board {board.name}")
    for place, path in _placed(_files(root, folder, board, runtime)).items():
        files.write_text(target / place, _text(path))
    able = [feature.upper() for feature in features(root, board, runtime)]
    places = memory.defines(board.memory)
    if places:
        files.write_text(target / memory.HEADER, _text(root / "firmware" / "ports" / board.port / memory.HEADER))
    facts = {"memory": places, "board": board.name,
             "arena_bytes": board.arena_bytes, "baud": board.serial.baud, "features": able,
             "tflm_header": board.arduino.tflm_header if board.arduino and runtime == "tflm" else ""}  # fmt: skip
    files.write_text(target / "board.h", render(facts_template, facts))


def _files(root: Path, folder: Path, board: Board, runtime: str) -> list[Path]:
    """Core, runtime and port, the headers they lead to, and generated sources whose headers are among these."""
    firmware = root / "firmware"
    homes = [firmware / "runtimes" / runtime, firmware / "ports" / board.port, firmware / "core"]
    kernels = firmware / "kernels"
    search = [kernels / kernels_of(board.core), kernels, *homes, root / folder]
    first = [path for home in homes for path in sorted(home.iterdir()) if path.suffix in SOURCES]
    return _closure([path for path in first if path.name != "main.c"], search)


def _closure(first: Iterable[Path], search: Sequence[Path]) -> list[Path]:
    """Files that `first` include, however far, and the source beside a header in the last folder of `search`.

    The core's faster files, in its first folder, win even over those beside the one that includes them: all of a
    sketch's files end up in one folder."""
    found = dict.fromkeys(first)
    waiting = list(found)
    while waiting:
        path = waiting.pop()
        near = [_find(name, [search[0], path.parent, *search]) for name in INCLUDE.findall(path.read_text())]
        if path.parent == search[-1]:
            near += [path.with_suffix(suffix) for suffix in SOURCES]
        for each in near:
            if each is not None and each.exists() and each not in found:
                found[each] = None
                waiting.append(each)
    return sorted(found, key=lambda path: path.name)


def _find(name: str, search: Iterable[Path]) -> Path | None:
    return next((folder / name for folder in search if (folder / name).exists()), None)


def _placed(paths: Iterable[Path]) -> dict[str, Path]:
    """The files by their names in the one folder; of two of a name, the second bears its own folder's name too."""
    placed: dict[str, Path] = {}
    for path in paths:
        name = f"{path.stem}.cpp" if path.suffix == ".cc" else path.name
        placed[f"{path.parent.name}_{name}" if name in placed else name] = path
    return placed


def _text(path: Path) -> str:
    """A source begins with board.h: the Arduino IDE gives no definitions on the command line."""
    text = path.read_text()
    return render("arduino/source.j2", {"text": text}) if path.suffix in SOURCES else text


def main(argv: Sequence[str]) -> int:
    """`python -m pipeline.sketch NAME --board BOARD [--runtime compiled]`"""
    parser = argparse.ArgumentParser(prog="python -m pipeline.sketch", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="the model, models/NAME")
    parser.add_argument("--board", required=True, metavar="B", help="the board, boards/B.toml")
    parser.add_argument("--runtime", default="compiled", metavar="R", help="firmware/runtimes/R (default: compiled)")
    options = parser.parse_args(argv)
    name, board = files.check_model_name(options.name), load_board(options.board)
    files.check_runtime(options.runtime)
    if board.arduino is None:
        raise Problem(f"board {board.name}", "is not built by the Arduino tools", "make boards lists those that are")
    root = files.project_root()
    folder = files.firmware_dir(name, board.name, options.runtime).relative_to(root)
    ino = write_sketch(root, folder, name, board, options.runtime)
    sys.stdout.write(f"{ino.relative_to(root)}: open it in the Arduino IDE, for {board.arduino.fqbn}\n")
    return 0


if __name__ == "__main__":
    run(main)
