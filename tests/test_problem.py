"""How mistakes are shown: one line and a hint, several at once, an exit code, no traceback."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from pipeline.problem import EXIT_DEVICE, EXIT_INTERRUPTED, EXIT_USER, Problem, Problems, did_you_mean, raise_all, run


def outcome(main: object, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        run(main)  # type: ignore[arg-type]
    return int(str(ended.value.code)), capsys.readouterr().err


def test_a_problem_is_one_line_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    def main(argv: list[str]) -> int:
        raise Problem("/dev/ttyUSB0", "is in use", "close the monitor", EXIT_DEVICE)

    assert outcome(main, capsys) == (EXIT_DEVICE, "error: /dev/ttyUSB0: is in use\n  hint: close the monitor\n")


def test_several_problems_are_shown_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    def main(argv: list[str]) -> int:
        raise_all([Problem("a", "one"), Problem("b", "two", "try c")])
        return 0

    assert outcome(main, capsys) == (EXIT_USER, "error: a: one\nerror: b: two\n  hint: try c\n")


def test_raise_all_raises_nothing_one_or_all() -> None:
    raise_all([])
    with pytest.raises(Problem):
        raise_all([Problem("a", "one")])
    with pytest.raises(Problems, match="a: one; b: two"):
        raise_all([Problem("a", "one"), Problem("b", "two")])


def test_ctrl_c_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def main(argv: list[str]) -> int:
        raise KeyboardInterrupt

    assert outcome(main, capsys) == (EXIT_INTERRUPTED, "interrupted\n")


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (IsADirectoryError(21, "Is a directory", "x"), "x: is a directory\n  hint: a file is needed where a folder is"),
        (PermissionError(13, "Permission denied", "x"),
         "x: permission denied\n  hint: this user may not: see ls -l of it and of its folder"),
        (OSError(28, "No space left on device"),
         "disk: no space left on device\n  hint: make room on that disk and run it again"),
    ],
)  # fmt: skip
def test_what_the_system_refuses_of_a_file_is_no_traceback(
    error: OSError, lines: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(argv: list[str]) -> int:
        raise error

    assert outcome(main, capsys) == (EXIT_USER, f"error: {lines}\n")


def test_an_error_of_the_system_that_names_no_file_is_a_mistake_of_ours() -> None:
    def main(argv: list[str]) -> int:
        raise OSError(9, "Bad file descriptor")

    with pytest.raises(OSError, match="Bad file"):
        run(main)


def test_a_reader_that_has_enough_is_no_traceback() -> None:
    code = "from pipeline.problem import run; run(lambda argv: print('x' * 100_000) or 0)"
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} | head -c 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("x", "")


def test_an_unknown_name_gets_the_nearest_or_all() -> None:
    assert did_you_mean("eps32", ["host", "esp32"]) == "did you mean esp32?"
    assert did_you_mean("zzz", ["host", "esp32"]) == "there are: esp32, host"
    assert did_you_mean("zzz", []) == "there are: none"
