"""Compile and link the firmware of one model for one board, make its image, and say what it takes."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import arduino, files, memory
from pipeline.board import IDF_TOOL, NOTHING, Board, Compiler, find_compiler, how_to_compile, load_board
from pipeline.cores import kernels_of
from pipeline.features import features
from pipeline.idf import build_project
from pipeline.problem import EXIT_TOOL, Problem, raise_all, run
from pipeline.progress import progress, say
from pipeline.size import Size, arena_does_not_fit, arena_of, content, elf_compiler, measured, overflows
from pipeline.sketch import build_sketch
from pipeline.tflm_library import Library, find_library
from pipeline.tool import program, run_tool

# -O2 because reference-style kernels are 3 to 5 times slower with -Os.
COMPILE_FLAGS = ("-O2", "-Wall", "-Wextra", "-ffunction-sections", "-fdata-sections")
SMALL = "-Os"  # of everything but the generated code, which has the kernels in it
C_FLAGS = ("-std=c11",)
# As TFLite Micro's own build has them: its headers lay out their structs by TF_LITE_STATIC_MEMORY.
CPP_FLAGS = ("-std=c++17", "-fno-rtti", "-fno-exceptions", "-fno-threadsafe-statics", "-DTF_LITE_STATIC_MEMORY")
LINK_FLAGS = ("-Wl,--gc-sections", "-Wl,--build-id=none", "-Wl,--print-memory-usage")
LINKER_SCRIPT = "link.ld"
INTERPRETED = "firmware.tflite"


@dataclass(frozen=True)
class Firmware:
    """One firmware to build: a model's generated C with a runtime, for a board."""

    root: Path  # the project; commands run here, so that no path of this machine gets into the ELF
    folder: Path  # build/<name>/<board>-<runtime>, relative to the root
    name: str
    board: Board
    runtime: str
    compiler: Compiler
    library: Library | None = None  # TFLite Micro, for the runtime that is built on it


def build(firmware: Firmware) -> dict[str, Any]:
    """Compile, link, make the image, check that it fits; returns what size.json says."""
    plan = _plan(firmware)
    board, root, folder = firmware.board, firmware.root, firmware.folder
    if not board.is_compiled:
        return _interpreted(firmware, plan)
    if board.arduino:
        elf, image = build_sketch(root, folder, firmware.name, board, firmware.runtime, firmware.compiler.command)
    elif board.idf:
        elf, image = build_project(root, folder, firmware.name, board, firmware.runtime)
    else:
        elf, image = _build_objects(firmware)
    model = root / folder / "objects" / folder / "model.o"  # the generated code and its kernels
    size = measured(firmware.name, board, root / elf, root / image if image else None, plan)
    report = {**_report(firmware, size, elf, image), "model_code": content(model) if model.exists() else None}
    files.write_json(firmware.root / firmware.folder / "size.json", report)
    return report


def _build_objects(firmware: Firmware) -> tuple[Path, Path | None]:
    """Compile and link for the board's port and its emulator's; the board's ELF and its image."""
    ports = _ports(firmware)
    common = _sources(firmware)
    objects = _compile(firmware, [*common, *dict.fromkeys(source for sources in ports.values() for source in sources)])
    elfs = [_link(firmware, port, [objects[source] for source in common + ports[port]]) for port in ports]
    return elfs[0], _make_image(firmware, elfs[0])


def _interpreted(firmware: Firmware, plan: dict[str, Any]) -> dict[str, Any]:
    """For a board that compiles nothing: what it runs is the flatbuffer, beside its plan."""
    path = files.build_dir(firmware.name) / "model.tflite"
    content = files.needed(path, f"make model name={firmware.name}").read_bytes()
    files.write_bytes(firmware.root / firmware.folder / INTERPRETED, content)
    arena = arena_of(plan, pointer_bytes=8)
    size = Size(flash=len(content), ram=arena, code=0, weights=len(content), arena=arena, stack=0)
    report = _report(firmware, size, Path(INTERPRETED), None)
    files.write_json(firmware.root / firmware.folder / "size.json", report)
    return report


def _plan(firmware: Firmware) -> dict[str, Any]:
    made_by = f"python -m pipeline.generate {firmware.name} --board {firmware.board.name} --runtime {firmware.runtime}"
    path = firmware.root / firmware.folder / "plan.json"
    plan: dict[str, Any] = files.read_json(path, made_by, ("arena_bytes", "weights_bytes"))
    raise_all(arena_does_not_fit(firmware.name, firmware.board, plan))
    flatbuffer = files.build_dir(firmware.name) / "model.tflite"
    if flatbuffer.exists() and (now := files.model_id(flatbuffer.read_bytes())) != plan.get("model_id"):
        raise Problem(
            firmware.folder, f"is the code of model {plan.get('model_id')}, {flatbuffer} is {now}", f"run: {made_by}"
        )
    return plan


