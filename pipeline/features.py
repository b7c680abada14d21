"""What a firmware can do besides running windows."""

from __future__ import annotations

from pathlib import Path

from pipeline.board import FEATURES, Board


def features(root: Path, board: Board, runtime: str) -> list[str]:
    """All that the board has room for and the runtime knows; each is defined as WITH_... for the C sources."""
    folder = root / "firmware" / "runtimes" / runtime
    shows_layers = any((folder / f"layers{suffix}").exists() for suffix in (".c", ".cc"))
    can = {"layers": shows_layers, "mlperf": True}
    return [feature for feature in FEATURES if can[feature] and feature not in board.leave_out]
