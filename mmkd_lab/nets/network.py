"""The one multimodal network: encoders, fusion, features, head. A single modality is the case M = 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mmkd_lab.base.check import LabError, listing, require, whole
from mmkd_lab.nets.encode import encoder
from mmkd_lab.nets.fusion import Attention, Late, Mid
from mmkd_lab.nets.initialise import initialise
from mmkd_lab.nets.removal import ATTENTION, LEARNED, kept_key
from mmkd_lab.nets.spec import NetSpec

Shapes = Mapping[str, Sequence[int]]


class MultimodalNet(nn.Module):
    """{modality: (B, ...)} -> logits (B, K), split into `features` (B, F) and a linear `head`.

    Modalities the network does not read may be present in the input; they are ignored. It has neither dropout
    nor batch statistics, so that a sample's logits depend on that sample alone.
    """

    def __init__(self, spec: NetSpec, shapes: Shapes, num_outputs: int) -> None:
        super().__init__()
        self.spec = spec
        self.modalities = spec.reads(shapes)
        self.shapes = {name: tuple(shapes[name]) for name in self.modalities}
        self.num_outputs = whole("num_outputs", num_outputs)
        encoders = [encoder(spec, name, self.shapes[name]) for name in self.modalities]
        self.fusion: Late | Mid | Attention
        if spec.fusion == "late":
            self.fusion = Late(encoders, joint=spec.joint)
        else:
            self.fusion = (Mid if spec.fusion == "mid" else Attention)(encoders, features=spec.features)
        self.head = nn.Linear(self.fusion.out_features, num_outputs)
        for i, name in enumerate(self.modalities):
            self.register_buffer(f"shift_{i}", torch.zeros(_unit(self.shapes[name])))
            self.register_buffer(f"scale_{i}", torch.ones(_unit(self.shapes[name])))
            if spec.baseline:
                self.register_parameter(f"baseline_{i}", nn.Parameter(torch.empty(self.shapes[name])))

    def features(self, x: Mapping[str, Tensor]) -> Tensor:
        """{modality: (B, ...)} -> (B, F). Raises `LabError` for a missing modality or a removal it lacks."""
        kept = [x.get(kept_key(ATTENTION, name)) for name in self.modalities]
        if not self.fusion.masks and any(mask is not None for mask in kept):
            raise LabError(
                "removal",
                "attention",
                f"needs a network with fusion='attention', and this one has fusion={self.spec.fusion!r}",
                "Use zeros, mean, permutation or learned, or build the network with fusion='attention'.",
            )
        out: Tensor = self.fusion([self._input(x, i, name) for i, name in enumerate(self.modalities)], kept)
        return out

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        """{modality: (B, ...)} -> logits (B, K)."""
        logits: Tensor = self.head(self.features(x))
        return logits

    def set_scale(self, modality: str, shift: Tensor, scale: Tensor) -> None:
        """Standardise one modality as (x - shift) * scale; both of shape () for maps, (D,) for vectors."""
        i = self.modalities.index(modality)
        for name, value in ((f"shift_{i}", shift), (f"scale_{i}", scale)):
            buffer = getattr(self, name)
            require(value.shape == buffer.shape, name, tuple(value.shape), f"must be {tuple(buffer.shape)}")
            buffer.copy_(value)

    def _input(self, x: Mapping[str, Tensor], i: int, name: str) -> Tensor:
        if name not in x:
            raise LabError("x", sorted(x), f"this network reads {listing(self.modalities)}")
        values = x[name]
        if tuple(values.shape[1:]) != self.shapes[name]:
            raise LabError(
                f"x[{name!r}]",
                tuple(values.shape),
                f"must be (batch, {', '.join(map(str, self.shapes[name]))})",
            )
        shift, scale = (getattr(self, f"{part}_{i}") for part in ("shift", "scale"))
        values = torch.mul(values - shift, scale)
        stays = x.get(kept_key(LEARNED, name))
        if stays is None:
            return values
        require(
            self.spec.baseline,
            "removal",
            "learned",
            "needs a network with trainable stand-ins, and this one has none",
            "Build it with NetSpec(baseline=True), or use another removal.",
        )
        # The stand-in lives on the standardised scale, where zero is the training mean.
        stand_in: Tensor = getattr(self, f"baseline_{i}")
        return torch.where(stays.reshape(-1, *[1] * (values.ndim - 1)), values, stand_in)


def build(spec: NetSpec, shapes: Shapes, num_outputs: int, *, seed: int) -> MultimodalNet:
    """An untrained network with its weights drawn under `seed`.

    Args:
        spec: the architecture.
        shapes: {modality: shape of one sample}; `PairedData.shapes` will do.
        num_outputs: K, the number of logits.
        seed: the run's seed; the weights come from its 'init' stream.

    Raises:
        LabError: a modality that `shapes` lacks, or a shape that the encoder cannot read.
    """
    require(len(shapes) > 0, "shapes", dict(shapes), "must name at least one modality")
    with torch.random.fork_rng(devices=[]):  # torch's own first draw is thrown away, and must not be noticed
        net = MultimodalNet(spec, shapes, num_outputs)
    initialise(net, seed=whole("seed", seed, at_least=0))
    return net


def _unit(shape: tuple[int, ...]) -> tuple[int, ...]:
    """One number for maps, where neighbours share a unit; one per entry for vectors, where they need not."""
    return shape if len(shape) == 1 else ()