def _ports(firmware: Firmware) -> dict[str, list[Path]]:
    """The sources of the board's port, and of its emulator's port where that is another."""
    board = firmware.board
    names = [board.port, *([board.emulator.port] if board.emulator else [])]
    return {name: _port_sources(firmware.root, Path("firmware/ports") / name) for name in names}


def _port_sources(root: Path, folder: Path) -> list[Path]:
    """A port's C, and that of folders beside it which its file `shared` names: code of one core for several ports."""
    shared = root / folder / "shared"
    names = shared.read_text().split() if shared.exists() else []
    return [source for each in (folder, *(folder.parent / name for name in names)) for source in _c_files(root, each)]


def _sources(firmware: Firmware) -> list[Path]:
    """Everything but the ports: generated C, core, runtime; relative to the root."""
    folders = (firmware.folder, Path("firmware/core"), Path("firmware/runtimes") / firmware.runtime)
    return [source for folder in folders for source in _c_files(firmware.root, folder)]


def _c_files(root: Path, folder: Path) -> list[Path]:
    return sorted(path.relative_to(root) for path in (root / folder).iterdir() if path.suffix in (".c", ".cc", ".S"))


def _compile(firmware: Firmware, sources: Sequence[Path]) -> dict[Path, Path]:
    """Compile in parallel to one object per source; every error is shown before the first is reported."""
    flags, parts = compile_flags(firmware), _faster_parts(firmware)

    def one(source: Path) -> tuple[Path, subprocess.CompletedProcess[str]]:
        target = firmware.folder / "objects" / source.with_suffix(".o")
        (firmware.root / target).parent.mkdir(parents=True, exist_ok=True)
        c_flags = [*C_FLAGS, *(parts if source.suffix == ".c" else ())]  # not for assembly
        language = cpp_flags(firmware.library) if source.suffix == ".cc" else c_flags
        size = () if source.is_relative_to(firmware.folder) else (SMALL,)
        argv = [firmware.compiler.command, *language, *flags, *size, "-c", str(source), "-o", str(target)]
        return target, _run(argv, firmware.root)

    objects, failed = {}, []
    title = f"compile {firmware.name} for {firmware.board.name}"
    with progress(title, len(sources)) as advance, ThreadPoolExecutor(os.cpu_count()) as pool:
        for source, (target, done) in zip(sources, pool.map(one, sources), strict=True):
            advance(note=source.name)
            objects[source] = target
            if done.stderr:
                say(done.stderr.rstrip())
            if done.returncode != 0:
                failed.append(Problem(source, f"does not compile with {firmware.compiler.command}"))
    raise_all(failed)
    return objects


def compile_flags(firmware: Firmware) -> list[str]:
    """Flags of every file of a firmware, whatever its language and the port."""
    board, compiler = firmware.board, firmware.compiler
    built_with = f"{firmware.library.build}, " if firmware.library else ""
    kernels = Path("firmware/kernels")
    folders = [kernels / kernels_of(board.core), kernels, Path("firmware/core"), firmware.folder]
    return [
        *COMPILE_FLAGS,
        *board.build.flags,
        *compiler.flags,
        *(f"-I{folder}" for folder in folders if (firmware.root / folder).is_dir()),
        *_placing(board),
        *(f"-DWITH_{feature.upper()}" for feature in features(firmware.root, board, firmware.runtime)),
        f'-DBOARD_NAME="{board.name}"',
        f"-DBOARD_ARENA_BYTES={board.arena_bytes}",
        f"-DBOARD_CLOCK_HZ={board.clock_hz}",
        f'-DKERNEL_BUILD="{built_with}{compiler.command} {compiler_version(compiler)} -O2"',
    ]


def _placing(board: Board) -> list[str]:
    """Flags that say where the arena and the weights lie."""
    said = [f"-D{name}={place}" for name, place in memory.defines(board.memory).items()]
    return ["-include", f"firmware/ports/{board.port}/{memory.HEADER}", *said] if said else []


def cpp_flags(library: Library | None) -> list[str]:
    """Flags of C++ files: the language, and where TFLite Micro's headers are."""
    include = [f"-isystem{folder}" for folder in library.include] if library else []
    return [*CPP_FLAGS, *(library.flags if library else ()), *include]


