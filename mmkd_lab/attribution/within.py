"""Attribution within a modality: which regions, cells, tokens or columns count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmkd_lab.attribution.captum_case import CaptumCase, check_regions, grid, region_sums, selected, window
from mmkd_lab.attribution.gradients import (
    Nodes,
    check_nodes,
    gradient_x_input,
    integrated_gradients,
    token_gradients,
)
from mmkd_lab.attribution.layers import module_named
from mmkd_lab.attribution.networks import (
    BATCH,
    Network,
    Numbers,
    Output,
    Samples,
    check_output,
    evaluating,
    logits,
    output_of,
    read_by,
    removal_of,
    still,
    targets,
)
from mmkd_lab.attribution.tables import QUADRATURE, ROUNDING
from mmkd_lab.core.check import LabError, one_of, require, whole
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
        modality: its name.
        method: one of `MAP_METHODS`.
        target: (N,) the class each map is about.
        regions: (...) region numbers for ablation, else None. Every cell of a region holds the region's
            value.
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
        return region_sums(torch.as_tensor(self.values), torch.as_tensor(regions)).numpy()

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
        net: takes {modality: (B, ...)} and gives logits (B, K).
        data: a dataset, of which `split` is used, or {modality: (N, ...)}.
        modality: which one.
        method: one of `MAP_METHODS`.
        target: 'predicted', 'label', a class number, or (N,) int64.
        output: 'logit', 'probability' or 'log_probability'.
        removal: 'zeros', 'mean', or an operator of either kind: what removed cells hold. Zero is token 0.
        patch: sides of a region or window, see `grid`. Default: 1 for one axis (tokens, columns), 4 for maps.
        stride: of the window; by default the patch, so that windows do not overlap.
        regions: (...) region numbers of one sample instead of patches, for ablation.
        layer: the name of the embedding of a token modality.
        labels: (N,) int64 for target='label'.
        split: of a `PairedData`.
        steps: how many nodes the integral has.
        nodes: where they lie, as in `by_modality`; by default 'graded', and at a layer, where there are
            Captum's only, 'gausslegendre'.
        batch_size: samples that pass through the network at once.

    Raises:
        LabError: an unknown modality, method, class, layer or removal, regions of another shape, tokens
            without a layer, or patch, stride, regions or layer given to a method that does not use them.
    """
    one_of("method", method, MAP_METHODS)
    given = {"patch": patch, "stride": stride, "regions": regions, "layer": layer, "nodes": nodes}
    for name, value in given.items():
        rule = f"belongs to {' or '.join(_USES[name])}, and the method is {method!r}"
        require(value is None or method in _USES[name], name, value, rule)
    path: Nodes = nodes or ("graded" if layer is None else "gausslegendre")
    check_nodes(steps, path, layer=layer is not None)
    samples = Samples.of(data, reads=read_by(net), labels=labels, split=split).on(net)
    one_of("modality", modality, list(samples.x))
    base = still(removal_of(removal, data, net), samples.x, [modality])
    with evaluating(net):
        z = logits(net, samples.x, batch_size=batch_size)
        check_output(output, z)
        chosen = targets(target, z, samples.labels)
        asked = _Asked(net, samples.x, base, chosen, modality, output, whole("batch_size", batch_size))
        residual, cut = None, None
        if method == "integrated_gradients":
            values = asked.integrated(layer, steps, path)
            residual = asked.residual(values, z)
        elif method == "gradient_x_input":
            values = asked.gradient()
        elif method == "ablation":
            cut = asked.cut(patch, regions)
            values = asked.ablated(cut)
        else:
            values = asked.occluded(patch, stride)
    return Maps(
        values.double().cpu().numpy(),
        _readable(samples.x[modality]),
        modality,
        method,
        chosen.cpu().numpy(),
        None if cut is None else cut.cpu().numpy(),
        residual,
    )


def _readable(values: Tensor) -> npt.NDArray[np.generic]:
    """numpy has no bfloat16."""
    return (values.float() if values.dtype == torch.bfloat16 else values).cpu().numpy()


