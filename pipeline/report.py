"""The report of a run: text for the terminal, report.json, report.html, report.xml for CI, and the device's bytes."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import evidence, files, gates, metrics, words
from pipeline.bench import Finished

if TYPE_CHECKING:
    from rich.table import Table

Facts = Mapping[str, Any]
MOST_CLASSES = 60  # of a confusion that is drawn: more cannot be read, and take minutes


def write(finished: Finished) -> None:
    """Write every form of the report beside each other, and the evidence."""
    outcome = finished.outcome
    arrays = {key: getattr(outcome, key) for key in ("asked", "outputs", "ticks", "answered")}
    files.write_arrays(finished.folder / "outputs.npz", arrays)
    files.write_json(finished.folder / "report.json", finished.report)
    files.write_text(finished.folder / "report.xml", as_junit(finished.report))
    files.write_text(finished.folder / "report.html", as_html(finished))
    evidence.write(finished.folder, finished.built, finished.info, outcome, finished.report)


def as_json(report: Facts) -> str:
    """What report.json holds, for --json."""
    return json.dumps(report, indent=2, allow_nan=False) + "\n"


def as_text(report: Facts, folder: Path) -> str:
    """The report for a terminal; coloured when it is one."""
    from rich.console import Console
    from rich.padding import Padding

    console = Console(highlight=False, soft_wrap=True)
    with console.capture() as captured:
        colour = "green" if report["verdict"] == "pass" else "red"
        console.print(f"\n[bold {colour}]{report['verdict'].upper()}[/]  {words.title(report)}")
        if report["emulated"]:
            console.print(
                f"      emulated by {report['emulator']['name']}: no figure here is the chip's own", style="yellow"
            )
        console.print()
        for row in words.rows(report):
            console.print(f"  {row[0]:<11}{row[1]}", markup=False)
        console.print()
        if report["metrics"]["device"]:
            console.print(Padding(_metrics_table(report), (0, 0, 1, 2), expand=False))
        if report["baseline"]:
            console.print(Padding(_changes_table(report["baseline"]), (0, 0, 1, 2), expand=False))
        for reason in report["reasons"]:
            console.print(f"  - {reason}", style="red", markup=False)
        console.print(f"  {'report':<11}{_shown(folder / 'report.html')}", markup=False)
        proof = f"{_shown(folder / 'evidence')} ({evidence.digest(folder / 'evidence')[:16]})"
        console.print(f"  {'evidence':<11}{proof}\n", markup=False)
    return "\n".join(row.rstrip() for row in captured.get().split("\n"))


def as_junit(report: Facts) -> str:
    """JUnit XML: equality of the windows, each limit and the line as test cases."""
    suite = ET.Element("testsuite", name=f"hil.{report['model']}.{report['board']}-{report['runtime']}")
    windows = report["windows"]
    wrong = [f"{windows[key]} {key}" for key in ("failed", "unanswered") if windows[key]]
    _case(suite, "windows equal the reference", ", ".join(wrong), report["link"].get("seconds", 0.0))
    for check in report["limits"]:
        what = f"{check['name']}: at {check['at']} {check['limit']:g}"
        missed = f"{check['value']:g} is not at {check['at']} {check['limit']:g}" if check["met"] is False else ""
        _case(suite, what, missed, skipped="a part of the test split cannot tell" if check["met"] is None else "")
    for row in report["baseline"]["rows"] if report["baseline"] else ():
        missed = "".join(gates.regressions({"rows": [row]}))
        skipped = "" if row["met"] is not None else "not judged"
        _case(suite, f"{words.plain(row['name'])} beside the baseline", missed, skipped=skipped)
    stopped = report["verdict"] in ("failed", "partial")
    _case(suite, "the run went to its end", report["reasons"][0] if stopped else "")
    failures = len(suite.findall("testcase/failure"))
    suite.attrib |= {"tests": str(len(suite)), "failures": str(failures), "errors": "0"}
    ET.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suite, encoding="unicode") + "\n"


def as_html(finished: Finished) -> str:
    """One page that needs nothing else: figures inlined, light or dark as the reader's system is."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pipeline"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"metric": words.metric, "count": words.count, "name": words.plain}
    report = finished.report
    return environment.get_template("report.html.j2").render(
        report=report, rows=words.rows(report), title=words.title(report), figures=draw(finished),
        rungs=words.rungs(report), changes=gates.changes(report["baseline"]) if report["baseline"] else [],
        names=words.metric_names(report), summary=words.summary(report),
    )  # fmt: skip


