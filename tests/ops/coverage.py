"""docs/OPERATORS.md: what the conformance suite ran, as it left it; `make operators` writes it anew.

Every test of the suite leaves how many cases it compared and how many were equal, and holds this against the table.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from pipeline.left_out import LEFT_OUT
from pipeline.ops.base import known_ops

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "OPERATORS.md"
RESULTS = ROOT / "build" / "conformance"

ENGINES = {  # column -> what it is
    "oracle": "the integer oracle in numpy: what all the others are compared with",
    "TFLM": "TensorFlow Lite Micro's own interpreter, the wheel `tflite-micro`: the truth",
    "tflite-runtime": "tflite-runtime 2.14 with its reference kernels (BUILTIN_REF)",
    "host": "C with gcc for x86-64, under ASan and UBSan",
    "Cortex-M4": "C with gcc for Armv7E-M, in QEMU",
    "Xtensa": "C with gcc for the ESP32's core, in QEMU",
    "RV32": "C with gcc for RV32IMC, in QEMU",
    "AVR": "C with gcc for the ATmega2560, in simavr",
}
COLUMNS = {"host-sanitized": "host", "cortex-m4": "Cortex-M4", "esp32": "Xtensa", "esp32c3": "RV32", "avr": "AVR"}

# The operators that TFLite Micro's MicroMutableOpResolver has a function for, TensorFlow's own custom ones left out.
TFLM = frozenset(
    """
    ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_ARGS
    BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV
    DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED
    GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG
    LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG
    NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE READ_VARIABLE REDUCE_ALL REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE
    RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND
    SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE
    TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE ZEROS_LIKE
    """.split()  # noqa: SIM905
)

Cells = dict[str, dict[str, str]]  # operator -> column -> what stands there


def record(op: str, engine: str, cases: int, equal: int) -> None:
    """Leave a test's result for the table, and fail where the table has another; not while it is being written."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{op}.{engine}.json").write_text(json.dumps([cases, equal]))
    if not TABLE.exists():
        return  # which a test of its own finds
    stands = table().get(op, {}).get(engine)
    assert stands == cell(cases, equal) or os.environ.get("WRITING_OPERATORS"), (
        f"docs/OPERATORS.md has {stands!r} for {op} on {engine}, this run {cell(cases, equal)!r}: make operators"
    )


def cell(cases: int, equal: int) -> str:
    return str(cases) if equal == cases else f"{equal} of {cases}"


def table(text: str | None = None) -> Cells:
    """What stands in the table."""
    rows = re.findall(r"^\| ([A-Z0-9_, ]+) \|(.*)\|$", text or TABLE.read_text(), re.MULTILINE)
    return {names.split(",")[0]: dict(zip(ENGINES, map(str.strip, row.split("|")), strict=True)) for names, row in rows}


def aliases(op: str) -> list[str]:
    """All names of an operator's class, the first of which names its tests."""
    return [name for name, cls in known_ops().items() if cls is known_ops()[op]]


def collected() -> Cells:
    """The results that the tests have left, by the operators there are now."""
    found: Cells = {}
    for op in known_ops():
        if aliases(op)[0] == op:
            found[op] = {engine: _result(op, engine) for engine in ENGINES}
    return found


def _result(op: str, engine: str) -> str:
    path = RESULTS / f"{op}.{engine}.json"
    if not path.exists():
        raise SystemExit(f"error: {op} on {engine} has left no result\n  hint: make operators runs the whole suite")
    return cell(*json.loads(path.read_text()))


def render(cells: Mapping[str, Mapping[str, str]]) -> str:
    """The whole page."""
    lines = [
        "# Operators",
        "",
        "Written by the conformance suite (`make operators`), checked by each of its tests.",
        "",
    ]
    lines += [f"- {name}: {what}" for name, what in ENGINES.items()]
    lines += [
        "",
        "A number is that of random cases, all equal in every byte of several windows; `7 of 12` are equal in 7.",
        "",
    ]
    lines += [f"| operator | {' | '.join(ENGINES)} |", "|---" * (len(ENGINES) + 1) + "|"]
    lines += [f"| {', '.join(aliases(op))} | {' | '.join(row[e] for e in ENGINES)} |" for op, row in cells.items()]
    lines += _reasons("Where tflite-runtime gives other bytes than TFLite Micro, or none", "tflite_differs", cells)
    lines += [
        "",
        "There the integer oracle is the reference. Dense layers with a scale per channel on more than two axes are",
    ]
    lines += ["another such case (tests/test_reference.py), LOGISTIC and TANH at some scales a third."]
    lines += _reasons("Where TFLite Micro gives none: there tflite-runtime is the truth", "micro_lacks", cells)
    left_out = sorted(LEFT_OUT.keys() - known_ops().keys())
    lines += [
        "",
        "## What TFLite Micro has and this compiler has not",
        "",
        *(f"- {op}: {LEFT_OUT[op].why}" for op in left_out),
    ]
    return "\n".join(lines) + "\n"


def _reasons(title: str, attribute: str, cells: Mapping[str, Mapping[str, str]]) -> list[str]:
    """A section of what the operators' classes say of themselves."""
    said = {op: getattr(known_ops()[op], attribute, "") for op in cells}
    return ["", f"## {title}", "", *(f"- {', '.join(aliases(op))}: {why}" for op, why in said.items() if why)]


if __name__ == "__main__":
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(render(collected()))
