"""The one error type for what a user can mend: where, what, hint, and the exit code it leads to."""

from __future__ import annotations

import difflib
import errno
import os
import re
import sys
from collections.abc import Callable, Iterable

EXIT_LIMIT = 1  # a limit was missed
EXIT_USER = 2  # the user's mistake
EXIT_DEVICE = 3  # the device or its link
EXIT_TOOL = 4  # a missing tool
EXIT_INTERRUPTED = 130  # Ctrl-C, as a shell reports it
_FULL = (errno.ENOSPC, errno.EDQUOT)
_HINTS = {
    **dict.fromkeys(_FULL, "make room on that disk and run it again"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "this user may not: see ls -l of it and of its folder"),
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR), "a folder is needed where a file is"),
    errno.EISDIR: "a file is needed where a folder is",
}


class Problem(Exception):
    """One line for the user: `where` (file, port, model), `what` is wrong, and a `hint` that mends it."""

    def __init__(self, where: object, what: str, hint: str = "", code: int = EXIT_USER) -> None:
        super().__init__(f"{where}: {what}")
        self.where, self.what, self.hint, self.code = str(where), what, hint, code

    def lines(self) -> list[str]:
        """The error as it is printed: `error: where: what`, then `  hint: ...` when there is one."""
        return [f"error: {self.where}: {self.what}", *([f"  hint: {self.hint}"] if self.hint else [])]


class Problems(Exception):
    """Several problems of one input, shown at once. The exit code is the first one's."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))

    @property
    def code(self) -> int:
        """Exit code of the first problem."""
        return self.problems[0].code

    def lines(self) -> list[str]:
        """Every problem's lines, in order."""
        return [line for problem in self.problems for line in problem.lines()]


def raise_all(problems: list[Problem]) -> None:
    """Raise one Problem as it is, several as Problems, none not at all."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise Problems(problems)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest known one, or the list of all."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(names) or 'none'}"


def refused(error: OSError, where: object = "") -> Problem:
    """What the operating system refused; `where` when the error does not say, or names a file nobody knows."""
    reason = error.strerror or str(error)
    return Problem(where or error.filename or "disk", reason[:1].lower() + reason[1:], _HINTS.get(error.errno or 0, ""))


def gist(error: Exception) -> str:
    """The line of a long message of TensorFlow's that says what is wrong."""
    lines = [" ".join(line.split()) for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("[[", "•", "Call arguments", "Arguments received"))]
    errors = [line for line in told if re.match(r"\w+Error: ", line)]
    return (errors or told or [type(error).__name__])[-1]


def run(main: Callable[[list[str]], int]) -> None:
    """Run a stage's `main(argv) -> exit code` and leave the process; Problems become lines, not tracebacks, and so
    does what the operating system refuses of a file."""
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except (Problem, Problems) as problem:
        sys.stderr.write("\n".join(problem.lines()) + "\n")
        code = problem.code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        code = EXIT_INTERRUPTED
    except BrokenPipeError:  # who reads our words, such as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_USER
    except OSError as error:
        if error.filename is None and error.errno not in _FULL:
            raise
        sys.stderr.write("\n".join(refused(error).lines()) + "\n")
        code = EXIT_USER
    sys.exit(code)