def draw(finished: Finished) -> list[tuple[str, str]]:
    """The figures that there is data for: a caption and an SVG each."""
    from pipeline import figures

    report, outcome = finished.report, finished.outcome
    scores, clock = report["metrics"], report["clock"]
    drawn = []
    if scores["device"]:
        rules = gates.rules(finished.built.quantize["limits"], finished.built.board, outcome.gates)
        metric, names = rules["metric"], words.metric_names(report)
        names = [name for name in names if name in ("accuracy", "macro_f1", "auc")]
        ladder = figures.ladder(scores, words.rungs(report), names, (rules["metrics"][metric], metric))
        drawn.append(("From float to the device", ladder))
        if len(report["task"].get("labels", ())) <= MOST_CLASSES:
            drawn.append(_truth(finished))
        units = outcome.ticks[outcome.answered] / clock["ticks_per_unit"]
        note = ", emulated" if report["emulated"] else ""
        drawn.append((f"Latency in {clock['kind']}{note}", figures.latency(units, clock["kind"])))
        drawn.append(("Worst windows", _worst(finished)))
    drawn.append(("Memory of the board", figures.memory(report["size"], report["memory"])))
    if any(tensor["place"] == "arena" for tensor in finished.built.plan.get("tensors", ())):
        drawn.append(("Arena over the steps of an inference", figures.arena(finished.built.plan)))
    if report["sparsity"]:
        drawn.append(("Zero weights by layer", figures.sparsity(report["sparsity"])))
    return drawn


def _truth(finished: Finished) -> tuple[str, str]:
    """Confusion matrix or ROC, from the device's own bytes."""
    from pipeline import figures

    task, device = finished.report["task"], finished.report["metrics"]["device"]
    if task["kind"] == "classification":
        return "Confusion on the device", figures.confusion(device["confusion"], task["labels"])
    answered = finished.outcome.rungs(finished.built)
    curves = {name: metrics.roc(answered.said(name), answered.labels) for name in ("float", "device")}
    return "Detections and false alarms", figures.roc(curves, (device["false_alarm_rate"], device["detection_rate"]))


def _worst(finished: Finished) -> str:
    """The windows with the smallest margins, as the device saw them (standardised)."""
    from pipeline import figures

    built, worst = finished.built, finished.report["statistics"]["worst"]
    labels = finished.report["task"]["labels"]
    at = [each["index"] for each in worst]
    signals = metrics.dequantize(built.reference["inputs"][at], built.quantize["input"])
    titles = [
        f"{each['index']}: {labels[each['label']]}, margin {each['margin']:.2f}"
        + (f"\nthe device says {labels[each['said']]}" if each["said"] != each["label"] else "\nthe device says so too")
        for each in worst
    ]
    return figures.windows(list(signals), titles)


def _metrics_table(report: Facts) -> Table:
    from rich.table import Table

    table = Table("", *words.rungs(report).values(), box=None, pad_edge=False, header_style="dim")
    for column in table.columns[1:]:
        column.justify = "right"
    for name in words.metric_names(report):
        table.add_row(
            words.plain(name), *(words.metric(report["metrics"][rung][name], name) for rung in words.rungs(report))
        )
    return table


def _changes_table(compared: Facts) -> Table:
    from rich.table import Table

    table = Table("since", "before", "now", "change", "", box=None, pad_edge=False, header_style="dim")
    for column in table.columns[1:4]:
        column.justify = "right"
    for row in gates.changes(dict(compared)):
        table.add_row(*row, style="red" if row[-1] == "worse" else None)
    return table


def _case(suite: ET.Element, name: str, failure: str, seconds: float = 0.0, skipped: str = "") -> None:
    case = ET.SubElement(suite, "testcase", name=name, classname=suite.attrib["name"], time=f"{seconds:.3f}")
    if failure:
        ET.SubElement(case, "failure", message=failure)
    elif skipped:
        ET.SubElement(case, "skipped", message=skipped)


def _shown(path: Path) -> str:
    """The path as a user in the working directory would type it."""
    full = path.resolve()
    return str(full.relative_to(Path.cwd()) if full.is_relative_to(Path.cwd()) else full)
