"""The one multimodal network: encoders, fusion, features, head. A single modality is the case M = 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral

import torch
from torch import Tensor, nn

from mmkd_lab.core.check import LabError, flat, listing, of_type, one_of, require, whole
from mmkd_lab.models.axes import scale_shape
from mmkd_lab.models.encode import encoder, resolve
from mmkd_lab.models.fusion import Attention, Late, MapMid, Mid, Pointwise
from mmkd_lab.models.initialise import initialise
from mmkd_lab.models.layers import HEAD, features_at, in_unit, set_unit
from mmkd_lab.models.removal import ATTENTION, LEARNED, REMOVALS, are_ids, kept_key
from mmkd_lab.models.single_stream import SingleStream
from mmkd_lab.models.spec import NetSpec
from mmkd_lab.models.tokens import tokens
from mmkd_lab.models.unet import UNet

Shapes = Mapping[str, Sequence[int]]


class Head(Pointwise):
    """A linear layer whose outputs may be given a unit: z -> z · scale + shift, both (K,)."""

    def set_unit(self, shift: Tensor, scale: Tensor) -> None:
        """Answer in these units from now on."""
        set_unit(self, shift.to(self.weight), scale.to(self.weight))

    def forward(self, input: Tensor) -> Tensor:
        """(B, F, ...) -> (B, K, ...)."""
        return in_unit(self, super().forward(input))


class MultimodalNet(nn.Module):
    """{modality: (B, ...)} -> logits (B, K), split into `features` (B, F) and a linear `head`.

    With U-Nets logits are (B, K, H, W) and features (B, F, H, W).

    Modalities the network does not read may be present in the input; they are ignored. It has neither dropout
    nor batch statistics, so that a sample's logits depend on that sample alone.
    """

    head_name = "head"

    def __init__(self, spec: NetSpec, shapes: Shapes, num_outputs: int) -> None:
        super().__init__()
        self.spec = spec
        self.modalities = spec.reads(shapes)
        self.shapes = {name: _sides(name, shapes[name]) for name in self.modalities}
        self.num_outputs = whole("num_outputs", num_outputs)
        self.fusion = _fusion(spec, self.shapes)
        self.head = Head(self.fusion.out_features, num_outputs)
        for i, name in enumerate(self.modalities):
            if name in spec.token_counts:
                continue
            unit = scale_shape(spec, name, self.shapes[name])
            self.register_buffer(f"shift_{i}", torch.zeros(unit))
            self.register_buffer(f"scale_{i}", torch.ones(unit))
            if spec.baseline:
                self.register_parameter(f"baseline_{i}", nn.Parameter(torch.empty(self.shapes[name])))

    @property
    def removals(self) -> tuple[str, ...]:
        """The names of the removals that this network can do."""
        lacks = {ATTENTION: not self.fusion.masks, LEARNED: not self.spec.baseline}
        return tuple(name for name in REMOVALS if not lacks.get(name, False))

    @property
    def architecture(self) -> str:
        """What reads the modalities, in a word or two: 'lenet', 'mlp + resnet', 'single_stream', ..."""
        if self.spec.fusion == "single_stream":
            return "single_stream"
        kinds = {resolve(self.spec, name, shape) for name, shape in self.shapes.items()}
        return " + ".join(sorted(kinds))

    def features(self, x: Mapping[str, Tensor], layer: str | None = None) -> Tensor:
        """{modality: (B, ...)} -> (B, F): what the head reads (of U-Nets a map), or what a layer puts out,
        flattened.

        Raises `LabError` for a missing modality, a removal it lacks, or an unknown layer.
        """
        if layer not in (None, HEAD):
            return features_at(self, x, layer)
        kept = [x.get(kept_key(ATTENTION, name)) for name in self.modalities]
        fine = self.fusion.masks or all(mask is None for mask in kept)
        rule = "needs a network with fusion='attention' or 'single_stream'; here fusion="
        way_out = f"Use {listing(self.removals)}, or build the network with another fusion."
        require(fine, "removal", "attention", rule + repr(self.spec.fusion), way_out)
        out: Tensor = self.fusion(self.inputs(x), kept)
        return out

    def inputs(self, x: Mapping[str, Tensor]) -> list[Tensor]:
        """{modality: (B, ...)} -> what the encoders read, standardised, in the order of `modalities`."""
        read = [self._input(x, i, name) for i, name in enumerate(self.modalities)]
        return [values if values.ndim > 1 else values[:, None] for values in read]

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        """{modality: (B, ...)} -> logits (B, K)."""
        logits: Tensor = self.head(self.features(x))
        return logits

    def set_scale(self, modality: str, shift: Tensor, scale: Tensor) -> None:
        """Standardise one modality as (x - shift) * scale; for their shape see `axes.scale_shape`.

        Raises `LabError` for another shape, or a modality that is text.
        """
        numbers = [name for name in self.modalities if name not in self.spec.token_counts]
        one_of("modality", modality, numbers)
        i = self.modalities.index(modality)
        for name, value in ((f"shift_{i}", shift), (f"scale_{i}", scale)):
            buffer = getattr(self, name)
            require(value.shape == buffer.shape, name, tuple(value.shape), f"must be {tuple(buffer.shape)}")
            buffer.copy_(value)

    def _input(self, x: Mapping[str, Tensor], i: int, name: str) -> Tensor:
        if name not in x:
            raise LabError("x", sorted(x), f"this network reads {listing(self.modalities)}")
        values = x[name]
        sides, size = self.shapes[name], self.spec.token_counts.get(name)
        rule = f"must be (batch, {', '.join(map(str, sides))})"
        require(values.shape[1:] == sides, f"x[{name!r}]", tuple(values.shape), rule)
        if size is None:
            rule = "are token ids, and the network has no vocabulary"
            way_out = f"Build it with NetSpec(vocabulary={{{name!r}: number of ids}})."
            require(not are_ids(values), f"x[{name!r}]", values.dtype, rule, way_out)
            values = torch.mul(values - getattr(self, f"shift_{i}"), getattr(self, f"scale_{i}"))
        else:
            fine, rule = not values.is_floating_point(), "must be token ids, as integers"
            require(fine, f"x[{name!r}]", values.dtype, rule)
            values = values.long()
        stays = x.get(kept_key(LEARNED, name))
        if stays is None:
            return values
        rule = "needs a network with trainable stand-ins, and this one has none"
        way_out = f"Build it with NetSpec(baseline=True), or use {listing(self.removals)}."
        require(self.spec.baseline, "removal", "learned", rule, way_out)
        # The stand-in lives on the standardised scale, where zero is the training mean; a text's is the
        # [MASK] token, the last row of its table, as often as the text is long at most.
        stand_in: Tensor = getattr(self, f"baseline_{i}") if size is None else values.new_tensor(size)
        return torch.where(stays.reshape(-1, *[1] * (values.ndim - 1)), values, stand_in)


def build(spec: NetSpec, shapes: Shapes, num_outputs: int, *, seed: int) -> MultimodalNet:
    """An untrained network of K outputs, its weights drawn from the 'init' stream of the run's `seed`.

    `shapes` is {modality: shape of one sample}, as `PairedData.shapes`. Raises `LabError` for a modality that
    it lacks, or a shape that the encoder cannot read.
    """
    of_type("spec", spec, NetSpec, "a NetSpec")
    rule = "must be {modality: shape of one sample}, at least one"
    require(isinstance(shapes, Mapping) and len(shapes) > 0, "shapes", shapes, rule, "See data.shapes.")
    with torch.random.fork_rng(devices=[]):  # torch's own first draw is thrown away, and must not be noticed
        net = MultimodalNet(spec, shapes, num_outputs)
    initialise(net, seed=whole("seed", seed, at_least=0))
    return net


def _fusion(
    spec: NetSpec, shapes: Mapping[str, tuple[int, ...]]
) -> Late | Mid | MapMid | Attention | SingleStream:
    if spec.fusion == "single_stream":
        streams = [tokens(spec, name, shape) for name, shape in shapes.items()]
        return SingleStream(streams, features=spec.features, depth=spec.depth, heads=spec.heads)
    encoders = [encoder(spec, name, shape) for name, shape in shapes.items()]
    maps = [one for one in encoders if isinstance(one, UNet)]
    if maps:
        rule = f"must be for all or none of {listing(list(shapes))}: maps and vectors do not meet"
        require(len(maps) == len(encoders), "encoder", spec.encoder, rule)
        sides = {shape[1:] for shape in shapes.values()}
        require(len(sides) == 1, "shapes", dict(shapes), "pictures that meet as maps must be of one size")
        one_of("fusion of U-Nets", spec.fusion, ("late", "mid"))
        if spec.fusion == "mid":
            return MapMid(maps)
    if spec.fusion == "late":
        return Late(encoders, joint=spec.joint)
    return (Mid if spec.fusion == "mid" else Attention)(encoders, features=spec.features)


def _sides(name: str, shape: object) -> tuple[int, ...]:
    argument = f"shapes[{name!r}]"
    sides = flat(argument, shape, "the sides of one sample", "For example (1, 28, 28).")
    whole_sides = tuple(int(side) for side in sides if isinstance(side, Integral))
    fine = len(whole_sides) == len(sides) and min(whole_sides, default=1) >= 1
    require(fine, argument, shape, "every side must be a whole number of at least 1")
    return whole_sides
