"""Serial ports of this machine: which there are, opening one, and why it would not open."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.problem import EXIT_DEVICE, Problem, did_you_mean

MOST_BAUD = 20_000_000  # more than any line of these does
READ_SECONDS = 0.05  # how long pyserial's own read waits, where it is used (rfc2217://)


@dataclass(frozen=True)
class Settings:
    """How a board wants its serial line: baud, DTR and RTS while open, seconds it needs after the port opened."""

    baud: int = 115200
    dtr: bool = True
    rts: bool = True
    settle_seconds: float = 0.0


def known_ports() -> dict[str, str]:
    """Serial ports the system knows: path -> what is plugged in there."""
    from serial.tools import list_ports

    return {port.device: port.description for port in sorted(list_ports.comports())}


@dataclass(frozen=True)
class Badge:
    """How a USB device is known again: its vendor, product and serial number, or without one the socket it is in."""

    vendor: int
    product: int
    serial: str
    socket: str

    def fits(self, other: Badge | None) -> bool:
        """Whether the other one is the same device."""
        if other is None or (self.vendor, self.product, self.serial) != (other.vendor, other.product, other.serial):
            return False
        return bool(self.serial) or self.socket == other.socket


def badges() -> dict[str, Badge]:
    """The USB devices among the system's ports: path -> badge."""
    from serial.tools import list_ports

    return {
        port.device: Badge(port.vid, port.pid or 0, port.serial_number or "", port.location or "")
        for port in list_ports.comports()
        if port.vid is not None
    }


def identity(path: str) -> Badge | None:
    """The badge of the device at a path, links followed; None for what has none."""
    return None if "://" in path else badges().get(os.path.realpath(path))


def find_again(path: str, badge: Badge | None) -> str:
    """Where a device is now that was at `path`: there, or, if that is not it, the only port with its badge."""
    if badge is None or badge.fits(identity(path)):
        return path
    found = [other for other, worn in badges().items() if badge.fits(worn)]
    return found[0] if len(found) == 1 else path


def only_port() -> str:
    """The serial port to use when the user named none: the only one there is."""
    ports = known_ports()
    if len(ports) == 1:
        return next(iter(ports))
    if not ports:
        raise Problem("--port", "no serial port is there", "plug the board in, or use its emulator: --board NAME")
    listed = ", ".join(f"{path} ({what})" for path, what in ports.items())
    raise Problem("--port", f"{len(ports)} serial ports are there: {listed}", f"choose one: --port {next(iter(ports))}")


def open_port(name: str, settings: Settings) -> Any:
    """An open pyserial port for a device path or a socket:// or rfc2217:// URL, DTR and RTS set before it opens."""
    import serial

    _check_path(name)
    try:
        port = serial.serial_for_url(name, do_not_open=True)
        port.baudrate, port.dtr, port.rts = settings.baud, settings.dtr, settings.rts
        port.timeout = READ_SECONDS
        port.exclusive = True
        port.open()
    except ValueError as error:
        if "baud" in str(error).lower():
            what = f"cannot do {settings.baud} baud"
            raise Problem(name, what, "another rate: --baud 115200", EXIT_DEVICE) from error
        raise Problem(
            name, f"is not a port ({error})", "a device path, pty:, exec:, socket:// or rfc2217://"
        ) from error
    except OSError as error:  # pyserial's SerialException is one
        raise _cannot_open(name, error) from error
    return port


def _check_path(name: str) -> None:
    """Refuse what is not a character device before pyserial tries."""
    if name.startswith(("socket://", "rfc2217://")):
        _check_address(name)
    if "://" in name:
        return
    try:
        mode = Path(name).stat().st_mode
    except FileNotFoundError as error:
        ports = known_ports()
        hint = did_you_mean(name, ports) if ports else "no serial port is there: plug the board in"
        raise Problem(name, "there is no such port", hint, EXIT_DEVICE) from error
    except OSError as error:
        raise _cannot_open(name, error) from error
    if not stat.S_ISCHR(mode):
        raise Problem(name, "is not a serial port", "--port takes a device such as /dev/ttyUSB0", EXIT_DEVICE)


def _check_address(name: str) -> None:
    """Refuse a URL without a host and a port before pyserial does, in words about Python."""
    try:
        parts = urlsplit(name)
        complete = bool(parts.hostname and parts.port)
    except ValueError:
        complete = False
    if not complete:
        scheme = name.partition(":")[0]
        raise Problem(name, "names no host and port", f"as in {scheme}://192.168.1.5:4000")


def _cannot_open(name: str, error: OSError) -> Problem:
    """The Problem for a port that is there and does not open."""
    if error.errno in (errno.EACCES, errno.EPERM):
        group = _group(name)
        hint = f"sudo usermod -aG {group} $USER, then log out and in"
        return Problem(name, "this user may not open it", hint, EXIT_DEVICE)
    if error.errno in (errno.EBUSY, errno.EAGAIN):
        holder = _holder(name)
        hint = f"close {holder or 'the other program (a serial monitor?)'} and try again"
        return Problem(name, "is in use by another program", hint, EXIT_DEVICE)
    if "://" in name:
        return Problem(
            name, f"no connection ({_reason(error)})", "is the server running, host and port right?", EXIT_DEVICE
        )
    if "ioctl" in str(error):
        return Problem(name, "is not a serial port", "--port takes a device such as /dev/ttyUSB0", EXIT_DEVICE)
    return Problem(name, f"does not open ({_reason(error)})", "unplug it and plug it in again", EXIT_DEVICE)


def _reason(error: OSError) -> str:
    """The innermost words of an error: pyserial wraps the system's in its own."""
    return (error.strerror or str(error)).rpartition("] ")[2].rstrip(")'\"")


def _group(name: str) -> str:
    """The group that may open a device."""
    with suppress(OSError, KeyError, ImportError):
        import grp

        group = grp.getgrgid(Path(name).stat().st_gid).gr_name
        return group if group != "root" else "dialout"
    return "dialout"


def _holder(name: str) -> str:
    """`program (process 123)` that has a device open, as far as /proc may be read; else nothing."""
    real = os.path.realpath(name)
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            process = link.parts[2]
            if str(link.readlink()) == real and process != str(os.getpid()):
                return f"{Path('/proc', process, 'comm').read_text().strip()} (process {process})"
    return ""
