"""Which weights go together: zeros in a pattern that a core can use, or whole channels.

unstructured: any weight. Kernels for scalar cores skip each (pipeline/ops/sparse.py).
2x2: four weights together, two outputs' of two inputs: a word of the layout `pairs` (pipeline/ops/pairs.py), which
cores with two products an instruction load at once, and so what they can skip.
channels: all of a filter's, and those that read its output; the network gets smaller (pipeline/channels.py).

python -m pipeline.pattern NAME --board B    # writes build/NAME/pattern, where another one stands in it
"""

from __future__ import annotations

import argparse

from pipeline.board import load_board
from pipeline.cores import PATTERNS, core_of
from pipeline.ctext import write_changed
from pipeline.files import build_dir, check_model_name
from pipeline.problem import run


def main(argv: list[str]) -> int:
    """Note a model's pattern for a board, so that `make` sees when it is another one."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.pattern", description=__doc__)
    parser.add_argument("name", help="a folder of models/")
    parser.add_argument("--board", required=True, help="a file of boards/")
    parser.add_argument("--pattern", choices=PATTERNS, help="this one instead")
    options = parser.parse_args(argv)
    core = core_of(load_board(options.board).core)
    write_changed(build_dir(check_model_name(options.name)), {"pattern": f"{options.pattern or core.pattern}\n"})
    return 0


if __name__ == "__main__":
    run(main)
