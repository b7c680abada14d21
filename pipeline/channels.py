"""Channel pruning: whole filters leave a trained chain of layers, and what is left is a smaller dense network.

The next channels to go are those that save most on a core, by the measured cost model, for the norm that is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.cores import Core
from pipeline.costs import ROWS, cheapest, predicted
from pipeline.problem import Problem
from pipeline.saving import CONVOLUTIONS, DENSE, DEPTHWISE, kind, operator

# Layers that do the same to each channel, whatever is in the others.
THROUGH = {
    "Activation", "ReLU", "LeakyReLU", "ELU", "Dropout", "GaussianNoise", "SpatialDropout1D", "SpatialDropout2D",
    "BatchNormalization", *DEPTHWISE, *(f"{side}{name}{axes}D" for side in ("", "Global") for axes in (1, 2)
    for name in ("MaxPooling", "AveragePooling")), *(f"{name}{axes}D" for axes in (1, 2)
    for name in ("ZeroPadding", "Cropping", "UpSampling")),
}  # fmt: skip
NOTHING = 1e-9  # of a layer's norm: what filters of zeros are taken to lose
Channels = NDArray[np.int64]
Kept = Mapping[str, Channels]  # by layer: which outputs are left, ascending


@dataclass(frozen=True)
class Chain:
    """The layers of a network that is a chain, in running order, without its input."""

    layers: tuple[Any, ...]

    @cached_property
    def roles(self) -> dict[str, str]:
        """What each layer does with channels: weighted, through, flat, or other."""
        return {layer.name: _role(layer) for layer in self.layers}

    @cached_property
    def sizes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each layer's weights that a price hangs on: [..., inputs, outputs or 1]."""
        priced = (*CONVOLUTIONS, *DENSE, *DEPTHWISE)
        known = [layer for layer in self.layers if kind(layer) in priced and self.roles[layer.name] != "other"]
        return {layer.name: layer.get_weights()[0].shape for layer in known}

    def norms(self) -> dict[str, NDArray[np.float64]]:
        """The share of each filter in its layer's norm, of layers that may lose some, with the factors of the batch
        normalization behind it; not of the last, whose outputs are the network's."""
        found: dict[str, NDArray[np.float64]] = {}
        name, size = "", np.zeros(0)
        for layer in self.layers:
            role = self.roles[layer.name]
            if role == "weighted":
                found |= {name: size / (size.sum() or 1.0)} if name else {}
                weights = layer.get_weights()[0]
                size = np.linalg.norm(weights.reshape(-1, weights.shape[-1]).astype(np.float64), axis=0)
                name = "" if _mixes(layer) else layer.name
            elif role == "other":
                name = ""
            elif name and kind(layer) == "BatchNormalization":
                size = size * _factors(layer)
        return found

    def flow(self, kept: Kept) -> Iterator[tuple[Any, Channels, Channels]]:
        """Each layer with which of its inputs and outputs are left."""
        outputs = np.arange(self.layers[0].input_shape[-1])
        for layer in self.layers:
            inputs, role = outputs, self.roles[layer.name]
            if role == "flat":
                *places, depth = layer.input_shape[1:]
                outputs = (np.arange(int(np.prod(places)))[:, None] * depth + inputs).ravel()
            elif role != "through":
                outputs = kept.get(layer.name, np.arange(layer.output_shape[-1]))
            yield layer, inputs, outputs

    def shapes(self, kept: Kept) -> dict[str, tuple[int, ...]]:
        """`sizes` of what is left."""
        return {
            layer.name: (*self.sizes[layer.name][:-2], len(inputs), len(outputs) if self._thins(layer) else 1)
            for layer, inputs, outputs in self.flow(kept)
            if layer.name in self.sizes
        }

    def _thins(self, layer: Any) -> bool:
        return self.roles[layer.name] == "weighted"

    def weights(self, kept: Kept) -> int:
        """How many weights are left, of layers that have a price."""
        return sum(int(np.prod(shape)) for shape in self.shapes(kept).values())


def chain_of(network: Any, where: object) -> Chain:
    """The network's layers; a Problem where they do not follow one another."""
    hint = "prune it with --pattern unstructured or 2x2"
    for before, layer in pairwise(network.layers):
        nodes = layer.inbound_nodes
        takes = nodes[0].keras_inputs if len(nodes) == 1 else []
        if len(takes) != 1 or takes[0] is not before.output:
            what = f"channels are pruned in chains, and {layer.name} takes other than just what {before.name} gives"
            raise Problem(where, what, hint)
    if len(network.inputs) > 1 or len(network.outputs) > 1:
        raise Problem(where, "channels are pruned in chains, and its network has several outputs", hint)
    return Chain(tuple(layer for layer in network.layers if kind(layer) != "InputLayer"))


