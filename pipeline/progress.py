"""Progress of long work on stderr: a bar on a terminal, a plain line now and then otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

PLAIN_EVERY_SECONDS = 5.0


class Advance(Protocol):
    """Tell the bar that `steps` more are done; `note` is shown beside it."""

    def __call__(self, steps: int = 1, note: str = "") -> None: ...


def say(text: str) -> None:
    """One line on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


@contextmanager
def progress(title: str, total: int) -> Iterator[Advance]:
    """Show `title` with done/total until the block ends."""
    shown = _bar(title, total) if sys.stderr.isatty() else _lines(title, total)
    with shown as advance:
        yield advance


@contextmanager
def _bar(title: str, total: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, note="")

        def advance(steps: int = 1, note: str = "") -> None:
            bar.update(task, advance=steps, note=note)

        yield advance


@contextmanager
def _lines(title: str, total: int) -> Iterator[Advance]:
    done, last = 0, time.monotonic()
    say(f"{title}: {total} to do")

    def advance(steps: int = 1, note: str = "") -> None:
        nonlocal done, last
        done += steps
        if done >= total or time.monotonic() - last >= PLAIN_EVERY_SECONDS:
            last = time.monotonic()
            say(f"{title}: {done}/{total} {note}".rstrip())

    yield advance
