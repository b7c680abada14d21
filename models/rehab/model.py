"""Rehab: which of seven shoulder exercises is the wearer of a smartwatch doing? A 1-D convolutional classifier.

Recordings: D. Burns, 10 subjects, both wrists, 20 repetitions each (arXiv:1802.01489).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.data import Package, load_pickled_npy, read_members
from pipeline.spec import Limits, Model, Side, Splits, Training, Window
from pipeline.windows import cut, gather

if TYPE_CHECKING:
    import tf_keras

SAMPLES, HOP = 128, 64

SPEC = Model(
    task="classification",
    window=Window((SAMPLES, 6), 50.0, ("ax", "ay", "az", "wx", "wy", "wz"), "g, rad/s"),
    labels=("pendulum", "abduction", "forward elevation", "internal rotation", "external rotation", "trapezius", "row"),
    sparsity=0.75,
    seed=1,
    training=Training(epochs=30, batch=64, rate=3e-3, patience=8, prune_epochs=10, prune_rate=1e-3),
    limits=Limits("accuracy", minimum=0.80, drop_pruned=0.03, drop_int8=0.02),
)

WATCH = Package(
    name="seglearn",
    version="1.2.5",
    file="seglearn-1.2.5-py3-none-any.whl",
    sha256="ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd",
    licence="BSD-3-Clause",
)
VALIDATE, TEST = (5, 6), (7, 8)
RULE = f"by subject: {TEST} test, {VALIDATE} validate, the other six train"


def windows() -> Splits:
    """Windows of 2.56 s, one every 1.28 s, of all 140 recordings."""
    member = "seglearn/data/watch_dataset.npy"
    watch = load_pickled_npy(read_members(WATCH, [member])[member], f"{WATCH.file}: {member}")
    subjects = sorted(set(watch["subject"].tolist()))
    recordings = [
        (cut(signal.astype(np.float32), SAMPLES, HOP), int(label), subjects.index(subject))
        for signal, label, subject in zip(watch["X"], watch["y"], watch["subject"], strict=True)
    ]

    def side(chosen: set[int]) -> Side:
        return gather([recording for recording in recordings if subjects[recording[2]] in chosen])

    return Splits(
        train=side(set(subjects) - {*VALIDATE, *TEST}),
        val=side(set(VALIDATE)),
        test=side(set(TEST)),
        groups=tuple(f"subject {number}" for number in subjects),
        rule=RULE,
        provenance=WATCH.provenance(),
    )


def network() -> tf_keras.Model:
    """Three strided convolutions, the mean over time, one dense layer."""
    import tf_keras

    layers: Any = tf_keras.layers
    stack = [layers.Input((SAMPLES, 6))]
    for index, filters in enumerate((16, 32, 32), start=1):
        stack += [
            layers.Conv1D(filters, 5, strides=2, padding="same", use_bias=False, name=f"conv{index}"),
            layers.BatchNormalization(name=f"norm{index}"),
            layers.ReLU(name=f"relu{index}"),
        ]
    stack += [
        layers.GlobalAveragePooling1D(name="mean"),
        layers.Dropout(0.3, name="dropout"),
        layers.Dense(7, activation="softmax", name="classes"),
    ]
    return tf_keras.Sequential(stack, name="rehab")
