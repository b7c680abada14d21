"""The report's figures as SVG that takes its colours from the page, so that they follow its light or dark look."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pipeline import words

Facts = Mapping[str, Any]

_WIDTH = 5.4  # inches: a phone shows 10 points then as a readable size

# Stand-ins that no figure uses otherwise: each becomes a CSS variable of the page.
_INK, _FAINT, _ACCENT, _SOFT, _GOOD, _BAD = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
_VARIABLES = {_INK: "ink", _FAINT: "faint", _ACCENT: "accent", _SOFT: "soft", _GOOD: "good", _BAD: "bad"}
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _FAINT,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}
_POINTS = 2000  # of a curve: more of them nobody sees
_BLENDS = 10  # steps of the confusion matrix's colour


def ladder(scores: Facts, rungs: Mapping[str, str], names: Sequence[str], limit: tuple[float, str]) -> str:
    """One metric or more (each 0..1) on each rung, which is shown as `rungs` says; the limit (minimum, metric) as a
    line."""
    minimum, metric = limit
    with rc_context(_STYLE):
        figure, axes = _axes(0.62 * len(rungs) * max(1, 0.6 * len(names)) + 0.7)
        thick = 0.8 / len(names)
        for row, name in enumerate(names):
            at = np.arange(len(rungs)) + (row - (len(names) - 1) / 2) * thick
            values = [scores[rung][name] for rung in rungs]
            axes.barh(at, values, 0.86 * thick, color=(_ACCENT, _SOFT)[row % 2], label=words.plain(name))
            for y, value in zip(at, values, strict=True):
                axes.text(value + 0.01, y, f"{value:.4f}", va="center", fontsize=9)
        axes.axvline(minimum, color=_BAD, linewidth=1.2, linestyle=(0, (3, 2)))
        axes.text(minimum, -0.62, f"{words.plain(metric)} at least {minimum:g}", ha="center", fontsize=8.5, color=_BAD)
        axes.set_yticks(np.arange(len(rungs)), list(rungs.values()))
        axes.invert_yaxis()
        axes.set_xlim(0, 1.12)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
        _legend_below(axes, len(names))
        return _svg(figure, "ladder")


def confusion(table: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """Rows are true classes, columns what the device said; the colour is the share of the row."""
    counts = np.asarray(table)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with rc_context(_STYLE):
        figure, axes = _axes(0.55 * len(labels) + 2.0)
        for (row, column), count in np.ndenumerate(counts):
            share = np.ceil(shares[row, column] * _BLENDS) / _BLENDS
            colour = _ACCENT if row == column else _BAD
            if count:
                axes.add_patch(_cell(column, row, colour, 0.12 + 0.88 * share))
            ink = "#070707" if share > 0.5 else _INK
            axes.text(column, row, str(count or ""), ha="center", va="center", color=ink)
        axes.set_xlim(-0.5, len(labels) - 0.5)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_xticks(range(len(labels)), labels, rotation=35, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(labels)), labels)
        axes.set_xlabel("the device says")
        axes.set_ylabel("truth")
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        return _svg(figure, "confusion")


def roc(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], point: tuple[float, float]) -> str:
    """Detections over false alarms of each curve, and the device's working point at its threshold."""
    with rc_context(_STYLE):
        figure, axes = _axes(4.4)
        looks = {"float": (_INK, (0, (1, 2))), "device": (_ACCENT, "solid")}
        for name, (alarms, detections) in curves.items():
            colour, dashes = looks[name]
            shown = np.unique(np.linspace(0, len(alarms) - 1, min(len(alarms), _POINTS)).round().astype(np.int64))
            axes.plot(
                np.take(alarms, shown),
                np.take(detections, shown),
                color=colour,
                linestyle=dashes,
                linewidth=2,
                label=name,
                drawstyle="steps-post",
            )
        axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=0.8)
        axes.plot(*point, "o", color=_BAD, markersize=7, label="threshold on the device")
        axes.set_xlabel("false alarms")
        axes.set_ylabel("detections")
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.legend(loc="lower right")
        return _svg(figure, "roc")


def latency(units: NDArray[np.float64], kind: str) -> str:
    """How often an inference took so many units of the clock."""
    with rc_context(_STYLE):
        figure, axes = _axes(2.7)
        low, high = float(units.min()), float(units.max())
        room = max(0.15 * (high - low), 1.0)
        axes.hist(
            units,
            bins=min(60, max(1, len(np.unique(units)))),
            color=_ACCENT,
            range=(low, max(high, low + room / 10)),
        )
        for name, percent, colour in (("median", 50, _INK), ("p95", 95, _BAD)):
            value = float(np.percentile(units, percent))
            axes.axvline(value, color=colour, linewidth=1.2, linestyle=(0, (3, 2)), label=f"{name} {value:,.0f}")
        axes.set_xlim(low - room, high + room)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlabel(f"{kind} of an inference")
        axes.set_ylabel("windows")
        _legend_below(axes, 2, 0.3)
        return _svg(figure, "latency")


