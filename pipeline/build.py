"""Compile and link the firmware of one model for one board, make its image, and say what it takes."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import files
from pipeline.board import Board, Compiler, board_names, find_compiler, load_board
from pipeline.problem import EXIT_TOOL, Problem, did_you_mean, raise_all, run
from pipeline.progress import progress, say
from pipeline.size import Size, measure

# -O2 because reference-style kernels are 3 to 5 times slower with -Os.
COMPILE_FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-ffunction-sections", "-fdata-sections")
LINK_FLAGS = ("-Wl,--gc-sections", "-Wl,--build-id=none", "-Wl,--print-memory-usage")
MEMORY_USAGE = re.compile(r"^\s*(\w+):\s+(\d+) (\w+)\s+(\d+) (\w+)", re.MULTILINE)
LINKER_SCRIPT = "link.ld"


@dataclass(frozen=True)
class Firmware:
    """One firmware to build: a model's generated C with a runtime, for a board."""

    root: Path  # the project; commands run here, so that no path of this machine gets into the ELF
    folder: Path  # build/<name>/<board>-<runtime>, relative to the root
    name: str
    board: Board
    runtime: str
    compiler: Compiler


def runtime_names() -> list[str]:
    """Names of the folders of firmware/runtimes/."""
    return sorted(path.name for path in (files.project_root() / "firmware" / "runtimes").glob("*") if path.is_dir())


def build(firmware: Firmware) -> dict[str, Any]:
    """Compile, link, make the image, check that it fits; returns what size.json says."""
    plan = _plan(firmware)
    objects = _compile(firmware, _sources(firmware))
    elf = _link(firmware, objects, firmware.board.port, "firmware.elf")
    emulator = firmware.board.emulator
    if emulator and emulator.port != firmware.board.port:
        _link(firmware, objects, emulator.port, "emulator.elf")
    image = _make_image(firmware, elf)
    size = measure(firmware.root / elf, firmware.root / image if image else None, plan)
    raise_all(_does_not_fit(firmware.board, firmware.name, size))
    report = _report(firmware, size, elf, image)
    files.write_json(firmware.root / firmware.folder / "size.json", report)
    return report


def _plan(firmware: Firmware) -> dict[str, Any]:
    board = firmware.board
    made_by = f"python -m pipeline.generate {firmware.name} --board {board.name} --runtime {firmware.runtime}"
    plan: dict[str, Any] = files.read_json(firmware.root / firmware.folder / "plan.json", made_by)
    if plan["arena_bytes"] > board.arena_bytes:
        what = f"the arena takes {plan['arena_bytes']} bytes, board {board.name} gives {board.arena_bytes}"
        raise Problem(f"model {firmware.name}", what, _roomier("arena_bytes", plan["arena_bytes"]))
    return plan


def _sources(firmware: Firmware) -> list[Path]:
    """Everything but the port: generated C, core, runtime; relative to the root."""
    folders = (firmware.folder, Path("firmware/core"), Path("firmware/runtimes") / firmware.runtime)
    return [source for folder in folders for source in _c_files(firmware.root, folder)]


def _c_files(root: Path, folder: Path) -> list[Path]:
    found = [path.relative_to(root) for path in (root / folder).iterdir() if path.suffix in (".c", ".S")]
    return sorted(found)


def _port_folders(root: Path, port: str) -> list[Path]:
    """The port's folder, and the folder it names in a file `shared`: code for several ports of one core."""
    folder = Path("firmware/ports") / port
    shared = root / folder / "shared"
    more = shared.read_text().split() if shared.exists() else []
    return [folder, *(Path("firmware/ports") / each for each in more)]