def _role(layer: Any) -> str:
    """Layers that are not known here, and those with channels first, are other: what is before them stays whole."""
    config = layer.get_config()
    if config.get("data_format", "channels_last") != "channels_last":
        return "other"
    if kind(layer) in (*CONVOLUTIONS, *DENSE):
        return "weighted" if config.get("groups", 1) == 1 else "other"
    if kind(layer) == "Flatten":
        return "flat"
    last = kind(layer) != "BatchNormalization" or list(layer.axis) == [len(layer.input_shape) - 1]
    apart = last and config.get("depth_multiplier", 1) == 1 and not _mixes(layer)
    return "through" if kind(layer) in THROUGH and apart else "other"


def _mixes(layer: Any) -> bool:
    """Whether its activation makes of a channel something that hangs on the others."""
    return "softmax" in str(layer.get_config().get("activation"))


def _factors(norm: Any) -> NDArray[np.float64]:
    """What a batch normalization multiplies each channel with."""
    gamma = norm.gamma.numpy() if norm.scale else 1.0
    return np.asarray(np.abs(gamma) / np.sqrt(norm.moving_variance.numpy() + norm.epsilon), np.float64)


class Prices:
    """What layers take on a core, dense, in instructions by the cost model; where nothing was measured, in
    multiplications."""

    def __init__(self, chain: Chain, core: Core) -> None:
        self.chain, self.core = chain, replace(core, sparse=False)
        self.known: dict[tuple[str, tuple[int, ...]], float] = {}

    def layer(self, layer: Any, shape: tuple[int, ...]) -> float:
        """Of one layer with weights of a shape."""
        key = layer.name, shape
        if key not in self.known:
            op = operator(layer, np.ones(shape, np.bool_))
            takes = predicted(self.core.name, cheapest(self.core.name, op.ways(self.core)) or op.call())
            self.known[key] = op.macs if takes is None else takes
        return self.known[key]

    def all(self, kept: Kept) -> float:
        """Of the whole chain."""
        shapes = self.chain.shapes(kept)
        return sum(self.layer(each, shapes[each.name]) for each in self.chain.layers if each.name in shapes)


def choose(chain: Chain, core: Core, share: float, where: object) -> dict[str, Channels]:
    """Which channels stay where that share of the weights goes, in steps to the next multiple of the rows that kernels
    take together; a layer's last ROWS stay."""
    norms, prices = chain.norms(), Prices(chain, core)
    if not norms:
        raise Problem(where, "no layer of its network can lose channels", "prune it with another --pattern")
    order = {name: np.argsort(sizes, kind="stable")[::-1] for name, sizes in norms.items()}
    kept = {name: np.arange(len(sizes)) for name, sizes in norms.items()}
    goal = (1 - share) * chain.weights(kept)
    while chain.weights(kept) > goal:
        now, steps = prices.all(kept), []
        for name, channels in kept.items():
            if len(channels) > ROWS:
                fewer = np.sort(order[name][: (len(channels) - 1) // ROWS * ROWS])
                had, has = (norms[name][each].sum() for each in (channels, fewer))
                lost = (had - has) / (has or 1.0)  # of what the layer has then: a thin one has little to give
                saved = now - prices.all({**kept, name: fewer})
                steps.append((saved / max(lost, NOTHING), name, fewer))
        if not steps:
            break
        _, name, fewer = max(steps, key=lambda step: step[0])
        kept[name] = fewer
    return kept


def smaller(keras: Any, network: Any, chain: Chain, kept: Kept) -> Any:
    """The network with these channels only, and their weights; `keras` is tf_keras, given by the caller."""

    def copied(layer: Any) -> Any:
        config = layer.get_config()
        if layer.name in kept:
            config["units" if kind(layer) in DENSE else "filters"] = len(kept[layer.name])
        return type(layer).from_config(config)

    made = keras.models.clone_model(network, clone_function=copied)
    for layer, inputs, outputs in chain.flow(kept):
        weights, role = layer.get_weights(), chain.roles[layer.name]
        if role in ("weighted", "through"):
            weights = [each.take(inputs, -2) if each.ndim > 1 else each.take(outputs, -1) for each in weights]
            weights = [each.take(outputs, -1) if each.ndim > 1 and role == "weighted" else each for each in weights]
        made.get_layer(layer.name).set_weights(weights)
    return made


def savings(chain: Chain, kept: Kept, core: Core) -> list[dict[str, Any]]:
    """One row for each layer with weights: channels, bytes of weights and what it takes, before and after."""
    prices, before, after = Prices(chain, core), chain.shapes({}), chain.shapes(kept)
    rows = []
    for layer, _, outputs in chain.flow(kept):
        if layer.name in before:
            sizes = [each[layer.name] for each in (before, after)]
            takes = [prices.layer(layer, size) for size in sizes]
            rows.append({
                "layer": layer.name,
                "channels": [int(layer.output_shape[-1]), len(outputs)],
                "format": "dense",
                "dense_bytes": int(np.prod(sizes[0])),
                "bytes": int(np.prod(sizes[1])),
                "predicted": takes,
                "instructions": takes[1] / takes[0],
            })  # fmt: skip
    return rows