def _faster_parts(firmware: Firmware) -> list[str]:
    """Flags that put a core's own parts of kernels, such as nn_dot.h, first: a quoted include would take the portable
    file, which lies beside the kernel, before any -I. Whole kernels (nn_..._s8.h) are found by the order of -I."""
    folder = firmware.root / "firmware" / "kernels" / kernels_of(firmware.board.core)
    parts = [path for path in sorted(folder.glob("nn*.h")) if not path.stem.endswith("_s8")]
    return [word for path in parts for word in ("-include", str(path.relative_to(firmware.root)))]


def compiler_version(compiler: Compiler) -> str:
    """The compiler's own version, such as 12.2.0."""
    return _run([compiler.command, "-dumpfullversion", "-dumpversion"], None).stdout.strip() or "unknown"


def _run(argv: Sequence[str], folder: Path | None) -> subprocess.CompletedProcess[str]:
    """Run a compiler or linker; in English, because what it says is read here too."""
    english = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(argv, cwd=folder, env=english, capture_output=True, text=True, errors="replace", check=False)


def _link(firmware: Firmware, port: str, objects: Sequence[Path]) -> Path:
    """Link for the board's own port (firmware.elf) or its emulator's (emulator.elf); relative to the root."""
    board, root = firmware.board, firmware.root
    elf = firmware.folder / ("firmware.elf" if port == board.port else "emulator.elf")
    argv = [firmware.compiler.command, *board.build.flags, *firmware.compiler.flags, *LINK_FLAGS]
    script = Path("firmware/ports") / port / LINKER_SCRIPT
    if (root / script).exists():
        limits = (f"-Wl,--defsym=board_{kind}_bytes={getattr(board, f'{kind}_bytes')}" for kind in ("flash", "ram"))
        argv += ["-nostartfiles", *limits, "-T", str(script)]
    libraries = [str(firmware.library.library), "-lstdc++", "-lm"] if firmware.library else []
    argv += [*map(str, objects), *libraries, *board.build.link_flags, "-o", str(elf)]
    done = _run(argv, root)
    if done.returncode != 0:
        raise_all(overflows(firmware.name, board, done.stdout))
        say(done.stderr.rstrip())
        raise Problem(elf, f"does not link with {firmware.compiler.command}")
    return elf


def _make_image(firmware: Firmware, elf: Path) -> Path | None:
    """What is written to the chip, made from the ELF and checked; relative to the root."""
    image = firmware.board.image
    if image is None:
        return None
    path = firmware.folder / image.file
    for template in filter(None, (image.make, image.check)):
        run_tool(template, {"elf": str(elf), "image": str(path)}, firmware.root)
        if not (firmware.root / path).exists():
            what = f"{program(template)} made no {image.file}"
            raise Problem(f"boards/{firmware.board.name}.toml", what, "[image] make must write {image}")
    return path


def _report(firmware: Firmware, size: Size, elf: Path, image: Path | None) -> dict[str, Any]:
    board, compiler = firmware.board, firmware.compiler
    found = elf_compiler(firmware.root / elf) if board.arduino or board.idf else None
    return {
        "board": board.name,
        "runtime": firmware.runtime,
        "compiler": found or (f"{compiler.command} {compiler_version(compiler)}" if compiler.command else "none"),
        **dataclasses.asdict(size),
        "limits": {"flash": board.flash_bytes, "ram": board.ram_bytes},
        "image": image.name if image else None,
        "elf": elf.name,
    }


def firmware(name: str, board_name: str, runtime: str) -> Firmware:
    """The firmware that these words name; Problems for each that is unknown, and for a missing compiler."""
    files.check_model_name(name)
    board = load_board(board_name)
    files.check_runtime(runtime)
    if board.runtimes and runtime not in board.runtimes:
        what = f"does not run runtime={runtime}"
        raise Problem(f"board {board_name}", what, f"it runs: {', '.join(board.runtimes)}")
    compiler = find_compiler(board) if board.is_compiled else Compiler("")
    if compiler is None and board.idf:
        compiler = Compiler(IDF_TOOL)  # its project is written all the same
    if compiler is None and board.arduino:
        raise arduino.missing(board.arduino, board_name)
    if compiler is None:
        commands = " or ".join(each.command for each in board.build.compilers)
        raise Problem(f"board {board_name}", f"{commands} is not installed", how_to_compile(board), EXIT_TOOL)
    root = files.project_root()
    folder = files.firmware_dir(name, board_name, runtime).relative_to(root)
    library = find_library(board_name) if runtime == "tflm" and board.build is not NOTHING else None
    return Firmware(root, folder, name, board, runtime, compiler, library)


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
