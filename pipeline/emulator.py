"""A board's emulator as a running program that serves the firmware on a pseudo-terminal."""

from __future__ import annotations

import queue
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipeline import files
from pipeline.board import Board
from pipeline.commands import Emulator, find_emulator, how_to_install
from pipeline.problem import EXIT_DEVICE, EXIT_TOOL, Problem
from pipeline.program import program_of
from pipeline.tool import environment, filled

PTY = re.compile(r"(?:pty: |redirected to )(/dev/\S+)")  # ours, and QEMU's "char device redirected to /dev/pts/3 (...)"
START_SECONDS = 20.0
LAST_LINES = 8


def firmware_elf(board: Board, folder: Path) -> Path:
    """The ELF in a firmware folder that the board's emulator runs; the flatbuffer where it interprets that."""
    emulator = _emulator(board)
    elf = folder / ("firmware.elf" if emulator.port == board.port else "emulator.elf")
    if not board.is_compiled:
        elf = folder / "firmware.tflite"
    name, runtime = folder.parent.name, folder.name.removeprefix(f"{board.name}-")
    return files.needed(elf, files.make_model(name, board.name, runtime))


def command(board: Board, elf: Path) -> list[str]:
    """The argv that serves `elf` on a pty, whose path it prints."""
    emulator = _emulator(board)
    if not find_emulator(emulator):
        tool = emulator.name if emulator.source else emulator.module or emulator.command[0]
        hint = how_to_install(emulator) or f"put it on PATH, or mend [emulator] command in boards/{board.name}.toml"
        raise Problem(tool, f"the emulator of board {board.name} is not installed", hint, EXIT_TOOL)
    values = {"elf": str(elf.resolve()), "python": sys.executable}
    if emulator.source:
        values["program"] = str(program_of(emulator.source, emulator.link))
    argv = filled(emulator.command, values)
    return [shutil.which(argv[0]) or argv[0], *argv[1:]]


@contextmanager
def emulate(board: Board, folder: Path) -> Iterator[str]:
    """Run the firmware of build/<name>/<board>-<runtime>/ and yield the path of its pty; ends it in any case."""
    name = _emulator(board).name
    process = _start(command(board, firmware_elf(board, folder)))
    said = _Said(process)
    try:
        yield _pty(said, process, name)
    except (Problem, OSError) as error:
        if process.poll() is None or isinstance(error, _Ended):
            raise
        raise _Ended(name, f"ended with code {process.returncode}{said.quoted()}") from error
    finally:
        process.kill()
        process.wait()
        if process.stdin:
            process.stdin.close()


def _start(argv: list[str]) -> subprocess.Popen[str]:
    """In a process group of its own, so that Ctrl-C is ours alone; dies with us, where setpriv (util-linux) is."""
    setpriv = shutil.which("setpriv")
    guard = [setpriv, "--pdeathsig", "KILL"] if setpriv else []
    return subprocess.Popen(
        [*guard, *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,
        env=environment(),
    )


class _Ended(Problem):
    """The emulator is gone."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(name, what, code=EXIT_DEVICE)


class _Said:
    """What a process prints: read to its end, so that it never waits for us; the last lines are kept."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.lines: queue.Queue[str | None] = queue.Queue()  # None at the end
        self.last: deque[str] = deque(maxlen=LAST_LINES)
        threading.Thread(target=self._listen, args=(process.stdout,), daemon=True).start()

    def _listen(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self.last.append(line.rstrip())
                self.lines.put(line)
        self.lines.put(None)

    def quoted(self) -> str:
        """The last lines as the end of an error."""
        return "; it said:\n    " + "\n    ".join(self.last) if self.last else " without a word"


def _pty(said: _Said, process: subprocess.Popen[str], name: str) -> str:
    """Wait until the emulator names its pty."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            line = said.lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise _Ended(name, f"named no pty in {START_SECONDS:g} s{said.quoted()}") from None
        if line is None:
            raise _Ended(name, f"ended at once with code {process.wait()}{said.quoted()}")
        if found := PTY.search(line):
            return found[1]


def _emulator(board: Board) -> Emulator:
    if board.emulator is None:
        raise Problem(f"board {board.name}", "has no emulator", "give the port of a real one: --port /dev/ttyUSB0")
    return board.emulator
