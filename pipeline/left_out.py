"""Operators of TFLite that there is no kernel for: why, and what to do instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """Why some operators are left out, and what the user of a model with them can do."""

    why: str
    advice: str


OUTSIDE = "replace the layer, or do that before or behind the model, in your own code"
FLOAT_ONLY = Reason("TFLite Micro computes it in float only", OUTSIDE)
ISLAND = Reason("TFLite Micro computes it in float only: between DEQUANTIZE and QUANTIZE it is a table here",
                "let the converter keep it in float32 between int8, as python -m pipeline.quantize does")  # fmt: skip
VARIABLE = Reason("resource variables: state is an operator's own here (SVDF, UNIDIRECTIONAL_SEQUENCE_LSTM)",
                  "no stateful=True and no variable that is assigned: an LSTM keeps its state by itself")  # fmt: skip
CONTROL = Reason("control flow: a graph here is one straight line, with loops over the rows of an input",
                 "no tf.cond: decide behind the model")  # fmt: skip
CUSTOM = Reason("custom operators are somebody's own",
                "convert with OpsSet.TFLITE_BUILTINS_INT8 alone, without SELECT_TF_OPS")  # fmt: skip
UNKNOWN = Reason("neither TFLite Micro nor this compiler has it", OUTSIDE)

LEFT_OUT: Mapping[str, Reason] = {
    **dict.fromkeys(("FLOOR_DIV", "FLOOR_MOD", "L2_POOL_2D", "LOG", "SQRT"), FLOAT_ONLY),
    **dict.fromkeys(("CEIL", "COS", "FLOOR", "NEG", "ROUND", "SIN", "SQUARE"), ISLAND),
    **dict.fromkeys(("ASSIGN_VARIABLE", "CALL_ONCE", "READ_VARIABLE", "VAR_HANDLE"), VARIABLE),
    "IF": CONTROL,
    "ADD_N": Reason("no converter makes it of int8", "write one Add behind the other"),
    "BROADCAST_ARGS": Reason("arithmetic on shapes, which are all known when the model is compiled",
                             "convert with fixed shapes"),
    "EMBEDDING_LOOKUP": Reason("tokens: no sensor model has it", OUTSIDE),
    "REDUCE_ALL": Reason("conditions on conditions: no Keras layer becomes it", OUTSIDE),
}  # fmt: skip


def reason(op: str) -> Reason:
    """Why there is no kernel for an operator."""
    return CUSTOM if op.startswith("CUSTOM") else LEFT_OUT.get(op, UNKNOWN)
