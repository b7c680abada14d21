"""Rehab: which of seven shoulder exercises is the wearer of a smartwatch doing? A 1-D convolutional classifier.

Recordings: D. Burns, 10 subjects, both wrists, 20 repetitions each (arXiv:1802.01489).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data import Package, load_pickled_npy, read_members
from pipeline.spec import Limits, Model, Side, Splits, Training, Window
from pipeline.windows import cut, gather

if TYPE_CHECKING:
    import tf_keras

SAMPLES, HOP, TRAIN_HOP = 128, 64, 32
TURN_DEGREES = 15.0
OTHER_WRIST = np.array([-1, 1, 1, 1, -1, -1], np.float32)  # x points along the arm: a mirror, as rates are axial

SPEC = Model(
    task="classification",
    window=Window((SAMPLES, 6), 50.0, ("ax", "ay", "az", "wx", "wy", "wz"), "g, rad/s"),
    labels=("pendulum", "abduction", "forward elevation", "internal rotation", "external rotation", "trapezius", "row"),
    sparsity={"unstructured": 0.82, "2x2": 0.75, "channels": 0.6},
    seed=1,
    training=Training(epochs=25, batch=64, rate=3e-3, patience=8, prune_epochs=60, prune_rate=3e-3),
    limits=Limits(
        "accuracy", minimum=0.80, drop_pruned=0.03, drop_int8=0.03, ticks={"cortex-m4": 2_000_000, "esp32": 4_000_000}
    ),
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
    """Windows of 2.56 s of all 140 recordings: one every 0.64 s to learn from, one every 1.28 s to test."""
    member = "seglearn/data/watch_dataset.npy"
    watch = load_pickled_npy(read_members(WATCH, [member])[member], f"{WATCH.file}: {member}")
    subjects = sorted(set(watch["subject"].tolist()))

    def side(chosen: set[int], hop: int) -> Side:
        recordings = zip(watch["X"], watch["y"], watch["subject"], strict=True)
        return gather(
            [
                (cut(signal.astype(np.float32), SAMPLES, hop), int(exercise), subjects.index(subject))
                for signal, exercise, subject in recordings
                if subject in chosen
            ]
        )

    return Splits(
        train=side(set(subjects) - {*VALIDATE, *TEST}, TRAIN_HOP),
        val=side(set(VALIDATE), TRAIN_HOP),
        test=side(set(TEST), HOP),
        groups=tuple(f"subject {number}" for number in subjects),
        rule=RULE,
        provenance=WATCH.provenance(),
    )


def augment(windows: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """The same movements on the other wrist (half of them, mirrored) and with the watch turned by about 15 degrees."""
    mirror = np.where(random.random((len(windows), 1, 1)) < 0.5, OTHER_WRIST, np.float32(1))
    turns = rotations(random.normal(0, np.deg2rad(TURN_DEGREES), (len(windows), 3)))
    acceleration, rates = np.split(windows * mirror, 2, axis=2)
    return np.asarray(np.concatenate([acceleration @ turns, rates @ turns], axis=2), np.float32)


def rotations(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrices [n, 3, 3] of rotation vectors [n, 3] in radians (Rodrigues' formula)."""
    angles = np.linalg.norm(vectors, axis=1)[:, None, None] + 1e-12
    x, y, z = (vectors / angles[:, 0]).T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    return np.asarray(np.eye(3) + np.sin(angles) * cross + (1 - np.cos(angles)) * (cross @ cross))


def network() -> tf_keras.Model:
    """Three strided convolutions, the mean over time, one dense layer."""
    import tf_keras

    layers: Any = tf_keras.layers
    stack = [layers.Input((SAMPLES, 6))]
    for index, filters in enumerate((16, 32, 32), start=1):
        stack += [
            layers.Conv1D(filters, 5, strides=2, padding="same", use_bias=False, name=f"conv{index}"),
            layers.BatchNormalization(momentum=0.9, name=f"norm{index}"),
            layers.ReLU(name=f"relu{index}"),
        ]
    stack += [
        layers.GlobalAveragePooling1D(name="mean"),
        layers.Dropout(0.3, name="dropout"),
        layers.Dense(7, activation="softmax", name="classes"),
    ]
    return tf_keras.Sequential(stack, name="rehab")
