"""The emulator labwired behind a pseudo-terminal: a chip's own image, its UART registers at both ends of the line."""

from __future__ import annotations

import argparse
import os
import select
import sys
import tty
from pathlib import Path
from typing import Any

from pipeline.problem import EXIT_DEVICE, EXIT_TOOL, Problem, run

START, SLICE = "5ms", "1ms"  # emulated time: until the firmware has set up its UART, and between two looks at the line
FILL_SLICE = "100us"  # between two times that its receive FIFO is filled
QUIET_SLICES = 2000  # without a byte either way; then the machine naps between slices
NAP_SECONDS = 0.05
STDIN = 0


def serve(chip: Any, line: int, fifo: int) -> None:
    """Move bytes between the chip's UART, `fifo` at a time, and a file descriptor until our stdin ends."""
    quiet, waiting = 0, b""
    while True:
        ready, _, _ = select.select([line, STDIN], [], [], NAP_SECONDS if quiet > QUIET_SLICES else 0)
        if STDIN in ready and not os.read(STDIN, 64):
            return
        if line in ready and not waiting:
            waiting = os.read(line, 4096)
        if waiting:
            chip.send_bytes(waiting[:fifo])
        outgoing = _step(chip, FILL_SLICE if waiting[fifo:] else SLICE)
        quiet = 0 if waiting or outgoing else quiet + 1
        waiting = waiting[fifo:]
        while outgoing:
            outgoing = outgoing[os.write(line, outgoing) :]


def _step(chip: Any, duration: str) -> bytes:
    """Run for some emulated time; what the chip sent."""
    try:
        chip.run_for(duration)
    except RuntimeError as error:
        raise Problem("labwired", f"the machine stopped: {error}", code=EXIT_DEVICE) from error
    return bytes(chip.read_uart_bytes())


def _start(options: argparse.Namespace) -> Any:
    try:
        import labwired
    except ImportError as error:
        raise Problem("labwired", "is not installed", "pip install labwired", EXIT_TOOL) from error
    try:
        chip = labwired.Sim(options.elf, chip=options.chip, uart=options.uart)
    except (ValueError, RuntimeError, OSError) as error:
        raise Problem("labwired", f"does not take {options.elf} as {options.chip}: {error}") from error
    chip.run_for(START)
    if options.divider:
        chip.write_u32(options.divider, 1)
    return chip


def main(argv: list[str]) -> int:
    """Print the path of a pty and serve the firmware there."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.labwired_pty", description=__doc__)
    parser.add_argument("elf", type=Path, metavar="ELF", help="the firmware of the chip itself")
    parser.add_argument("--chip", required=True, metavar="C", help="a chip that labwired knows, such as esp32c3")
    parser.add_argument("--uart", metavar="U", help="labwired's name of the serial line (default: the chip's first)")
    parser.add_argument(
        "--divider",
        type=lambda word: int(word, 0),
        metavar="ADDRESS",
        help="of the UART's clock divider: set to 1 once the firmware runs, so that bytes take no emulated time",
    )
    parser.add_argument(
        "--fifo", type=int, default=4096, metavar="BYTES", help="what the UART takes at a time (default: all there is)"
    )
    options = parser.parse_args(argv)
    chip = _start(options)
    line, far = os.openpty()
    tty.setraw(far)  # stays open here too: else a host that closes it would end the line
    sys.stdout.write(f"pty: {os.ttyname(far)}\n")
    sys.stdout.flush()
    serve(chip, line, options.fifo)
    return 0


if __name__ == "__main__":
    run(main)
