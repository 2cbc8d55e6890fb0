"""Attribution within a modality: which regions, cells, tokens or columns count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmkd_lab.attribution.captum_case import cases, check_regions, grid, window
from mmkd_lab.attribution.gradients import gradient_x_input, integrated_gradients, still, token_gradients
from mmkd_lab.attribution.layers import module_named
from mmkd_lab.attribution.methods import Ablation, IntegratedGradients, Occlusion
from mmkd_lab.attribution.networks import (
    BATCH,
    Explained,
    NetInputs,
    Network,
    Numbers,
    Output,
    by_sample,
    evaluating,
    full,
    removal_of,
)
from mmkd_lab.attribution.tables import QUADRATURE, ROUNDING
from mmkd_lab.core.check import LabError, one_of, require
from mmkd_lab.data.paired import PairedData
from mmkd_lab.models.removal import Removal

MapMethod = Literal["integrated_gradients", "gradient_x_input", "ablation", "occlusion"]
MAP_METHODS = get_args(MapMethod)
_SETTINGS = {each.name: each for each in (IntegratedGradients, Ablation, Occlusion)}


@dataclass(frozen=True, eq=False)
class Maps:
    """Attribution maps of N samples of one modality.

    Attributes:
        values: (N, ...) in the modality's own shape, in units of the output asked for.
        inputs: (N, ...) what was explained, for pictures.
        modality, method: their names.
        target: (N,) the class each map is about.
        regions: (...) numbers for ablation, else None. Every cell of a region holds the region's value.
        residual: (N,) sum of the map minus (f(x) - f(x without the modality)) for integrated gradients, else
            None.
    """

    values: Numbers
    inputs: npt.NDArray[np.generic]
    modality: str
    method: str
    target: npt.NDArray[np.int64]
    regions: npt.NDArray[np.int64] | None = None
    residual: Numbers | None = None

    def by_region(self, regions: Tensor | npt.NDArray[np.int64] | None = None) -> Numbers:
        """(N, R): one value per region, in the order of region numbers.

        Of an ablation the value each region was given; of other methods the sum over the cells of `regions`.
        Raises `LabError` when there are no regions to go by, or others than those that were ablated.
        """
        if self.regions is not None:
            rule = "an ablation has values for its own regions only"
            way_out = "Call by_region() without an argument."
            require(regions is None, "regions", "other regions", rule, way_out)
            _, first = np.unique(self.regions, return_index=True)
            flat: Numbers = self.values.reshape(len(self.values), -1)
            return flat[:, first]
        if regions is None:
            raise LabError("regions", None, "must be given for a map that was made without", "See grid().")
        cells, shape = np.asarray(regions), self.values.shape[1:]
        require(cells.shape == shape, "regions", cells.shape, f"must have a sample's shape {shape}")
        _, rank = np.unique(cells, return_inverse=True)
        return self.values.reshape(len(self.values), -1) @ np.eye(rank.max() + 1)[rank.ravel()]

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.values.shape[1:])) or "1"
        said = f"{self.method} maps of {len(self.values)} samples of {self.modality!r}, {shape} cells each"
        if self.residual is None:
            return said
        total, left = self.values.reshape(len(self.values), -1).sum(1), float(np.abs(self.residual).mean())
        size = float(np.abs(total - self.residual).mean())
        if left <= QUADRATURE * size + ROUNDING:
            return said
        return f"{said}; they miss what they must add up to by {left:.2g}, of {size:.2g}; raise steps"


def within_modality(
    net: Network,
    data: PairedData | Mapping[str, Tensor],
    *,
    modality: str,
    method: MapMethod | IntegratedGradients | Ablation | Occlusion = "integrated_gradients",
    target: str | int | Tensor = "predicted",
    output: Output = "logit",
    removal: str | Removal = "zeros",
    labels: Tensor | None = None,
    split: str = "test",
    batch_size: int = BATCH,
) -> Maps:
    """Maps over image regions, spectrogram cells, tokens or feature columns, by Captum.

    The other modalities stay as they are.

    * integrated_gradients: from the removed modality to the modality; a map sums to f(x) - f(x without it),
      and the residual says how well. A modality of tokens (N, L) needs its embedding's name in `net`:
      `IntegratedGradients(layer="embedding")`.
    * gradient_x_input: claims no sum.
    * ablation: f(x) - f(x with one region removed), for every region; `Ablation(patch=7)`.
    * occlusion: the same with a window that slides over the sample, `Occlusion(patch=4, stride=2)`; a cell
      holds the mean over the windows that covered it. (Zeiler and Fergus 2014, section 4.2)

    Args:
        net, data, target, output, labels, split, batch_size: as in `by_modality`.
        modality: which one.
        method: one of `MAP_METHODS`, or an `IntegratedGradients`, `Ablation` or `Occlusion`.
        removal: 'zeros', 'mean', or an operator of either kind: what removed cells hold. Zero is token 0.

    Raises `LabError` for an unknown modality, method, class, layer or removal, regions of another shape,
    tokens without a layer.
    """
    name = method if isinstance(method, str) else str(getattr(method, "name", method))
    one_of("method", name, MAP_METHODS)
    how = _SETTINGS[name]() if method in _SETTINGS else method
    samples = NetInputs.of(net, data, labels=labels, split=split)
    one_of("modality", modality, list(samples.x))
    base = still(removal_of(removal, data, net), samples.x, [modality])
    values = samples.x[modality]
    residual, cut, alone = None, None, [modality]
    with evaluating(net):
        asked, z = Explained.of(net, samples, target, output, batch_size)
        if isinstance(how, IntegratedGradients):
            if how.layer is None:
                maps = integrated_gradients(asked, base, how, explained=alone)[modality]
            else:
                inside = module_named(net, how.layer)
                maps = token_gradients(asked, base, how, modality=modality, layer=inside)
            sums = maps.double().reshape(len(maps), -1).sum(1).cpu().numpy()
            residual = sums - (asked.read(z) - asked.value(base))
        elif isinstance(how, str):
            maps = gradient_x_input(asked, explained=alone)[modality]
        else:
            settings, cut = _pieces(how, values, modality)
            maps = _perturbed(how, asked, base, modality, settings)
    return Maps(
        maps.double().cpu().numpy(),
        full(values).cpu().numpy(),
        modality,
        name,
        by_sample(asked.target).cpu().numpy(),
        None if cut is None else cut.cpu().numpy(),
        residual,
    )


def _pieces(
    how: Ablation | Occlusion, values: Tensor, modality: str
) -> tuple[dict[str, object], Tensor | None]:
    """What Captum is told of the pieces that are removed one by one, and the regions of an ablation."""
    shape = tuple(values.shape[1:])
    rule, way_out = (
        "one number a sample has no regions to remove",
        "by_modality ablates the modality as a whole.",
    )
    require(len(shape) > 0, f"data[{modality!r}]", tuple(values.shape), rule, way_out)
    side = (1 if len(shape) < 2 else 4) if how.patch is None else how.patch
    if isinstance(how, Ablation):
        cut = grid(shape, side) if how.regions is None else check_regions(how.regions, values)
        # Captum walks through all numbers, lowest to highest, those that do not occur too.
        dense = torch.unique(cut, return_inverse=True)[1]
        return {"feature_mask": dense.unsqueeze(0).to(values.device)}, cut
    covers, moves = window(shape, side), window(shape, side if how.stride is None else how.stride)
    fits = all(move <= cover for move, cover in zip(moves, covers, strict=True))
    way_out = "Use a stride of at most the patch."
    require(fits, "stride", how.stride, "must leave no cell between two windows", way_out)
    return {"sliding_window_shapes": covers, "strides": moves}, None


def _perturbed(
    how: Ablation | Occlusion,
    asked: Explained,
    base: dict[str, Tensor],
    modality: str,
    settings: dict[str, object],
) -> Tensor:
    """Captum's perturbations, several at a time for few samples, and few samples at a time for many."""
    from captum import attr  # a second to import

    kind, parts = attr.FeatureAblation if isinstance(how, Ablation) else attr.Occlusion, []
    for case, ask, some in cases(asked, [modality]):
        together = max(1, asked.batch_size // len(case.inputs[0]))
        given = {"additional_forward_args": case.fixed, "perturbations_per_eval": together}
        with torch.no_grad():
            parts.append(
                kind(ask).attribute(case.inputs[0], baselines=base[modality][some], **given, **settings)
            )
    return torch.cat(parts)
