"""From an encoder's name and a sample's shape to the module."""

from __future__ import annotations

from mmkd_lab.core.check import LabError, one_of, require
from mmkd_lab.models.axes import time_axis
from mmkd_lab.models.bag import Bag
from mmkd_lab.models.lenet import LeNet, readable
from mmkd_lab.models.resnet import ResNet
from mmkd_lab.models.sequence import Conv1d, Gru
from mmkd_lab.models.spec import ENCODERS, NetSpec
from mmkd_lab.models.unet import UNet
from mmkd_lab.models.vector import Linear, Mlp

AnyEncoder = LeNet | ResNet | Mlp | Linear | Bag | Conv1d | Gru | UNet


def resolve(spec: NetSpec, modality: str, shape: tuple[int, ...]) -> str:
    """The encoder that the spec means for a modality with samples of a shape.

    'auto' is 'bag' for text, 'lenet' for pictures (see `time_axis`) that it can read, else 'mlp'. Raises
    `LabError` for an encoder of text that is not 'bag', or the other way round.
    """
    name, text = spec.encoder_of(modality), modality in spec.token_counts
    one_of("encoder", name, ENCODERS)
    if name == "auto":
        if text:
            return "bag"
        picture = time_axis(spec, modality, shape) is None and readable(shape)
        return "lenet" if picture else "mlp"
    if text:
        require(name == "bag", "encoder", name, "cannot read token ids", "Use 'auto' or 'bag' for text.")
    rule, way_out = "reads text, and this modality has no vocabulary", "See NetSpec(vocabulary=...)."
    require(text or name != "bag", "encoder", name, rule, way_out)
    return name


def encoder(spec: NetSpec, modality: str, shape: tuple[int, ...]) -> AnyEncoder:
    """The untrained encoder of one modality. Raises `LabError` when it cannot read this shape."""
    rows = rows_of_text(spec, modality, shape)
    name = resolve(spec, modality, shape)
    if rows is not None:
        return Bag(rows, width=spec.width, features=spec.features)
    if name == "linear":
        return Linear(shape)
    if name in ("conv1d", "gru"):
        time = time_axis(spec, modality, shape)
        argument, rule = f"shapes[{modality!r}]", f"has no time axis for encoder={name!r}"
        if time is None:
            raise LabError(argument, shape, rule, f"Say which it is: NetSpec(time={{{modality!r}: 0}}).")
        kind = Conv1d if name == "conv1d" else Gru
        return kind(shape, time=time, width=spec.width, features=spec.features)
    kinds: dict[str, type[LeNet | ResNet | Mlp | UNet]] = {
        "lenet": LeNet,
        "resnet": ResNet,
        "mlp": Mlp,
        "unet": UNet,
    }
    return kinds[name](shape, width=spec.width, features=spec.features)


def rows_of_text(spec: NetSpec, modality: str, shape: tuple[int, ...]) -> int | None:
    """How many rows the embedding table of a modality has; None when it is no text.

    With trainable stand-ins the [MASK] token has a row of its own, the last. Raises `LabError` for text that
    is not one row of ids per sample.
    """
    size = spec.token_counts.get(modality)
    if size is None:
        return None
    require(len(shape) == 1, f"shapes[{modality!r}]", shape, "must be (tokens,) for text")
    return size + spec.baseline
