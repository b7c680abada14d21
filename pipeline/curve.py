"""The training curve as a picture."""

from __future__ import annotations

import io

PANELS = (("loss", "val_loss"), ("accuracy", "val_accuracy"))


def curve(title: str, history: dict[str, list[float]], kept: int) -> bytes:
    """A PNG of loss and, where there is one, accuracy by epoch; a dotted line marks the epoch `kept` (from 1)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = [keys for keys in ([key for key in panel if key in history] for panel in PANELS) if keys]
    size = (4.5 * len(panels), 3.2)
    figure, axes = pyplot.subplots(1, len(panels), figsize=size, squeeze=False, layout="constrained")
    for axis, keys in zip(axes[0], panels, strict=True):
        for key in keys:
            axis.plot(range(1, len(history[key]) + 1), history[key], label=key.replace("_", " "))
        axis.axvline(kept, color="grey", linestyle=":", label="kept")
        axis.set_xlabel("epoch")
        axis.legend()
    figure.suptitle(title)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    pyplot.close(figure)
    return buffer.getvalue()
