"""How mistakes are shown: one line and a hint, several at once, an exit code, no traceback."""

from __future__ import annotations

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


def test_an_unknown_name_gets_the_nearest_or_all() -> None:
    assert did_you_mean("eps32", ["host", "esp32"]) == "did you mean esp32?"
    assert did_you_mean("zzz", ["host", "esp32"]) == "there are: esp32, host"
    assert did_you_mean("zzz", []) == "there are: none"
