"""What teachers say about every sample, by sample index: no order of batches can pair it wrongly."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmkd_lab.core.check import LabError, of_type, position, require
from mmkd_lab.core.fingerprint import digest_arrays
from mmkd_lab.data.identity import Identity
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill.method import Outputs, changed
from mmkd_lab.models.views import View

_KINDS = ("views", "features", "view_features", "weights")
_ABOUT = "about"
_CACHE_AGAIN = "Ask the teacher about the very dataset that the student is trained on."


@dataclass(frozen=True, eq=False)
class TeacherOutputs:
    """The outputs of R teachers for N samples. A frozen teacher says the same in every epoch, so that it is
    asked once.

    Args:
        index: (N,) int64, the sample indices (`PairedData.sample_index`), in any order; kept ascending.
        logits: (R, N, K), every modality kept; for a dense task (R, N, K, H, W). Row n belongs to index[n].
        views: {view: (R, N, K)}, the logits when only these modalities are kept.
        features: {layer: (R, N, F)}, every modality kept.
        view_features: {view: (R, N, F)}, what the head reads.
        weights: {view: (R, N)}, how much a student minds each sample under a view; see `weigh`.
        removal: the name of the operator that removed what a view does not keep. The student must lose it in
            the same way, or the two are not asked the same question.
        identity: the classes, modalities and data that they are of; None where nobody knows.

    Raises:
        LabError: an index that is not int64 or names a sample twice, tensors whose replicas, samples or
            classes differ from the logits', NaN or infinite values, negative weights.
    """

    index: Tensor
    logits: Tensor
    views: Mapping[View, Tensor] = field(default_factory=dict)
    features: Mapping[str, Tensor] = field(default_factory=dict)
    view_features: Mapping[View, Tensor] = field(default_factory=dict)
    weights: Mapping[View, Tensor] = field(default_factory=dict)
    removal: str = "zeros"
    identity: Identity | None = None

    def __post_init__(self) -> None:
        _validate(self)
        order = torch.argsort(self.index)
        distinct = 1 + int((self.index[order].diff() > 0).sum())
        rule = f"must not name a sample twice, and {len(order)} rows name {distinct}"
        require(distinct == len(order), "index", f"{len(order)} rows", rule)
        sorted_ = changed(lambda values: values[0].detach()[:, order], self)
        for name, value in {"index": self.index[order], **sorted_}.items():
            object.__setattr__(self, name, value)

    @property
    def num_classes(self) -> int:
        """K, the teachers' classes."""
        return int(self.logits.shape[2])

    def __len__(self) -> int:
        return int(self.logits.shape[0])

    def __iter__(self) -> Iterator[TeacherOutputs]:
        return (self[r] for r in range(len(self)))

    def __getitem__(self, r: int) -> TeacherOutputs:
        """What teacher `r` alone says (R = 1)."""
        r = position("r", r, len(self), of="a teacher of these outputs")
        return self._with(**changed(lambda values: values[0][r : r + 1], self))

    def rows(self, sample_index: Tensor) -> Outputs:
        """What they say about these samples: sample_index is (B,) for all teachers, or (R, B) one each.

        Raises `LabError` for a sample the teachers have never seen, or the wrong number of rows.
        """
        fits = sample_index.ndim == 1 or (sample_index.ndim == 2 and len(sample_index) == len(self))
        shown = f"{sample_index.dtype} {tuple(sample_index.shape)}"
        fits = fits and sample_index.dtype == torch.int64
        require(fits, "sample_index", shown, f"must be int64, (B,) or ({len(self)}, B)")
        slot = self._slots(sample_index)
        if slot.ndim == 1:
            return Outputs(**changed(lambda values: values[0][:, slot], self))
        each = torch.arange(len(self), device=slot.device)[:, None]
        return Outputs(**changed(lambda values: values[0][each, slot], self))

    def only(
        self, *, views: Sequence[View] = (), layers: Sequence[str] = (), view_features: Sequence[View] = ()
    ) -> TeacherOutputs:
        """The full input with these views (and their weights) and layers alone.

        Raises `LabError` for one that the teachers were not asked about.
        """
        return self._with(
            views=_picked("views", views, self.views),
            features=_picked("layers", layers, self.features),
            view_features=_picked("view_features", view_features, self.view_features),
            weights={view: self.weights[view] for view in views if view in self.weights},
        )

    def weighted(self, weights: Mapping[View, Tensor]) -> TeacherOutputs:
        """The same outputs with other weights, {view: (R, N) or (1, N)} in the order of `index`.

        Raises `LabError` for weights that are negative, not finite, all zero for a teacher, or of another
        shape.
        """
        shape = (len(self), len(self.index))
        for view, values in weights.items():
            fits = values.shape in (shape, (1, shape[1]))
            rule = f"must be {shape} or (1, {shape[1]})"
            require(fits, f"weights[{view.label}]", tuple(values.shape), rule)
        found = replace(self, weights={view: values.expand(shape) for view, values in weights.items()})
        if weights:
            total = torch.stack(list(found.weights.values())).sum((0, 2))
            silent = (total == 0).nonzero().flatten().tolist()
            rule = "must not all be 0, or nothing is learnt from views"
            require(not silent, "weights", f"all 0 for teacher {silent}", rule)
        return found

    def to(self, device: torch.device | str) -> TeacherOutputs:
        """The same with its tensors on a device."""
        return self._with(index=self.index.to(device), **changed(lambda values: values[0].to(device), self))

    @classmethod
    def stack(cls, several: Sequence[TeacherOutputs]) -> TeacherOutputs:
        """All teachers of several, in the order given. Raises `LabError` unless samples and views agree."""
        require(len(several) > 0, "several", several, "must hold at least one TeacherOutputs")
        first = several[0]
        for one in several[1:]:
            same = torch.equal(one.index, first.index) and one._holds() == first._holds()
            require(same, "several", one._holds(), f"must all hold the same samples and {first._holds()}")
        return first._with(**changed(torch.cat, *several))

    @classmethod
    def together(cls, parts: Sequence[TeacherOutputs]) -> TeacherOutputs:
        """All that parts of the same outputs hold. Raises `LabError` where two hold different things."""
        first = parts[0]
        found: dict[str, Any] = {kind: dict(getattr(first, kind)) for kind in _KINDS}
        for part in parts[1:]:
            same = torch.equal(part.logits, first.logits)
            for kind in _KINDS:
                for name, values in getattr(part, kind).items():
                    same = same and torch.equal(found[kind].setdefault(name, values), values)
            rule = "must not have one teacher say two things"
            require(same, "methods", "different outputs", rule, "Give each method an arm of its own.")
        return first._with(**found)

    def for_data(self, data: PairedData, *, split: str = "train") -> TeacherOutputs:
        """The same in the order of the data's classes, if it can serve this data.

        Raises `LabError` for outputs of other data or other classes, or without a sample of the split.
        """
        known, found = self.identity, self
        if known is not None:
            rule = f"must be of the data {data.name}, {data.fingerprint}"
            require(known.fingerprint == data.fingerprint, "teacher", known.fingerprint, rule, _CACHE_AGAIN)
            same = sorted(known.classes) == sorted(data.classes)
            require(same, "teacher", known.classes, f"must have the classes {data.classes} of {data.name}")
            found = self._in_order(known, data)
        require(
            found.num_classes == data.num_classes,
            "teacher",
            f"{found.num_classes} classes",
            f"must have the {data.num_classes} classes of {data.name}",
            "Train the teacher on the classes the student has.",
        )
        wanted = data.sample_index[data.positions(split)].to(self.index.device)
        missing = wanted[~torch.isin(wanted, self.index)]
        rule = f"must hold the outputs for every sample of {data.name} in {split!r}"
        shown = f"{len(missing)} samples missing, first {int(missing[0])}" if len(missing) else ""
        require(not shown, "teacher", shown, rule, _CACHE_AGAIN)
        return found

    def targets(self, data: PairedData) -> Tensor:
        """The labels of the teachers' samples, (N, ...) in the order of `index`.

        Raises `LabError` for a sample that the data does not have.
        """
        order = torch.argsort(data.sample_index)
        index = data.sample_index[order].to(self.index.device)
        slot = torch.searchsorted(index, self.index).clamp(max=len(index) - 1)
        known = bool((index[slot] == self.index).all())
        require(known, "teacher", f"{len(self.index)} samples", f"must hold samples of {data.name} only")
        return data.target[order.to(data.target.device)].to(self.index.device)[slot]

    def digest(self) -> str:
        """16 hex digits that change when anything of it does."""
        return digest_arrays(sorted(self.arrays().items()))

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Everything as named arrays, to be stored; see `from_arrays`."""
        kept = {view.label: sorted(view.kept) for view in (*self.views, *self.view_features, *self.weights)}
        about = {
            "removal": self.removal,
            "identity": None if self.identity is None else asdict(self.identity),
            "kept": kept,
        }
        named = {"index": self.index, "logits": self.logits}
        for kind in _KINDS:
            for name, values in getattr(self, kind).items():
                named[f"{kind}/{getattr(name, 'label', name)}"] = values
        text = json.dumps(about).encode()
        arrays = {name: values.cpu().numpy() for name, values in named.items()}
        return {_ABOUT: np.frombuffer(text, dtype=np.uint8), **arrays}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> TeacherOutputs:
        """What `arrays` gave."""
        about = json.loads(bytes(np.asarray(arrays[_ABOUT])))
        tensors = {name: torch.from_numpy(np.array(one)) for name, one in arrays.items() if name != _ABOUT}
        named: dict[str, Any] = {kind: {} for kind in _KINDS}
        order = {label: i for i, label in enumerate(about["kept"])}  # files keep no order
        parts_of = [(*name.partition("/")[::2], name) for name in sorted(tensors) if "/" in name]
        for kind, key, name in sorted(parts_of, key=lambda one: (one[0], order.get(one[1], 0))):
            named[kind][key if kind == "features" else View(about["kept"][key])] = tensors.pop(name)
        known = about["identity"]
        if known is not None:
            parts = tuple(known["classes"]), tuple(known["modalities"])
            known = Identity(*parts, known["fingerprint"])
        named |= {"removal": about["removal"], "identity": known}
        return cls(tensors["index"], tensors["logits"], **named)

    def _slots(self, sample_index: Tensor) -> Tensor:
        """Where these samples stand in `index`."""
        wanted = sample_index.to(self.index.device).contiguous()
        slot = torch.searchsorted(self.index, wanted).clamp(max=len(self.index) - 1)
        unknown = wanted[self.index[slot] != wanted]
        if len(unknown):
            shown = f"{len(unknown)} unknown, first {int(unknown[0])}"
            raise LabError(
                "sample_index", shown, "must name samples the teacher was asked about", _CACHE_AGAIN
            )
        return slot

    def _in_order(self, known: Identity, data: PairedData) -> TeacherOutputs:
        if known.classes == data.classes:
            return self
        order = torch.tensor([known.classes.index(name) for name in data.classes], device=self.index.device)
        views = {view: values.index_select(2, order) for view, values in self.views.items()}
        right = replace(known, classes=data.classes)
        return self._with(logits=self.logits.index_select(2, order), views=views, identity=right)

    def _holds(self) -> str:
        named = [f"{kind} {[getattr(one, 'label', one) for one in getattr(self, kind)]}" for kind in _KINDS]
        return f"{', '.join(named)}, {self.num_classes} classes, removal {self.removal}"

    def _with(self, **changes: Any) -> TeacherOutputs:  # noqa: ANN401 - fields of many types
        """Some fields changed, and known to be sound."""
        one = object.__new__(TeacherOutputs)
        one.__dict__.update({**self.__dict__, **changes})
        return one


def identity_of(data: PairedData) -> Identity:
    """What outputs about this data are of."""
    return Identity(data.classes, tuple(data.modalities), data.fingerprint)


def _picked(argument: str, wanted: Sequence[Any], named: Mapping[Any, Tensor]) -> dict[Any, Tensor]:
    for name in wanted:
        if name not in named:
            shown, *known = (getattr(one, "label", one) for one in (name, *named))
            raise LabError(argument, shown, f"must be one the teacher was asked about: {known}")
    return {name: named[name] for name in wanted}


def _validate(one: TeacherOutputs) -> None:
    index = of_type("index", one.index, Tensor, "a torch tensor of sample indices")
    fits = index.ndim == 1 and index.dtype == torch.int64 and len(index) > 0
    rule = "must be (N,) int64 with at least one sample"
    require(fits, "index", f"{index.dtype} {tuple(index.shape)}", rule)
    logits = of_type("logits", one.logits, Tensor, "a torch tensor")
    fits = logits.ndim >= 3 and logits.is_floating_point() and logits.shape[1] == len(index)
    rule = f"must be floating (R, {len(index)}, K), one row per sample of the index"
    require(fits, "logits", f"{logits.dtype} {tuple(logits.shape)}", rule)
    whole, lead = tuple(logits.shape), tuple(logits.shape[:2])
    _sound("logits", logits, whole, whole=True)
    for kind in _KINDS:
        for name, values in getattr(one, kind).items():
            at = f"{kind}[{getattr(name, 'label', name)}]"
            of_type(at, name, str if kind == "features" else View, "under a layer's name or a View")
            _sound(at, values, lead if kind == "weights" else whole, whole=kind in ("views", "weights"))
    for view, values in one.weights.items():
        lowest = float(values.min())
        require(lowest >= 0, f"weights[{view.label}]", lowest, "must be finite and at least 0")


def _sound(argument: str, values: object, shape: tuple[int, ...], *, whole: bool) -> None:
    values = of_type(argument, values, Tensor, "a torch tensor")
    wanted = shape if whole else shape[:2]
    fits = tuple(values.shape[: None if whole else 2]) == wanted
    require(fits, argument, tuple(values.shape), f"must {'be' if whole else 'begin with'} {wanted}")
    require(bool(torch.isfinite(values).all()), argument, "NaN or infinite values", "must be finite")
