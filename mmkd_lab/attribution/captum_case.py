"""Named modalities as Captum wants them: a tuple of tensors, and masks of features.

In Captum 0.9 a feature number that occurs in the masks of two input tensors is one feature: both are then
removed together, and each is given the value of the pair. `feature_masks` numbers the modalities apart, and
`check_masks` refuses masks that do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmkd_lab.attribution.networks import Explained, Network, output_of, scores
from mmkd_lab.core.check import LabError, listing, require, whole


@dataclass(frozen=True, eq=False)
class CaptumCase:
    """A network and its samples in Captum's terms.

    Any of Captum's methods can be used: `Method(case.forward).attribute(case.inputs, feature_mask=case.masks,
    additional_forward_args=case.fixed, target=...)`.

    `forward` takes the tensors of `inputs`, one per modality in `names`, which are explained, then those of
    `fixed`, one per other modality (None without any), and gives (B, K) logits. `masks` holds one integer
    tensor (1, ...) per input: one feature per modality, numbered from 0.
    """

    forward: Callable[..., Tensor]
    inputs: tuple[Tensor, ...]
    fixed: tuple[Tensor, ...] | None
    masks: tuple[Tensor, ...]
    names: tuple[str, ...]

    @classmethod
    def of(
        cls, net: Network, x: Mapping[str, Tensor], *, explained: Sequence[str] | None = None
    ) -> CaptumCase:
        """The case of {modality: (B, ...)}; by default all modalities are explained."""
        names = tuple(x if explained is None else explained)
        others = tuple(name for name in x if name not in names)

        def forward(*values: Tensor) -> Tensor:
            return scores(net, dict(zip((*names, *others), values, strict=True)))

        masks = feature_masks({name: x[name] for name in names})
        fixed = tuple(x[name] for name in others) or None
        return cls(forward, tuple(x[name] for name in names), fixed, masks, names)


def feature_masks(x: Mapping[str, Tensor], regions: Mapping[str, Tensor] | None = None) -> tuple[Tensor, ...]:
    """One mask (1, ...) per modality: one feature each, or the numbered regions of those named in `regions`.

    Numbers run on from one modality to the next, so that none is used twice. Raises `LabError` for regions of
    an unknown modality, of another shape, or with negative numbers.
    """
    given = dict(regions or {})
    for name in given:
        require(name in x, "regions", name, f"must name modalities out of {listing(list(x))}")
    masks, first = [], 0
    for name, values in x.items():
        mask = torch.zeros(values.shape[1:], dtype=torch.int64, device=values.device)
        if name in given:
            mask = check_regions(given[name], values).to(values.device)
        masks.append((mask + first).unsqueeze(0))
        first += int(mask.max()) + 1
    return tuple(masks)


def check_masks(masks: Sequence[Tensor], names: Sequence[str]) -> None:
    """Raise `LabError` when two modalities share a feature number: Captum would take both for one feature."""
    owner: dict[int, str] = {}
    for mask, name in zip(masks, names, strict=True):
        for number in torch.unique(mask).tolist():
            first = owner.setdefault(int(number), name)
            if first != name:
                rule = f"is a feature of {first!r} as well as of {name!r}; Captum would remove both together"
                raise LabError("feature_mask", number, rule, "Use feature_masks(), which numbers them apart.")


def check_regions(regions: Tensor, values: Tensor) -> Tensor:
    """(...) int64 region numbers of one sample of `values` (N, ...), or `LabError`."""
    sound = isinstance(regions, Tensor) and not regions.is_floating_point()
    require(sound, "regions", getattr(regions, "dtype", type(regions).__name__), "must be whole numbers")
    shown, shape = tuple(regions.shape), tuple(values.shape[1:])
    require(shown == shape, "regions", shown, f"must have a sample's shape {shape}")
    require(bool((regions >= 0).all()), "regions", int(regions.min()), "must not be negative")
    return regions.to(torch.int64)


def cases(
    asked: Explained, explained: Sequence[str], *, size: int | None = None
) -> Iterator[tuple[CaptumCase, Callable[..., Tensor], slice]]:
    """Batch by batch: the case, the output asked for, M tensors -> (B,), and which samples these are.

    Captum stacks copies of the batch along the first axis, copy after copy; the classes are repeated so.
    """
    for i in range(0, len(asked.target), size or asked.batch_size):
        some = slice(i, i + (size or asked.batch_size))
        case = CaptumCase.of(asked.net, {n: v[some] for n, v in asked.x.items()}, explained=explained)

        def forward(*values: Tensor, case: CaptumCase = case, some: slice = some) -> Tensor:
            z, target = case.forward(*values), asked.target[some]
            # A modality that the network ignores has gradient 0, which autograd must be able to say. It
            # cannot tell one that is cut off by detach or no_grad from that: `gradients.check_flow` does.
            unused = sum((0.0 * v.sum() for v in values), start=z.new_zeros(()))
            each = target.repeat(len(z) // len(target), *[1] * (target.ndim - 1))
            return output_of(z, each, output=asked.output) + unused

        yield case, forward, some


def window(shape: Sequence[int], patch: int | Sequence[int]) -> tuple[int, ...]:
    """The sides of a patch over a sample of `shape`: `patch` along its last axes, whole along the others."""
    axes = len(shape)
    require(axes >= 1, "shape", tuple(shape), "must have at least one axis")
    if isinstance(patch, Sequence):
        sides = [whole("patch", side) for side in patch]
    else:
        sides = [whole("patch", patch)] * (axes if axes < 3 else axes - 1)
    rule = f"must have 1 to {axes} sides, one per axis of {tuple(shape)}"
    require(1 <= len(sides) <= axes, "patch", patch, rule)
    every = [*shape[: axes - len(sides)], *sides]
    return tuple(min(side, size) for side, size in zip(every, shape, strict=True))


def grid(shape: Sequence[int], patch: int | Sequence[int]) -> Tensor:
    """Region numbers for a sample of `shape`, cut into patches along its last axes.

    A sample is (C, H, W), (1, bands, frames), (tokens,) or (columns,). `patch` has sides along the last axes,
    or one for all axes but channels. Axes before them (the channels of an image) belong to one region
    together; a last patch may be smaller. Raises `LabError` for more sides than axes, or a side that is not a
    whole number of at least 1.

    Example: `grid((1, 28, 28), 7)` has 16 regions; `grid((1, 40, 100), (40, 10))` has 10 stretches of time;
    `grid((50,), 1)` has one region per column.
    """
    numbers = torch.zeros(tuple(shape), dtype=torch.int64)
    for axis, (size, side) in enumerate(zip(shape, window(shape, patch), strict=True)):
        along = torch.arange(size) // side
        numbers = numbers * -(-size // side) + along.reshape(-1, *[1] * (len(shape) - 1 - axis))
    return numbers