@dataclass(frozen=True, eq=False)
class _Asked:
    net: Network
    x: dict[str, Tensor]
    base: dict[str, Tensor]
    target: Tensor
    modality: str
    output: Output
    batch_size: int

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.x[self.modality].shape[1:])

    def integrated(self, layer: str | None, steps: int, nodes: Nodes) -> Tensor:
        given = (self.net, self.x, self.base, self.target)
        if layer is not None:
            return token_gradients(
                *given,
                modality=self.modality,
                layer=module_named(self.net, layer),
                output=self.output,
                steps=steps,
                nodes=nodes,
                batch_size=self.batch_size,
            )
        found = integrated_gradients(
            *given,
            explained=[self.modality],
            output=self.output,
            steps=steps,
            nodes=nodes,
            batch_size=self.batch_size,
        )
        return found[self.modality]

    def gradient(self) -> Tensor:
        size, explained = self.batch_size, [self.modality]
        found = gradient_x_input(
            self.net, self.x, self.target, explained=explained, output=self.output, batch_size=size
        )
        return found[self.modality]

    def residual(self, values: Tensor, z: Tensor) -> Numbers:
        """(N,): what the map adds up to, minus what it must."""
        without = logits(self.net, self.base, batch_size=self.batch_size)
        must = output_of(z.double(), self.target, output=self.output)
        must = must - output_of(without.double(), self.target, output=self.output)
        left: Numbers = (values.double().reshape(len(values), -1).sum(1) - must).cpu().numpy()
        return left

    def cut(self, patch: int | Sequence[int] | None, regions: Tensor | None) -> Tensor:
        if regions is None:
            return grid(self.shape, self._patch(patch))
        require(patch is None, "patch", patch, "must not be given together with regions")
        return check_regions(regions, self.x[self.modality])

    def ablated(self, cut: Tensor) -> Tensor:
        from captum.attr import FeatureAblation  # a second to import

        # Captum walks through all numbers from the lowest to the highest, those that do not occur too.
        _, dense = torch.unique(cut, return_inverse=True)
        mask = dense.unsqueeze(0).to(self.x[self.modality].device)
        return self._perturbed(FeatureAblation, feature_mask=mask)

    def occluded(self, patch: int | Sequence[int] | None, stride: int | Sequence[int] | None) -> Tensor:
        from captum.attr import Occlusion

        sides = self._patch(patch)
        covers = window(self.shape, sides)
        moves = window(self.shape, sides if stride is None else stride)
        for move, side in zip(moves, covers, strict=True):
            way_out = "Use a stride of at most the patch."
            require(move <= side, "stride", stride, "must leave no cell between two windows", way_out)
        return self._perturbed(Occlusion, sliding_window_shapes=covers, strides=moves)

    def _patch(self, patch: int | Sequence[int] | None) -> int | Sequence[int]:
        shown, way_out = tuple(self.x[self.modality].shape), "by_modality ablates the modality as a whole."
        rule = "one number a sample has no regions to remove one by one"
        require(len(self.shape) > 0, f"data[{self.modality!r}]", shown, rule, way_out)
        if patch is not None:
            return patch
        return 1 if len(self.shape) < 2 else 4

    def _perturbed(self, kind: type, **settings: object) -> Tensor:
        """Captum's perturbations, several at a time for few samples, and few samples at a time for many."""
        n = len(self.target)
        parts = []
        for i in range(0, n, self.batch_size):
            some = slice(i, i + self.batch_size)
            given = {name: v[some] for name, v in self.x.items()}
            case = CaptumCase.of(self.net, given, explained=[self.modality])
            together = max(1, self.batch_size // len(self.target[some]))
            with torch.no_grad():
                found = kind(selected(case, self.target[some], output=self.output)).attribute(
                    case.inputs[0],
                    baselines=self.base[self.modality][some],
                    additional_forward_args=case.fixed,
                    perturbations_per_eval=together,
                    **settings,
                )
            parts.append(found)
        return torch.cat(parts)
