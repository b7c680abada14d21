"""The whole line: `python -m pipeline NAME --board BOARD`. `make` runs the same stages, only those that are stale."""

from __future__ import annotations

import argparse
import subprocess
import sys

from pipeline.build import firmware
from pipeline.cores import PATTERNS
from pipeline.model_file import is_ready
from pipeline.problem import Problem, run
from pipeline.progress import say


def line(name: str, board: str, runtime: str, pattern: str | None = None) -> list[list[str]]:
    """The stages in order, as the words after `python -m`: each a process, for TensorFlow stays out of later ones."""
    target = ["--board", board, "--runtime", runtime]
    if is_ready(name) and pattern:
        raise Problem(f"model {name}", "brings its own .tflite: there is nothing to prune", "leave the pattern out")
    trained = [
        ["pipeline.windows", name],
        ["pipeline.train", name],
        ["pipeline.prune", name, "--board", board, *(["--pattern", pattern] if pattern else [])],
        ["pipeline.quantize", name],
    ]
    return [
        *([["pipeline.ready", name]] if is_ready(name) else trained),
        ["pipeline.generate", name, *target],
        ["pipeline.build", name, *target],
        ["pipeline.hil", "--name", name, *target],
    ]


def main(argv: list[str]) -> int:
    """Run every stage; the first that fails ends the line with its exit code."""
    parser = argparse.ArgumentParser(prog="python -m pipeline", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="the model, models/NAME")
    parser.add_argument("--board", default="esp32", metavar="B", help="the board, boards/B.toml (default: esp32)")
    parser.add_argument("--runtime", default="compiled", metavar="R", help="firmware/runtimes/R (default: compiled)")
    parser.add_argument("--pattern", choices=PATTERNS, help="of zeros (default: as the board's core wants them)")
    parser.add_argument("--check", action="store_true", help="only see that all that is named is there")
    options = parser.parse_args(argv)
    firmware(options.name, options.board, options.runtime)
    stages = line(options.name, options.board, options.runtime, options.pattern)
    for stage in [] if options.check else stages:
        say(f"# python -m {' '.join(stage)}")
        done = subprocess.run([sys.executable, "-m", *stage], check=False)
        if done.returncode != 0:
            return done.returncode
    return 0


if __name__ == "__main__":
    run(main)