def _compile(firmware: Firmware, sources: Sequence[Path]) -> list[Path]:
    """Compile in parallel; every error is shown before the first is reported."""
    flags = compile_flags(firmware)

    def one(source: Path) -> tuple[Path, subprocess.CompletedProcess[str]]:
        target = firmware.folder / "objects" / source.with_suffix(".o")
        (firmware.root / target).parent.mkdir(parents=True, exist_ok=True)
        argv = [firmware.compiler.command, *flags, "-c", str(source), "-o", str(target)]
        return target, subprocess.run(argv, cwd=firmware.root, capture_output=True, text=True, check=False)

    objects, failed = [], []
    title = f"compile {firmware.name} for {firmware.board.name}"
    with progress(title, len(sources)) as advance, ThreadPoolExecutor(os.cpu_count()) as pool:
        for source, (target, done) in zip(sources, pool.map(one, sources), strict=True):
            advance(note=source.name)
            objects.append(target)
            if done.stderr:
                say(done.stderr.rstrip())
            if done.returncode != 0:
                failed.append(Problem(source, f"does not compile with {firmware.compiler.command}"))
    raise_all(failed)
    return objects


def compile_flags(firmware: Firmware) -> list[str]:
    """Flags of every C file of a firmware, whatever the port."""
    board, compiler = firmware.board, firmware.compiler
    kernels = Path("firmware/kernels")
    folders = [kernels / board.core, kernels, Path("firmware/core"), firmware.folder]
    return [
        *COMPILE_FLAGS,
        *board.build.flags,
        *compiler.flags,
        *(f"-I{folder}" for folder in folders if (firmware.root / folder).is_dir()),
        f'-DBOARD_NAME="{board.name}"',
        f"-DBOARD_ARENA_BYTES={board.arena_bytes}",
        f"-DBOARD_CLOCK_HZ={board.clock_hz}",
        f'-DKERNEL_BUILD="{compiler.command} {compiler_version(compiler)} -O2"',
    ]


def compiler_version(compiler: Compiler) -> str:
    """The compiler's own version, such as 12.2.0."""
    argv = [compiler.command, "-dumpfullversion", "-dumpversion"]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def _link(firmware: Firmware, objects: list[Path], port: str, name: str) -> Path:
    """Compile the port, link it with the rest; returns the ELF, relative to the root."""
    board, root = firmware.board, firmware.root
    folders = _port_folders(root, port)
    objects = objects + _compile(firmware, [source for each in folders for source in _c_files(root, each)])
    elf = firmware.folder / name
    argv = [firmware.compiler.command, *board.build.flags, *firmware.compiler.flags, *LINK_FLAGS]
    script = folders[0] / LINKER_SCRIPT
    if (root / script).exists():
        limits = (f"-Wl,--defsym=board_{kind}_bytes={getattr(board, f'{kind}_bytes')}" for kind in ("flash", "ram"))
        argv += ["-nostartfiles", *limits, f"-Wl,-T,{script}"]
    argv += [*map(str, objects), *board.build.link_flags, "-o", str(elf)]
    done = subprocess.run(argv, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise_all(_overflows(firmware, done.stdout))
        say(done.stderr.rstrip())
        raise Problem(elf, f"does not link with {firmware.compiler.command}")
    return elf


def _overflows(firmware: Firmware, memory_usage: str) -> list[Problem]:
    """What the linker's table of memory regions says is too much."""
    unit = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}
    problems = []
    for region, used, used_unit, size, size_unit in MEMORY_USAGE.findall(memory_usage):
        needed, there = int(used) * unit[used_unit], int(size) * unit[size_unit]
        if needed > there:
            kind = "flash_bytes" if region == "FLASH" else "ram_bytes"
            what = f"needs {needed} bytes of {region}, board {firmware.board.name} has {there}"
            problems.append(Problem(f"model {firmware.name}", what, _roomier(kind, needed)))
    return problems


def _does_not_fit(board: Board, name: str, size: Size) -> list[Problem]:
    """What is more than the board has although it linked."""
    problems = []
    for kind, needed, there in (("flash", size.flash, board.flash_bytes), ("ram", size.ram, board.ram_bytes)):
        if needed > there:
            what = f"needs {needed} bytes of {kind}, board {board.name} has {there}"
            problems.append(Problem(f"model {name}", what, _roomier(f"{kind}_bytes", needed)))
    return problems


