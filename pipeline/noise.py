"""Bytes that were no frames, in words: what they look like and what that usually means."""

from __future__ import annotations

_SHOWN = 32

_KNOWN = {
    b"waiting for download": "the chip waits for a download: release BOOT and press reset",
    b"invalid header": "the chip finds no firmware in its flash: make flash board=... port=...",
    b"Guru Meditation": "the firmware crashed; the lines above it say where",
    b"Brownout": "the supply is too weak: another cable or USB port",
    b"login:": "that is a computer's console, not the board",
    b">>>": "that is a MicroPython prompt: make flash board=... port=...",
    b"m-ready": "that is an MLPerf Tiny firmware: make flash board=... port=...",
}


def describe(noise: bytes) -> str:
    """What arrived, as hex and text."""
    if not noise:
        return "no other byte arrived"
    shown = noise[-_SHOWN:]
    hexed = " ".join(f"{byte:02x}" for byte in shown)
    text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in shown)
    amount = f"{len(noise)} bytes" if len(noise) <= _SHOWN else f"at least {len(noise)} bytes"
    return f"{amount} arrived that are no frames, the last: {hexed} |{text}|"


def likely_cause(noise: bytes) -> str:
    """A hint: what such bytes usually come from."""
    if not noise:
        return "is it the right port, is the firmware flashed? Press the board's reset button and try again"
    for mark, cause in _KNOWN.items():
        if mark in noise:
            return cause
    printable = sum(32 <= byte < 127 or byte in b"\r\n\t" for byte in noise)
    if printable >= 0.9 * len(noise):
        return "another program runs on the board: make flash board=... port=..."
    return "a wrong baud rate (--baud), a bad cable, or another program on the board"
