"""Check a model on its board: every test window through the device, byte for byte against the reference."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.problem import Problem, raise_all, run


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(
        prog="python -m pipeline.hil",
        description=__doc__,
        epilog="Without --port and --board the only serial port is taken. Exit code: 0 pass, 1 bytes differ or a limit "
        "is missed, 2 a mistake in the call, 3 the device or its line, 4 a missing tool, 130 interrupted.",
    )
    options.add_argument(
        "--port",
        metavar="P",
        action="append",
        help="the device: /dev/ttyUSB0, exec:COMMAND (talks over its stdin and stdout), pty:COMMAND (prints its pty), "
        "socket://HOST:PORT or rfc2217://HOST:PORT; again for each of several identical boards",
    )
    options.add_argument("--each", action="store_true", help="every window on each of several boards, not split")
    options.add_argument("--board", metavar="B", help="boards/B.toml; without --port its emulator is used")
    options.add_argument("--name", metavar="N", help="the model, build/N (default: what the device says)")
    options.add_argument("--runtime", metavar="R", help="the runtime, build/N/B-R (default: what the device says)")
    options.add_argument("--windows", metavar="K", type=int, help="a stratified random sample of K (default: all)")
    options.add_argument(
        "--until-sure", metavar="A", type=float, help="stop when it is sure whether accuracy reaches A"
    )
    options.add_argument("--resume", action="store_true", help="go on with an unfinished run where it was")
    options.add_argument("--baud", metavar="RATE", type=int, help="line rate (default: the board's, or 115200)")
    options.add_argument("--layers", action="store_true", help="compare every step of a window, not only a wrong one's")
    options.add_argument("--self-test", action="store_true", help="harm the line on purpose and judge the verdicts")
    options.add_argument("--faults", metavar="N", type=int, default=10_000, help="of --self-test (default: 10000)")
    options.add_argument("--seed", metavar="S", type=int, help="of --windows (default: 0) and --self-test (a new one)")
    options.add_argument(
        "--limit",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="instead of the model's: accuracy=90%% (or another metric), drop=0.02, ticks=20000, milliseconds=2.5, "
        "flash=64K, ram, arena",
    )
    options.add_argument(
        "--baseline", metavar="FILE", type=Path, help="an earlier report.json: fail where it was better"
    )
    options.add_argument(
        "--tolerance",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="how much worse than --baseline it may be: accuracy=1%%, latency=5%% (the default), flash=512; others: 0",
    )
    options.add_argument("--summary", metavar="FILE", type=Path, help="add the report to a Markdown file")
    options.add_argument("--json", action="store_true", help="print report.json")
    options.add_argument("--out", metavar="DIR", type=Path, help="where reports go (default: build/N/B-R)")
    return options


def main(argv: list[str]) -> int:
    """Run the windows, write report.json, report.html, report.xml and outputs.npz, print the report."""
    options = vars(parser().parse_args(argv))
    as_json, self_test = options.pop("json"), options.pop("self_test")
    faults, seed = options.pop("faults"), options["seed"]
    options["seed"] = seed or 0
    several, each = options["port"] or [None], options.pop("each")
    options["port"] = several[0]
    if len(set(several)) < len(several):
        raise Problem("--port", f"{several[0]} is named twice", "name each board once")
    if each and len(several) < 2:
        raise Problem("--each", "is about several boards", "name each board: --port A --port B")
    raise_all(
        [*_wrong_values({**options, "faults": faults, "seed": seed}), *(_not_tested(options) if self_test else ())]
    )
    options["gates"], summary = _gates(options), options.pop("summary")
    if self_test:
        from pipeline import bench, selftest

        return selftest.run(bench.Ask(**options), faults, seed, as_json)
    from pipeline import bench, fleet, report  # after --help and mistakes in the call, for these take their time

    ask = bench.Ask(**options)
    finished = bench.check(ask) if len(several) == 1 else fleet.check(ask, several, each)
    report.write(finished)
    if finished.outcome.answered.all():
        (finished.folder / bench.JOURNAL).unlink(missing_ok=True)
    _tell(finished.report, summary)
    sys.stdout.write(report.as_json(finished.report) if as_json else report.as_text(finished.report, finished.folder))
    if finished.problem:
        sys.stdout.flush()
        sys.stderr.write("\n".join(finished.problem.lines()) + "\n")
    return finished.code


def _wrong_values(options: Mapping[str, Any]) -> Iterator[Problem]:
    """Options whose values say nothing."""
    from pipeline.ports import MOST_BAUD

    for name in ("port", "board", "name", "runtime"):
        if options[name] == "":
            yield Problem(f"--{name}", "is empty", "leave it out, or say which")
    for name in ("windows", "faults"):
        if options[name] is not None and options[name] < 1:
            yield Problem(f"--{name}", f"{options[name]} {name} cannot be run", "at least 1")
    if options["seed"] is not None and options["seed"] < 0:
        yield Problem("--seed", f"{options['seed']} is below 0", "0 or more")
    if options["baud"] is not None and not 0 < options["baud"] <= MOST_BAUD:
        yield Problem("--baud", f"{options['baud']} is no rate of a line", "such as 115200")


def _not_tested(options: Mapping[str, Any]) -> Iterator[Problem]:
    """Options of a run that a self-test knows nothing of."""
    for name in ("windows", "until_sure", "resume", "layers", "limit", "baseline", "tolerance", "summary", "out"):
        if options[name]:
            yield Problem(f"--{name.replace('_', '-')}", "has no meaning in a self-test", "run it without --self-test")


def _gates(options: dict[str, Any]) -> dict[str, Any] | None:
    """The options that limit the run or compare it, read and taken out."""
    from pipeline import ci, gates

    ci.check_path(options["summary"])
    return gates.of(*(options.pop(name) for name in ("limit", "baseline", "tolerance")))


def _tell(report: Mapping[str, Any], summary: Path | None) -> None:
    """What continuous integration wants to hear; GitHub reads annotations from stderr too, and stdout may be JSON."""
    from pipeline import ci

    if summary:
        ci.add_summary(summary, report)
    sys.stderr.write(ci.annotate(report))


if __name__ == "__main__":
    run(main)
