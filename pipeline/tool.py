"""Running the command lines that boards name: image makers, uploaders."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.problem import EXIT_TOOL, EXIT_USER, Problem

STDERR = 2
PLACE = re.compile(r"(?<!\$)\{(\w+)\}")  # in a command line: a name for what is filled in


def program(template: tuple[str, ...]) -> str:
    """The program that a command line runs, or the Python module."""
    return template[2] if template[:2] == ("{python}", "-m") else template[0]


def filled(template: Iterable[str], values: Mapping[str, str]) -> list[str]:
    """A command line with each {name} that there is a value for filled in, wherever it stands; other braces stay."""
    return [PLACE.sub(lambda found: values.get(found[1], found[0]), part) for part in template]


def run_tool(
    template: tuple[str, ...],
    values: Mapping[str, str],
    folder: Path,
    *,
    show: bool = False,
    code: int = EXIT_USER,
    package: str = "",
) -> None:
    """Run a command line with {python} and `values` filled in, in `folder`; `show` passes its words on as they come."""
    argv = filled(template, {"python": sys.executable, **values})
    tool = program(template)
    if shutil.which(argv[0]) is None:
        raise Problem(tool, "is not installed", f"apt install {package}" if package else "", EXIT_TOOL)
    if tool != template[0] and not has_module(tool):
        raise Problem(tool, "is not installed", f"pip install {tool}", EXIT_TOOL)
    output = STDERR if show else subprocess.PIPE
    done = subprocess.run(
        argv, cwd=folder, env=environment(), stdout=output, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        said = "\n    ".join((done.stdout or "").split("\n")).strip()
        raise Problem(tool, f"failed with code {done.returncode}" + (f":\n    {said}" if said else ""), code=code)


def environment() -> dict[str, str]:
    """The environment in which {python} finds this package wherever it runs."""
    ours = [str(Path(__file__).resolve().parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(ours)}


def has_module(name: str) -> bool:
    """Whether a Python module can be imported here."""
    from importlib.util import find_spec

    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # the package it is in
        return False
