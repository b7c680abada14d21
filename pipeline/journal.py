"""Answers on disk as they arrive, so that a run goes on after a crash where it was; one harness at a time."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import struct
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.problem import EXIT_DEVICE, Problem, refused
from pipeline.progress import say
from pipeline.verdict import Outcome

SYNC_SECONDS = 1.0
_HEAD, _CRC = struct.Struct("<II"), struct.Struct("<I")
_WORDS = {"asked": "choice of windows", "reference": "reference.npz", "kernel_build": "kernel build"}


class Journal:
    """A file of one JSON line (what run this is) and a record for each answer: index, ticks, output, CRC-32."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._file, self._safe = path, descriptor, time.monotonic()

    def note(self, index: int, ticks: int, output: bytes) -> None:
        """Write one answer: with the operating system when this returns, on the disk within a second or so."""
        record = _HEAD.pack(index, ticks) + output
        self._write(record + _CRC.pack(zlib.crc32(record)))
        if time.monotonic() - self._safe > SYNC_SECONDS:
            os.fdatasync(self._file)
            self._safe = time.monotonic()

    def _write(self, content: bytes) -> None:
        try:
            os.write(self._file, content)
        except OSError as error:
            raise refused(error, self.path) from error

    def begin(self, run: Mapping[str, Any]) -> None:
        """Forget what was in it."""
        if old := os.fstat(self._file).st_size:
            say(f"{self.path}: {old} bytes of an unfinished run are thrown away (--resume would have gone on with it)")
        os.ftruncate(self._file, 0)
        self._write(json.dumps(run).encode() + b"\n")

    def replay(self, run: Mapping[str, Any], outcome: Outcome) -> int:
        """Take what an unfinished run noted into `outcome`, cut off a half-written record; returns how many."""
        size = _HEAD.size + outcome.outputs[0].size + _CRC.size
        taken = 0
        with self.path.open("rb") as noted:
            head = noted.readline()
            if not head:
                raise Problem(self.path, "there is no unfinished run here", "run without --resume")
            _check(self.path, head, run)
            while len(record := noted.read(size)) == size:
                body = record[: -_CRC.size]
                if zlib.crc32(body) != _CRC.unpack(record[-_CRC.size :])[0]:
                    break
                index, ticks = _HEAD.unpack_from(body)
                outcome.take(index, ticks, body[_HEAD.size :])
                taken += 1
        os.ftruncate(self._file, len(head) + taken * size)
        return taken


@contextmanager
def opened(path: Path) -> Iterator[Journal]:
    """The journal at a path, locked: a second harness on the same folder is refused."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        hint = "wait until it is done, or write elsewhere: --out DIR"
        raise Problem(path, "another harness is writing here", hint, EXIT_DEVICE) from error
    try:
        yield Journal(path, descriptor)
    finally:
        os.close(descriptor)


def digest(*arrays: NDArray[Any]) -> str:
    """A short name for the bytes of arrays, which may lie on disk."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()[:16]


def _check(path: Path, head: bytes, run: Mapping[str, Any]) -> None:
    """The unfinished run is the same as this one."""
    try:
        before = dict(json.loads(head))
    except (ValueError, TypeError) as error:
        raise Problem(path, "is not a journal", "run without --resume") from error
    for key, value in run.items():
        if before.get(key) != value:
            what = f"the unfinished run has another {_WORDS.get(key, key.replace('_', ' '))}"
            raise Problem(path, f"{what}: {before.get(key)}, not {value}", "run without --resume")
