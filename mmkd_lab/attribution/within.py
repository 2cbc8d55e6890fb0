"""Attribution within a modality: which regions, cells, tokens or columns count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmkd_lab.attribution.captum_case import cases, check_regions, grid, window
from mmkd_lab.attribution.gradients import (
    Nodes,
    check_nodes,
    gradient_x_input,
    integrated_gradients,
    still,
    token_gradients,
)
from mmkd_lab.attribution.layers import module_named
from mmkd_lab.attribution.networks import (
    BATCH,
    Explained,
    NetInputs,
    Network,
    Numbers,
    Output,
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
_USES = {
    "patch": ("ablation", "occlusion"),
    "stride": ("occlusion",),
    "regions": ("ablation",),
    "layer": ("integrated_gradients",),
    "nodes": ("integrated_gradients",),
}


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
    method: MapMethod = "integrated_gradients",
    target: str | int | Tensor = "predicted",
    output: Output = "logit",
    removal: str | Removal = "zeros",
    patch: int | Sequence[int] | None = None,
    stride: int | Sequence[int] | None = None,
    regions: Tensor | None = None,
    layer: str | None = None,
    labels: Tensor | None = None,
    split: str = "test",
    steps: int = 64,
    nodes: Nodes | None = None,
    batch_size: int = BATCH,
) -> Maps:
    """Maps over image regions, spectrogram cells, tokens or feature columns, by Captum.

    The other modalities stay as they are.

    * integrated_gradients: from the removed modality to the modality; a map sums to f(x) - f(x without it),
      and the residual says how well. A modality of tokens (N, L) needs `layer`, its embedding's name in
      `net`.
    * gradient_x_input: claims no sum.
    * ablation: f(x) - f(x with one region removed), for every region.
    * occlusion: the same with a window that slides over the sample by `stride`; a cell holds the mean over
      the windows that covered it. (Zeiler and Fergus 2014, section 4.2)

    Args:
        net, data, target, output, labels, split, steps, batch_size: as in `by_modality`.
        modality, method: which one, and one of `MAP_METHODS`.
        removal: 'zeros', 'mean', or an operator of either kind: what removed cells hold. Zero is token 0.
        patch: sides of a region or window, see `grid`. Default: 1 for one axis (tokens, columns), 4 for maps.
        stride: of the window; by default the patch, so that windows do not overlap.
        regions: (...) region numbers of one sample instead of patches, for ablation.
        layer: the name of the embedding of a token modality.
        nodes: where they lie, as in `by_modality`; by default 'graded', and at a layer, where there are
            Captum's only, 'gausslegendre'.

    Raises `LabError` for an unknown modality, method, class, layer or removal, regions of another shape,
    tokens without a layer, or patch, stride, regions or layer given to a method that does not use them.
    """
    one_of("method", method, MAP_METHODS)
    given = {"patch": patch, "stride": stride, "regions": regions, "layer": layer, "nodes": nodes}
    for name, value in given.items():
        rule = f"belongs to {' or '.join(_USES[name])}, and the method is {method!r}"
        require(value is None or method in _USES[name], name, value, rule)
    path: Nodes = nodes or ("graded" if layer is None else "gausslegendre")
    check_nodes(steps, path, layer=layer is not None)
    samples = NetInputs.of(net, data, labels=labels, split=split)
    one_of("modality", modality, list(samples.x))
    base = still(removal_of(removal, data, net), samples.x, [modality])
    values = samples.x[modality]
    residual, cut, alone = None, None, [modality]
    with evaluating(net):
        asked, z = Explained.of(net, samples, target, output, batch_size)
        if method == "integrated_gradients":
            if layer is None:
                maps = integrated_gradients(asked, base, explained=alone, steps=steps, nodes=path)[modality]
            else:
                inside = module_named(net, layer)
                maps = token_gradients(asked, base, modality=modality, layer=inside, steps=steps, nodes=path)
            sums = maps.double().reshape(len(maps), -1).sum(1).cpu().numpy()
            residual = sums - (asked.read(z) - asked.value(base))
        elif method == "gradient_x_input":
            maps = gradient_x_input(asked, explained=alone)[modality]
        else:
            settings, cut = _pieces(method, values, modality, patch, stride, regions)
            maps = _perturbed(method, asked, base, modality, settings)
    return Maps(
        maps.double().cpu().numpy(),
        full(values).cpu().numpy(),
        modality,
        method,
        asked.target.cpu().numpy(),
        None if cut is None else cut.cpu().numpy(),
        residual,
    )


def _pieces(
    method: MapMethod,
    values: Tensor,
    modality: str,
    patch: int | Sequence[int] | None,
    stride: int | Sequence[int] | None,
    regions: Tensor | None,
) -> tuple[dict[str, object], Tensor | None]:
    """What Captum is told of the pieces that are removed one by one, and the regions of an ablation."""
    shape = tuple(values.shape[1:])
    rule, way_out = (
        "one number a sample has no regions to remove",
        "by_modality ablates the modality as a whole.",
    )
    require(len(shape) > 0, f"data[{modality!r}]", tuple(values.shape), rule, way_out)
    side = (1 if len(shape) < 2 else 4) if patch is None else patch
    if method == "ablation":
        both = patch is not None and regions is not None
        require(not both, "patch", patch, "must not be given together with regions")
        cut = grid(shape, side) if regions is None else check_regions(regions, values)
        # Captum walks through all numbers, lowest to highest, those that do not occur too.
        dense = torch.unique(cut, return_inverse=True)[1]
        return {"feature_mask": dense.unsqueeze(0).to(values.device)}, cut
    covers, moves = window(shape, side), window(shape, side if stride is None else stride)
    fits = all(move <= cover for move, cover in zip(moves, covers, strict=True))
    way_out = "Use a stride of at most the patch."
    require(fits, "stride", stride, "must leave no cell between two windows", way_out)
    return {"sliding_window_shapes": covers, "strides": moves}, None


def _perturbed(
    method: str, asked: Explained, base: dict[str, Tensor], modality: str, settings: dict[str, object]
) -> Tensor:
    """Captum's perturbations, several at a time for few samples, and few samples at a time for many."""
    from captum.attr import FeatureAblation, Occlusion  # a second to import

    kind, parts = FeatureAblation if method == "ablation" else Occlusion, []
    for case, ask, some in cases(asked, [modality]):
        together = max(1, asked.batch_size // len(case.inputs[0]))
        given = {"additional_forward_args": case.fixed, "perturbations_per_eval": together}
        with torch.no_grad():
            parts.append(
                kind(ask).attribute(case.inputs[0], baselines=base[modality][some], **given, **settings)
            )
    return torch.cat(parts)
