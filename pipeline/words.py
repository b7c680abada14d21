"""Figures of a report in words, the same on the terminal and in HTML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Facts = Mapping[str, Any]

_SHARES = ("accuracy", "macro_f1", "false_alarm_rate", "detection_rate")


def title(report: Facts) -> str:
    """Which model, which board."""
    return f"{report['model']} {report['model_id'][:8]} on {report['board']}, runtime {report['runtime']}"


def rows(report: Facts) -> list[tuple[str, str]]:
    """The report line by line: what, and its figures."""
    size, most = report["size"], report["memory"]
    own = f" ({kilobytes(size['model_code'])} of it the model's)" if size["model_code"] else ""
    parts = f"code {kilobytes(size['code'])}{own}, weights {kilobytes(size['weights'])}"
    return [
        ("windows", windows(report["windows"])),
        *certainty(report),
        ("latency", latency(report)),
        ("flash", f"{_of(size['flash'], most['flash'])}; {parts}"),
        ("RAM", f"{_of(size['ram'], most['ram'])}; arena {_of(size['arena'], most['arena'])}{stack(report['layers'])}"),
        ("limits", limits(report["limits"])),
        ("line", line(report)),
        *boards(report["boards"] or []),
        *([("layers", layers(report["layers"]))] if report["layers"] else []),
    ]


def summary(report: Facts) -> list[tuple[str, str, str]]:
    """The figures that matter most: what, the figure, and one line more."""
    scores, windows_, clock = report["metrics"], report["windows"], report["clock"]
    size, most = report["size"], report["memory"]
    cards = [("windows equal", f"{windows_['equal']:,}", f"of {windows_['total']:,}, byte for byte")]
    if scores["device"]:
        main = metric_names(report)[0]
        cards.append((f"{plain(main)} on the device", metric(scores["device"][main], main), _against(scores, main)))
        unit = "instructions, emulated" if clock["kind"] == "instructions" else _unit(report)
        cards.append(("median latency", _short(report), unit))
    cards.append(("flash", kilobytes(size["flash"]), f"{100 * size['flash'] / most['flash']:.3g} % of the board"))
    cards.append(("RAM", kilobytes(size["ram"]), f"{100 * size['ram'] / most['ram']:.3g} % of the board"))
    return cards


def windows(facts: Facts) -> str:
    """How many were equal."""
    text = f"{facts['equal']} of {facts['total']} equal to the reference, byte for byte"
    for key, what in (("failed", "differ"), ("unanswered", "not answered")):
        text += f"; {facts[key]} {what}" if facts[key] else ""
    if facts["differing"]:
        first = facts["differing"][0]
        text += f" (first: window {first['index']}, {first['bytes']} bytes, by up to {first['largest']})"
    return text


def certainty(report: Facts) -> list[tuple[str, str]]:
    """How sure the metric is, what flips against float, what a sample shows."""
    said = []
    if known := report["statistics"]:
        interval, flips = known["interval"], known["float"]
        value, low, high = (metric(interval[key], interval["metric"]) for key in ("value", "low", "high"))
        how = f"{interval['method']}, windows taken as independent"
        said.append((plain(interval["metric"]), f"{value}, 95 % interval {low} to {high} ({how})"))
        text = f"{flips['flipped']} windows are decided otherwise than by float: {flips['better']} now right,"
        text += f" {flips['worse']} now wrong (p {flips['p']:.2g}); by the reference: {known['int8']['flipped']}"
        if not report["metrics"]["float"]:  # a model that came quantized
            text = f"{known['int8']['flipped']} windows are decided otherwise than by the reference"
        said.append(("flipped", text))
    if sample := report["sample"]:
        said.append(("sample", f"{sample['windows']} of {sample['of']}, seed {sample['seed']}: {sample['words']}"))
    if sure := report["until_sure"]:
        said.append(("sure", sure["words"]))
    return said


def latency(report: Facts) -> str:
    """Median, p95 and maximum; milliseconds only where the clock is time."""
    clock = report["clock"]
    if clock["median"] is None:
        return "nothing was run"
    time = clock["milliseconds"]
    if time:
        text = ", ".join(f"{name} {time[name]:.3f} ms" for name in ("median", "p95", "max"))
        text += f" ({clock['median']:,.0f} cycles at {clock['hz'] / 1e6:g} MHz)" if clock["kind"] == "cycles" else ""
    else:
        text = ", ".join(f"{name} {clock[name]:,.0f}" for name in ("median", "p95", "max")) + f" {clock['kind']}"
    return (f"{text}, emulated" if report["emulated"] else text) + predicted(report)


def predicted(report: Facts) -> str:
    """What the plan expected of the median, where it counts what the clock counts."""
    guess, median = report["predicted"], report["clock"]["median"]
    return f"; predicted {guess:,.0f} {report['clock']['kind']}, {100 * (guess / median - 1):+.1f} %" if guess else ""


def limits(checks: list[Facts]) -> str:
    """How many are met."""
    met, open_ = (sum(check["met"] is value for check in checks) for value in (True, None))
    text = f"{met} of {len(checks) - open_} met"
    return f"{text}; {open_} need the whole test split" if open_ else text


def line(report: Facts) -> str:
    """Speed and health of the line."""
    link = report["link"]
    if not link:
        return str(report["port"])
    troubles = {
        "retries": "sent again",
        "damaged": "answers damaged",
        "refused": "frames refused",
        "stale": "stale answers",
        "restarts": "restarts of the device",
        "returns": "times the port came back",
        "slower": "times back to the usual rate",
    }
    counts = ", ".join(f"{link[key]} {what}" for key, what in troubles.items() if link[key]) or "no byte lost"
    text = f"{report['port']}: {link['windows_per_second']:g} windows/s in {link['seconds']:.1f} s, {counts}"
    text += f", {link['baud']} baud" if link["baud"] else ""
    return f"{text}; {link['resumed']} answers of an unfinished run" if link["resumed"] else text


def boards(columns: list[Facts]) -> list[tuple[str, str]]:
    """A line for each of several boards."""
    said = []
    for number, board in enumerate(columns, 1):
        speed = f"median {board['median_ticks']:,.0f} ticks, " if board["median_ticks"] else ""
        text = (
            f"{board['port']}: {board['equal']} of {board['windows']} equal, {speed}{board['windows_per_second']:g}/s"
        )
        said.append((f"board {number}", text + (f"; ended: {board['ended']}" if board["ended"] else "")))
    return said


def stack(facts: Facts | None) -> str:
    """The most of the stack that was used, where the firmware measured it."""
    deepest = facts.get("stack") if facts else None
    return f"; stack {_of(deepest['used'], deepest['size'])} at its deepest" if deepest else ""


def layers(facts: Facts) -> str:
    """Where a wrong window goes wrong, and the three steps that take longest."""
    timed = [step for step in facts["steps"] if step["ticks"]]
    longest = sorted(timed, key=lambda step: -float(step["share"]))[:3]
    each = ", ".join(f"{step['name']} {100 * step['share']:.3g} %" + _per_mac(step) for step in longest)
    untimed = (
        "no ticks: this device does not time its steps, or none took a tick" if facts["steps"] and not timed else ""
    )
    return "; ".join(filter(None, [facts["words"], each, untimed]))


def _per_mac(step: Facts) -> str:
    return f" ({step['ticks_per_mac']:.3g} a MAC)" if step["ticks_per_mac"] else ""


def metric_names(report: Facts) -> list[str]:
    """Metrics of the task that are one number, the most telling first."""
    some: Facts = next((scores for scores in report["metrics"].values() if scores), {})
    return [name for name, value in some.items() if isinstance(value, float) and name != "threshold"]


def rungs(report: Facts) -> dict[str, str]:
    """The rungs that have figures, and each as people write it."""
    return {name: rung(name, report["activations"]) for name, scores in report["metrics"].items() if scores}


def rung(name: str, activations: int) -> str:
    """A rung as people write it, where activations have so many bits."""
    return "16x8" if (name, activations) == ("int8", 16) else name


def metric(value: float, name: str) -> str:
    """A metric as people write it."""
    return f"{100 * value:.2f} %" if name in _SHARES else f"{value:.4f}"


def plain(name: str) -> str:
    """A key as words."""
    return {"macro_f1": "macro F1", "auc": "ROC AUC"}.get(name, name.replace("_", " "))


def count(value: float) -> str:
    """A number with thousands apart; whole ones without a point."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4f}"


def kilobytes(count_: int) -> str:
    """Bytes, or KB of 1024 from there on."""
    return f"{count_ / 1024:,.1f} KB" if count_ >= 1024 else f"{count_} B"


def _of(used: int, most: int) -> str:
    return f"{kilobytes(used)} of {kilobytes(most)} ({100 * used / most:.3g} %)"


def _against(scores: Facts, name: str) -> str:
    return f"float {metric(scores['float'][name], name)}" if scores["float"] else ""


def _short(report: Facts) -> str:
    clock = report["clock"]
    if clock["milliseconds"]:
        return f"{clock['milliseconds']['median']:.3g} ms"
    median = clock["median"]
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if median >= size:
            return f"{median / size:.3g} {unit}"
    return f"{median:g}"


def _unit(report: Facts) -> str:
    clock = report["clock"]
    if report["emulated"]:
        return f"{clock['kind']}, emulated"
    return f"{clock['median']:,.0f} cycles" if clock["kind"] == "cycles" else "microsecond clock"