def _roomier(limit: str, needed: int) -> str:
    """What helps when a model does not fit."""
    boards = [name for name in board_names() if getattr(load_board(name), limit) >= needed]
    other = f"or another board: {', '.join(boards)}" if boards else "no board here has that much"
    return f"a smaller window, fewer or smaller layers, {other}"


def _make_image(firmware: Firmware, elf: Path) -> Path | None:
    """What is written to the chip, made from the ELF and checked; relative to the root."""
    image = firmware.board.image
    if image is None:
        return None
    path = firmware.folder / image.file
    for template in filter(None, (image.make, image.check)):
        run_tool(template, {"elf": str(elf), "image": str(path)}, firmware.root)
    return path


def run_tool(template: Sequence[str], values: dict[str, str], root: Path, *, show: bool = False) -> None:
    """Run a board's command line; when it fails, a Problem with what it said."""
    argv = [part.format(python=sys.executable, **values) for part in template]
    if shutil.which(argv[0]) is None:
        raise Problem(argv[0], "is not installed", "", EXIT_TOOL)
    tool = " ".join(argv[1:3]) if argv[0] == sys.executable else argv[0]
    done = subprocess.run(argv, cwd=root, stdout=None if show else subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode == 0:
        return
    said = (done.stdout or "").strip()
    if "No module named" in said:
        raise Problem(tool, "is not installed", "pip install esptool", EXIT_TOOL)
    raise Problem(tool, f"failed with code {done.returncode}" + (f":\n    {said}" if said else ""))


def _report(firmware: Firmware, size: Size, elf: Path, image: Path | None) -> dict[str, Any]:
    board, compiler = firmware.board, firmware.compiler
    return {
        "board": board.name,
        "runtime": firmware.runtime,
        "compiler": f"{compiler.command} {compiler_version(compiler)}",
        **dataclasses.asdict(size),
        "limits": {"flash": board.flash_bytes, "ram": board.ram_bytes},
        "image": image.name if image else None,
        "elf": elf.name,
    }


def firmware(name: str, board_name: str, runtime: str) -> Firmware:
    """The firmware that these words name; Problems for each that is unknown, and for a missing compiler."""
    files.check_model_name(name)
    board = load_board(board_name)
    if runtime not in runtime_names():
        raise Problem("firmware/runtimes", f"there is no runtime {runtime}", did_you_mean(runtime, runtime_names()))
    compiler = find_compiler(board)
    if compiler is None:
        commands = " or ".join(each.command for each in board.build.compilers)
        packages = " or ".join(each.package for each in board.build.compilers if each.package)
        raise Problem(f"board {board_name}", f"{commands} is not installed", f"apt install {packages}", EXIT_TOOL)
    root = files.project_root()
    folder = files.firmware_dir(name, board_name, runtime).relative_to(root)
    return Firmware(root, folder, name, board, runtime, compiler)


def summary(report: dict[str, Any]) -> str:
    """One line about what was built."""
    flash, ram = (f"{kind} {report[kind]} of {report['limits'][kind]}" for kind in ("flash", "ram"))
    return (
        f"{report['image'] or report['elf']}: {flash}, {ram} bytes;"
        f" weights {report['weights']}, code {report['code']}, arena {report['arena']}; {report['compiler']}"
    )


def main(argv: list[str]) -> int:
    """Build the firmware of a model for a board."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.build", description="Build the firmware.")
    parser.add_argument("name", metavar="NAME", help="the model, models/NAME")
    parser.add_argument("--board", required=True, metavar="B", help="the board, boards/B.toml")
    parser.add_argument("--runtime", default="compiled", metavar="R", help="firmware/runtimes/R (default: compiled)")
    parser.add_argument("--json", action="store_true", help="for a machine")
    options = parser.parse_args(argv)
    report = build(firmware(options.name, options.board, options.runtime))
    sys.stdout.write((json.dumps(report, indent=2) if options.json else summary(report)) + "\n")
    return 0


if __name__ == "__main__":
    run(main)
