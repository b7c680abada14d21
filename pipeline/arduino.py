"""Arduino builds: which tool is there for a board's core, and compiling a sketch with it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pipeline.problem import EXIT_TOOL, Problem

CLI, DEBIAN = "arduino-cli", "arduino-builder"
DEBIAN_CORES = Path("/usr/share/arduino/hardware")
DEBIAN_TOOLS = Path("/usr/share/arduino-builder")  # its platform.txt names Debian's ctags
# Without it the AVR core's WString.cpp does not compile with Debian's avr-libc.
DEBIAN_PREFERENCE = "compiler.cpp.extra_flags=-DDECIMAL_DIG=__DECIMAL_DIG__"


@dataclass(frozen=True)
class Arduino:
    """How the Arduino tools know a board."""

    fqbn: str  # fully qualified board name, vendor:architecture:board[:options]
    stack_bytes: int  # RAM kept for the stack
    package: str = ""  # the Debian packages that build for it without arduino-cli, if there are any
    index: str = ""  # where arduino-cli finds the core, if it does not know it itself
    tflm_header: str = ""  # of the Arduino library with TFLite Micro, where the core does not ship it

    @property
    def core(self) -> str:
        """vendor:architecture, as `arduino-cli core install` takes it."""
        return ":".join(self.fqbn.split(":")[:2])


def wrong(arduino: Arduino, port: Path, where: str) -> list[Problem]:
    """Problems of a board file's [arduino], whose port lies in the folder `port`."""
    problems = []
    if len(arduino.fqbn.split(":")) < 3 or not all(arduino.fqbn.split(":")):
        hint = "vendor:architecture:board, as in arduino:avr:uno"
        problems.append(Problem(where, f"[arduino] fqbn {arduino.fqbn!r} is no name of a board", hint))
    if arduino.stack_bytes < 0:
        problems.append(Problem(where, f"[arduino] stack_bytes is {arduino.stack_bytes}, below 0"))
    if port.is_dir() and not (port / "sketch.ino").exists():
        problems.append(
            Problem(where, f"port {port.name} has no sketch.ino, which [arduino] builds", 'port = "arduino"')
        )
    return problems


def find_tool(arduino: Arduino) -> str | None:
    """arduino-cli when the board's core is installed in it, else Debian's arduino-builder when Debian has the core."""
    if shutil.which(CLI) and arduino.core in _installed_cores():
        return CLI
    if shutil.which(DEBIAN) and DEBIAN_CORES.joinpath(*arduino.core.split(":")).is_dir():
        return DEBIAN
    return None


def _installed_cores() -> set[str]:
    """First column of `arduino-cli core list`."""
    done = subprocess.run([CLI, "core", "list"], capture_output=True, text=True, check=False)
    return {line.split()[0] for line in done.stdout.splitlines() if line.strip()}


def missing(arduino: Arduino, board: str) -> Problem:
    """What to install, and that the sketch can be had without."""
    index = f" --additional-urls {arduino.index}" if arduino.index else ""
    ways = [f"{CLI} core install {arduino.core}{index}"]
    if not shutil.which(CLI):
        ways = [f"install {CLI}, then: {ways[0]}"]
    if arduino.package:
        ways.insert(0, f"apt install {arduino.package}")
    ways.append(f"make sketch board={board} and open it in the Arduino IDE")
    what = f"no Arduino tool with the core {arduino.core} is installed"
    return Problem(f"board {board}", what, ";  or ".join(ways), EXIT_TOOL)


def compile_sketch(
    arduino: Arduino, tool: str, sketch: Path, folder: Path, libraries: Path | None = None
) -> str | None:
    """Compile `sketch` (an .ino) into `folder`, with a folder of libraries. None, or what the tools said in failing."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{sketch.name}.*"):
        old.unlink()
    argv = _argv(arduino, tool, sketch, folder)
    if libraries:
        argv[2:2] = ["--libraries" if tool == CLI else "-libraries", str(libraries)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip() if done.returncode != 0 else None


def _argv(arduino: Arduino, tool: str, sketch: Path, folder: Path) -> list[str]:
    if tool == CLI:
        return [CLI, "compile", "--fqbn", arduino.fqbn, "--build-path", str(folder), str(sketch.parent)]
    return [
        *(DEBIAN, "-compile", "-hardware", str(DEBIAN_CORES), "-hardware", str(DEBIAN_TOOLS)),
        *("-tools", str(DEBIAN_TOOLS), "-fqbn", arduino.fqbn, "-prefs", DEBIAN_PREFERENCE),
        *("-build-path", str(folder), str(sketch)),
    ]
