"""The fixture `device` for a user's own tests: `pytest --hil-port /dev/ttyUSB0`, or `--hil-board esp32`, emulated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pipeline.live import Live

OPTIONS = {
    "port": "the board's serial port, as --port of python -m pipeline.hil",
    "board": "the board; without --hil-port its emulator",
    "name": "the model (default: what the device says)",
    "runtime": "the runtime (default: what the device says)",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """--hil-port and its like."""
    group = parser.getgroup("hil", "hardware in the loop")
    for name, words in OPTIONS.items():
        group.addoption(f"--hil-{name}", help=words)


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> Iterator[Live]:
    """A board, opened once for all tests: device.info, device.run(window), device.stream(windows)."""
    asked = {name: request.config.getoption(f"--hil-{name}") for name in OPTIONS}
    if not (asked["port"] or asked["board"]):
        pytest.skip("no board: give --hil-port or --hil-board")
    from pipeline import live
    from pipeline.problem import Problem, Problems

    with ExitStack() as line:
        try:
            opened = line.enter_context(live.connect(**asked))
        except (Problem, Problems) as problem:
            pytest.fail("\n".join(problem.lines()), pytrace=False)
        yield opened
