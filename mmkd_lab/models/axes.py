"""What the axes of one sample are: the entries of a vector, a picture, or time and channels."""

from __future__ import annotations

from mmkd_lab.core.check import require
from mmkd_lab.models.spec import NetSpec

#: The most channels of what is taken for a picture: colours and an alpha.
CHANNELS = 4
#: The shortest side that the lab's convolutional encoders read, in pixels.
SMALLEST = 8


def time_axis(spec: NetSpec, modality: str, shape: tuple[int, ...]) -> int | None:
    """Which axis of a sample is time; None for vectors and pictures, which have none.

    What the spec says of the modality, in `time`, or in an encoder for pictures. Else (D,) is a vector, and
    (C, H, W) of at most 4 channels with sides of at least 8 a picture. All other numbers are sequences, such
    as (steps, channels) or (steps, joints, 3): time is the first axis, and the others together are channels.
    Raises `LabError` for an axis that is not there.
    """
    named = dict(spec.time or ()).get(modality)
    if named is not None:
        rule = f"must be an axis of the {len(shape)} that one sample {shape} has, from 0"
        require(named < len(shape), f"time[{modality!r}]", named, rule)
        return named
    picture = len(shape) == 3 and shape[0] <= CHANNELS and min(shape[1:]) >= SMALLEST
    none = len(shape) < 2 or picture or spec.encoder_of(modality) in ("lenet", "resnet", "unet")
    return None if none else 0


def scale_shape(spec: NetSpec, modality: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of what a modality is standardised with: one number for pictures, where neighbours share a
    unit; one per entry for vectors, and one per channel for sequences, where they need not.
    """
    time = time_axis(spec, modality, shape)
    if time is not None:
        return (*shape[:time], 1, *shape[time + 1 :])
    return shape if len(shape) < 2 else ()
