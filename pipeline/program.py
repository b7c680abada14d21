"""Small C programs of this project that run on this machine: compiled on first use."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pipeline import files


def program_of(source: str, link: Sequence[str]) -> Path | None:
    """The program of `source`, compiled again when that is newer; None when a compiler or library is missing."""
    written = files.project_root() / source
    made = files.project_root() / "build" / "emulators" / written.stem
    if not made.exists() or made.stat().st_mtime < written.stat().st_mtime:
        made.parent.mkdir(parents=True, exist_ok=True)
        fresh = made.with_name(f"{made.name}.{os.getpid()}")
        argv = [shutil.which("gcc") or "gcc", "-std=gnu11", "-O2", "-o", str(fresh), str(written), *link]
        try:
            subprocess.run(argv, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        fresh.replace(made)
    return made
