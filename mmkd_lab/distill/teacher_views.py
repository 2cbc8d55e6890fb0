"""What teachers say about every sample under every view, by sample index: computed once for all steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from mmkd_lab.core.check import mapping, of_type, position, require
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill.cache import TeacherCache
from mmkd_lab.distill.method import Outputs
from mmkd_lab.models.views import View


@dataclass(frozen=True, eq=False)
class TeacherViews:
    """The outputs of R teachers for N samples under several views. A frozen teacher says the same in every
    epoch, so that its 1 + M outputs per sample are computed once.

    Args:
        full: the logits with every modality kept, by sample index; a `TeacherCache`.
        views: {view: (R, N, K)}, the logits when only these modalities are kept, in `full.index`'s order.
        features: (R, N, F), or None.
        view_features: {view: (R, N, F)}.
        weights: {view: (R, N)}, how much a student minds each sample under a view; see `distill.weights`.
        removal: the name of the operator that removed what a view does not keep. The student must lose it in
            the same way, or the two are not asked the same question.

    Raises:
        LabError: tensors whose replicas or samples differ from the full view's, or that are not finite;
            negative weights.
    """

    full: TeacherCache
    views: Mapping[View, Tensor] = field(default_factory=dict)
    features: Tensor | None = None
    view_features: Mapping[View, Tensor] = field(default_factory=dict)
    weights: Mapping[View, Tensor] = field(default_factory=dict)
    removal: str = "zeros"

    def __post_init__(self) -> None:
        of_type("full", self.full, TeacherCache, "a TeacherCache")
        shape = tuple(self.full.logits.shape)
        for argument in ("views", "view_features", "weights"):
            named = mapping(argument, getattr(self, argument), "{view: tensor}")
            for view, values in named.items():
                of_type(argument, view, View, "{View: tensor}", "For example View.only('image').")
                _fits(f"{argument}[{view.label}]", values, shape, whole=argument == "views")
        for view, values in self.weights.items():
            at, lowest = f"weights[{view.label}]", float(values.min())
            require(values.ndim == 2, at, tuple(values.shape), f"must be {shape[:2]}")
            require(lowest >= 0, at, lowest, "must be finite and at least 0")
        if self.features is not None:
            _fits("features", self.features, shape, whole=False)

    @classmethod
    def of(
        cls,
        index: Tensor,
        logits: Tensor,
        *,
        views: Mapping[View, Tensor] | None = None,
        features: Tensor | None = None,
        view_features: Mapping[View, Tensor] | None = None,
        removal: str = "zeros",
    ) -> TeacherViews:
        """From tensors whose rows follow `index` (N,), in any order; shapes as the attributes'."""
        full = TeacherCache(index, logits)
        order = torch.argsort(index)
        return cls(
            full,
            {view: values.detach()[:, order] for view, values in (views or {}).items()},
            None if features is None else features.detach()[:, order],
            {view: values.detach()[:, order] for view, values in (view_features or {}).items()},
            removal=removal,
        )

    @property
    def index(self) -> Tensor:
        """(N,) int64, ascending: the sample of each column."""
        return self.full.index

    @property
    def logits(self) -> Tensor:
        """(R, N, K), every modality kept."""
        return self.full.logits

    @property
    def num_classes(self) -> int:
        """K, the teachers' classes."""
        return self.full.num_classes

    def __len__(self) -> int:
        return len(self.full)

    def __getitem__(self, r: int) -> TeacherViews:
        """What teacher `r` alone says (R = 1)."""
        r = position("r", r, len(self), of="a teacher of these")
        return self._each(lambda values: values[r : r + 1], self.full[r])

    def weighted(self, weights: Mapping[View, Tensor]) -> TeacherViews:
        """The same outputs with other weights, {view: (R, N) or (1, N)} in the order of `index`.

        Raises `LabError` for weights that are negative, not finite, all zero for a teacher, or of another
        shape.
        """
        known = mapping("weights", weights, "{view: (R, N)}")
        wide: dict[View, Tensor] = {}
        for view, values in known.items():
            of_type("weights", view, View, "{View: tensor}", "For example View.only('image').")
            of_type(f"weights[{view.label}]", values, Tensor, "a torch tensor")
            shape = (len(self), len(self.index))
            fits = values.ndim == 2 and values.shape[1] == shape[1] and len(values) in (1, shape[0])
            require(
                fits, f"weights[{view.label}]", tuple(values.shape), f"must be {shape} or (1, {shape[1]})"
            )
            wide[view] = values.detach().expand(shape)
        found = replace(self, weights=wide)
        if wide:
            silent = (torch.stack(list(wide.values())).sum((0, 2)) == 0).nonzero().flatten().tolist()
            rule = "must not all be 0, or nothing is learnt from views"
            require(not silent, "weights", f"all 0 for teacher {silent}", rule)
        return found

    def rows(self, sample_index: Tensor) -> Outputs:
        """What they say about these samples, (B,) for all teachers or (R, B) one row each: (R, B, ...).

        Raises `LabError` for a sample the teachers have never seen.
        """
        slot = self.full.slots(sample_index)

        def pick(values: Tensor) -> Tensor:
            if slot.ndim == 1:
                return values[:, slot]
            return values[torch.arange(len(self), device=slot.device)[:, None], slot]

        return Outputs(
            pick(self.logits),
            {view: pick(values) for view, values in self.views.items()},
            None if self.features is None else pick(self.features),
            {view: pick(values) for view, values in self.view_features.items()},
            {view: pick(values) for view, values in self.weights.items()},
        )

    def to(self, device: torch.device | str) -> TeacherViews:
        """The same with its tensors on a device."""
        return self._each(lambda values: values.to(device), self.full.to(device))

    def require_fits(self, data: PairedData, *, split: str = "train") -> None:
        """Raise `LabError` unless K is the data's and every sample of the split is cached."""
        self.full.require_fits(data, split=split)

    def _each(self, change: Callable[[Tensor], Tensor], full: TeacherCache) -> TeacherViews:
        return TeacherViews(
            full,
            {view: change(values) for view, values in self.views.items()},
            None if self.features is None else change(self.features),
            {view: change(values) for view, values in self.view_features.items()},
            {view: change(values) for view, values in self.weights.items()},
            self.removal,
        )

    @classmethod
    def stack(cls, several: list[TeacherViews]) -> TeacherViews:
        """All teachers of several, in the order given. Raises `LabError` unless samples and views agree."""
        require(len(several) > 0, "several", several, "must hold at least one TeacherViews")
        first = several[0]
        for one in several[1:]:
            same = (
                one.views.keys() == first.views.keys()
                and one.view_features.keys() == first.view_features.keys()
                and one.weights.keys() == first.weights.keys()
                and (one.features is None) == (first.features is None)
                and one.removal == first.removal
            )
            require(same, "several", _said(one), f"must all hold {_said(first)}")
        return cls(
            TeacherCache.stack([one.full for one in several]),
            {view: torch.cat([one.views[view] for one in several]) for view in first.views},
            None
            if first.features is None
            else torch.cat([one.features for one in several if one.features is not None]),
            {view: torch.cat([one.view_features[view] for one in several]) for view in first.view_features},
            {view: torch.cat([one.weights[view] for one in several]) for view in first.weights},
            first.removal,
        )


def _said(one: TeacherViews) -> str:
    views = ", ".join(view.label for view in one.views) or "none"
    weights = ", ".join(view.label for view in one.weights) or "none"
    features = "yes" if one.features is not None else "no"
    return f"views {views} by {one.removal}; weights {weights}; features {features}"


def _fits(argument: str, values: object, shape: tuple[int, ...], *, whole: bool) -> None:
    values = of_type(argument, values, Tensor, "a torch tensor")
    wanted = shape if whole else shape[:2]
    rule = f"must be {wanted}, as the full view's logits" if whole else f"must begin with {wanted}"
    require(tuple(values.shape[: len(wanted)]) == wanted, argument, tuple(values.shape), rule)
    require(bool(torch.isfinite(values).all()), argument, "NaN or infinite values", "must be finite")