def memory(size: Facts, most: Facts) -> str:
    """Flash, RAM and the arena as shares of what the board has."""
    regions = list(most)
    shares = [size[region] / most[region] for region in regions]
    with rc_context(_STYLE):
        figure, axes = _axes(2.1)
        axes.barh(regions, [1.0] * len(regions), 0.5, color=_FAINT, alpha=0.35)
        colours = [_ACCENT if share <= 1 else _BAD for share in shares]
        axes.barh(regions, np.minimum(shares, 1.0), 0.5, color=colours)
        for row, (region, share) in enumerate(zip(regions, shares, strict=True)):
            text = f"{words.kilobytes(size[region])} of {words.kilobytes(most[region])}, {100 * share:.3g} %"
            axes.text(0, row - 0.38, text, ha="left", va="bottom", fontsize=9)
        axes.set_xlim(0, 1)
        axes.set_ylim(len(regions) - 0.6, -0.85)
        axes.set_xticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)
        return _svg(figure, "memory")


def arena(plan: Facts) -> str:
    """What lies where in the arena while the steps of an inference run: a box for each tensor, over its life."""
    colours = {"arena": _ACCENT, "scratch": _SOFT, "state": _GOOD}
    lying = [tensor for tensor in plan["tensors"] if tensor["place"] in colours]
    names = [operator["name"] for operator in plan["operators"]]
    with rc_context(_STYLE):
        figure, axes = _axes(3.2)
        for tensor in lying:
            steps = tensor["last"] - tensor["first"] + 1
            corner = (tensor["first"] - 0.5, tensor["offset"])
            colour = colours[tensor["place"]]
            axes.add_patch(Rectangle(corner, steps, tensor["bytes"], facecolor=colour, edgecolor=_INK, linewidth=0.4,
                                     alpha=0.6))  # fmt: skip
        axes.axhline(plan["arena_bytes"], color=_BAD, linewidth=1.2, linestyle=(0, (3, 2)))
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.set_ylim(0, 1.05 * plan["arena_bytes"])
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_ylabel(f"bytes, of {plan['arena_bytes']:,}")
        shown = range(0, len(names), 1 + len(names) // 16)
        axes.set_xticks(shown, [names[step] for step in shown], rotation=35, ha="right", rotation_mode="anchor")
        kinds = [kind for kind in colours if any(tensor["place"] == kind for tensor in lying)]
        said = {"arena": "a tensor", "scratch": "scratch of a step", "state": "kept between inferences"}
        if kinds != ["arena"]:
            boxes = [Rectangle((0, 0), 1, 1, color=colours[kind], alpha=0.6) for kind in kinds]
            axes.legend(boxes, [said[kind] for kind in kinds], fontsize=8.5)
        return _svg(figure, "arena")


def sparsity(layers: Sequence[Facts]) -> str:
    """Share of zero weights of each layer, before and after pruning."""
    with rc_context(_STYLE):
        figure, axes = _axes(0.42 * len(layers) + 0.9)
        rows = np.arange(len(layers))
        after = [layer["after"] for layer in layers]
        axes.barh(rows, after, 0.6, color=_ACCENT, label="after pruning")
        axes.barh(rows, [layer["before"] for layer in layers], 0.6, color=_SOFT, label="before")
        for row, value in zip(rows, after, strict=True):
            axes.text(value + 0.01, row, f"{100 * value:.1f} %", va="center", fontsize=9)
        axes.set_yticks(rows, [f"{layer['layer']} ({layer['weights']:,})" for layer in layers])
        axes.invert_yaxis()
        axes.set_xlim(0, 1.08)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"])
        _legend_below(axes, 2)
        return _svg(figure, "sparsity")


def windows(signals: Sequence[NDArray[np.float64]], titles: Sequence[str]) -> str:
    """Small pictures of windows, two in a row: lines over time for up to 12 channels, else the values as shades."""
    rows = (len(signals) + 1) // 2
    with rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 1.75 * rows), layout="constrained")
        grid = figure.subplots(rows, 2, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, signal, title in zip(grid.flat, signals, titles, strict=False):
            shaped = np.squeeze(signal)
            if shaped.ndim == 1 or (shaped.ndim == 2 and shaped.shape[1] <= 12):
                axes.set_prop_cycle(color=[_ACCENT, _BAD, _GOOD, _INK, _SOFT, _FAINT])
                axes.plot(shaped, linewidth=0.9)
            else:
                flat = shaped if shaped.ndim == 2 else shaped.mean(axis=-1)
                axes.pcolormesh(flat[:: 1 + len(flat) // 33, :: 1 + flat.shape[1] // 33], cmap=_shades())
            axes.set_title(title, fontsize=8.5, loc="left")
        return _svg(figure, "windows")


def _shades() -> Any:
    """From nothing to the accent: one colour of the page, more or less opaque."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    return LinearSegmentedColormap.from_list("shades", [(*to_rgb(_ACCENT), opacity) for opacity in (0.0, 1.0)])


def _axes(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def _cell(column: float, row: float, colour: str, alpha: float) -> Any:
    return Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, color=colour, alpha=alpha, linewidth=0)


def _legend_below(axes: Axes, columns: int, below: float = 0.16) -> None:
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -below), ncols=columns)


def _svg(figure: Figure, name: str) -> str:
    """The figure as an <svg> element for a page: no prologue, no fixed size, no group ids, colours of the page."""
    text = io.StringIO()
    with rc_context({"svg.hashsalt": name}):
        figure.savefig(
            text, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace("#070707", "var(--paper)")
    for stand_in, variable in _VARIABLES.items():
        svg = svg.replace(stand_in, f"var(--{variable})")
    return svg
