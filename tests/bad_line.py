"""A line between a pty of its own and another one that loses, flips, doubles and inserts bytes, by a seed."""

from __future__ import annotations

import os
import random
import select
import threading
import tty
from contextlib import suppress


class BadLine:
    """Open `path` instead of `far`; `rate` is the share of bytes that something happens to, in each direction."""

    def __init__(self, far: str, rate: float, seed: int) -> None:
        self.faults = 0
        self._rate, self._random = rate, random.Random(seed)
        self._far = os.open(far, os.O_RDWR | os.O_NOCTTY)
        self._near, self._slave = os.openpty()
        for line in (self._far, self._slave):
            tty.setraw(line)
        self.path = os.ttyname(self._slave)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def __enter__(self) -> BadLine:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        for line in (self._far, self._near, self._slave):
            os.close(line)

    def _carry(self) -> None:
        while not self._stop.is_set():
            for ready in select.select([self._near, self._far], [], [], 0.02)[0]:
                with suppress(OSError):
                    text = self._harm(os.read(ready, 4096))
                    other = self._far if ready == self._near else self._near
                    while text:
                        text = text[os.write(other, text) :]

    def _harm(self, text: bytes) -> bytes:
        harmed = bytearray()
        for byte in text:
            if self._random.random() >= self._rate:
                harmed.append(byte)
                continue
            self.faults += 1
            harmed += self._random.choice(
                [b"", bytes([byte ^ 1 << self._random.randrange(8)]), bytes([byte, byte]), bytes([byte, 0]), b"\xff"]
            )
        return bytes(harmed)
