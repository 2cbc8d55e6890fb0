"""What teachers say about every sample, by sample index: no order of batches can pair it wrongly."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmkd_lab.core.check import of_type, position, require
from mmkd_lab.core.fingerprint import digest_arrays
from mmkd_lab.data.identity import Identity
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill.method import Outputs, changed, known
from mmkd_lab.models.views import View

_KINDS = ("views", "features", "view_features", "weights")
_ABOUT = "about"
_ASK_AGAIN = "Ask the teacher about the very dataset that the student is trained on."


@dataclass(frozen=True, eq=False)
class TeacherOutputs:
    """The outputs of R teachers for N samples: a frozen teacher says the same in every epoch, and is asked
    once.

    Args:
        index: (N,) int64, the sample indices (`PairedData.sample_index`), in any order; kept ascending.
        logits: (R, N, K), every modality kept; for a dense task (R, N, K, H, W). Row n belongs to index[n].
        views, features, view_features: as in `Outputs`, for all samples: (R, N, K) and (R, N, F).
        weights: {view: (R, N)}, how much a student minds each sample under a view; see `weigh`.
        removal: the name of the operator that removed what a view does not keep. The student must lose it in
            the same way, or the two are not asked the same question.
        identity: the classes, modalities and data that they are of; None where nobody knows.
        partial: whether samples of the data may lack, as in a table of answers; then without views, features
            and weights. Methods that say so (`Method.by_sample`) learn from the answers that there are.

    Raises `LabError` for an index that is not int64 or names a sample twice, tensors whose replicas, samples
    or classes differ from the logits', NaN or infinite values, negative weights, views of partial outputs.
    """

    index: Tensor
    logits: Tensor
    views: Mapping[View, Tensor] = field(default_factory=dict)
    features: Mapping[str, Tensor] = field(default_factory=dict)
    view_features: Mapping[View, Tensor] = field(default_factory=dict)
    weights: Mapping[View, Tensor] = field(default_factory=dict)
    removal: str = "zeros"
    identity: Identity | None = None
    partial: bool = False

    def __post_init__(self) -> None:
        _validate(self)
        order = torch.argsort(self.index)
        sorted_ = changed(lambda values: values[0].detach()[:, order], self)
        self.__dict__.update(index=self.index[order], **sorted_)

    @property
    def num_classes(self) -> int:
        """K, the teachers' classes."""
        return int(self.logits.shape[2])

    def __len__(self) -> int:
        return int(self.logits.shape[0])

    def __getitem__(self, r: int) -> TeacherOutputs:
        """What teacher `r` alone says (R = 1)."""
        r = position("r", r, len(self), of="a teacher of these outputs")
        return self._with(**changed(lambda values: values[0][r : r + 1], self))

    def rows(self, sample_index: Tensor, *, lacking: bool = False) -> Outputs:
        """What they say about these samples: sample_index is (B,) for all teachers, or (R, B) one each.
        With `lacking` there may be samples that they have not answered for: 0 in the place of an answer, and
        `answered` says where.

        Raises `LabError` for a sample the teachers have never seen, or the wrong number of rows."""
        fits = sample_index.ndim == 1 or (sample_index.ndim == 2 and len(sample_index) == len(self))
        fits = fits and sample_index.dtype == torch.int64
        shown = f"{sample_index.dtype} {tuple(sample_index.shape)}"
        require(fits, "sample_index", shown, f"must be int64, (B,) or ({len(self)}, B)")
        wanted = sample_index.to(self.index.device)
        slot, unknown = _slots(self.index, wanted)
        shown = f"{len(unknown)} unknown, first {int(unknown[0])}" if len(unknown) else ""
        require(
            lacking or not shown,
            "sample_index",
            shown,
            "must name samples the teacher was asked about",
            _ASK_AGAIN,
        )
        at = slot if slot.ndim == 2 else slot.expand(len(self), -1)
        each = torch.arange(len(self), device=slot.device)[:, None]
        found = Outputs(**changed(lambda values: values[0][each, at], self))
        if not lacking:
            return found
        there = (self.index[slot] == wanted).expand(at.shape)
        wide = there.reshape(*there.shape, *[1] * (self.logits.ndim - 2))
        return replace(found, logits=torch.where(wide, found.logits, 0.0), answered=there)

    def answering(self, where: Tensor) -> TeacherOutputs:
        """The logits of some samples, (N,) bool in the order of `index`, and nothing of the others."""
        return TeacherOutputs(
            self.index[where],
            self.logits[:, where],
            removal=self.removal,
            identity=self.identity,
            partial=True,
        )

    def only(
        self, *, views: Sequence[View] = (), layers: Sequence[str] = (), view_features: Sequence[View] = ()
    ) -> TeacherOutputs:
        """The full input with these views (and their weights) and layers alone. Raises `LabError` for one
        that the teachers were not asked about."""
        return self._with(
            views={view: known("views", view, self.views) for view in views},
            features={layer: known("layers", layer, self.features) for layer in layers},
            view_features={view: known("view_features", view, self.view_features) for view in view_features},
            weights={view: self.weights[view] for view in views if view in self.weights},
        )

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
        """The same in the order of the data's classes, if it can serve this data. Raises `LabError` for
        outputs of other data or other classes, or that lack a sample of the split (partial: all)."""
        known, found = self.identity, self
        if known is not None:
            rule = f"must be of the data {data.name}, {data.fingerprint}"
            require(known.fingerprint == data.fingerprint, "teacher", known.fingerprint, rule, _ASK_AGAIN)
            same = sorted(known.classes) == sorted(data.classes)
            require(same, "teacher", known.classes, f"must have the classes {data.classes} of {data.name}")
            if known.classes != data.classes:
                order = torch.tensor([known.classes.index(one) for one in data.classes]).to(self.index.device)
                views = {view: values.index_select(2, order) for view, values in self.views.items()}
                logits, right = self.logits.index_select(2, order), replace(known, classes=data.classes)
                found = self._with(logits=logits, views=views, identity=right)
        shown, rule = (
            f"{found.num_classes} classes",
            f"must have the {data.num_classes} classes of {data.name}",
        )
        require(found.num_classes == data.num_classes, "teacher", shown, rule)
        _, missing = _slots(self.index, data.sample_index[data.positions(split)].to(self.index.device))
        shown = f"{len(missing)} samples missing, first {int(missing[0])}" if len(missing) else ""
        some = self.partial and len(missing) < len(data.positions(split))
        rule = (
            f"must hold the outputs for {'a' if self.partial else 'every'} sample of {data.name} in {split!r}"
        )
        require(some or not shown, "teacher", shown, rule, "" if self.partial else _ASK_AGAIN)
        return found

    def bare(self, data: PairedData) -> TeacherOutputs:
        """What they say of a regression in deviations from the training mean, as losses compare it; of other
        tasks, and without their unit, the same."""
        if data.unit is None:
            return self
        shift, scale = (part.to(self.logits.device) for part in data.unit)

        def change(values: Tensor) -> Tensor:
            return ((values.double() - shift) / scale).to(values.dtype)

        views = {view: change(values) for view, values in self.views.items()}
        return self._with(logits=change(self.logits), views=views)

    def coverage(self, data: PairedData) -> dict[str, tuple[int, int]]:
        """{split: (samples that the teachers answered for, samples)}."""
        every = {split: data.sample_index[where].cpu() for split, where in data.splits.items()}
        known = self.index.cpu()
        return {split: (int(torch.isin(one, known).sum()), len(one)) for split, one in every.items()}

    def targets(self, data: PairedData) -> Tensor:
        """The labels of the teachers' samples, (N, ...) in the order of `index`. Raises `LabError` for a
        sample that the data does not have."""
        order = torch.argsort(data.sample_index)
        slot, unknown = _slots(data.sample_index[order].to(self.index.device), self.index)
        shown = f"{len(self.index)} samples"
        require(len(unknown) == 0, "teacher", shown, f"must hold samples of {data.name} only")
        return data.target[order.to(data.target.device)].to(self.index.device)[slot]

    def digest(self) -> str:
        """16 hex digits that change when anything of it does."""
        return digest_arrays(sorted(self.arrays().items()))

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Everything as named arrays, to be stored; see `from_arrays`."""
        kept = {view.label: sorted(view.kept) for view in (*self.views, *self.view_features, *self.weights)}
        identity = None if self.identity is None else asdict(self.identity)
        told = {"removal": self.removal, "identity": identity, "kept": kept}
        about = json.dumps(told | ({"partial": True} if self.partial else {})).encode()
        named = {"index": self.index, "logits": self.logits}
        for kind in _KINDS:
            for name, values in getattr(self, kind).items():
                named[f"{kind}/{getattr(name, 'label', name)}"] = values
        arrays = {name: values.cpu().numpy() for name, values in named.items()}
        return {_ABOUT: np.frombuffer(about, dtype=np.uint8), **arrays}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> TeacherOutputs:
        """What `arrays` gave."""
        about = json.loads(bytes(np.asarray(arrays[_ABOUT])))
        tensors = {name: torch.from_numpy(np.array(one)) for name, one in arrays.items() if name != _ABOUT}
        named: dict[str, Any] = {kind: {} for kind in _KINDS}
        order = {label: i for i, label in enumerate(about["kept"])}  # files keep no order
        parts = sorted((*name.partition("/")[::2], name) for name in tensors if "/" in name)
        for kind, key, name in sorted(parts, key=lambda one: order.get(one[1], 0)):
            named[kind][key if kind == "features" else View(about["kept"][key])] = tensors[name]
        known = about["identity"]
        if known is not None:
            known = Identity(tuple(known["classes"]), tuple(known["modalities"]), known["fingerprint"])
        return cls(
            tensors["index"],
            tensors["logits"],
            **named,
            removal=about["removal"],
            identity=known,
            partial="partial" in about,
        )

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
    return data.identity


def _slots(ascending: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Where the wanted sample indices stand among ascending ones, and those that are not there."""
    slot = torch.searchsorted(ascending, wanted.contiguous()).clamp(max=len(ascending) - 1)
    return slot, wanted[ascending[slot] != wanted]


def _validate(one: TeacherOutputs) -> None:
    index, logits = (of_type(n, getattr(one, n), Tensor, "a torch tensor") for n in ("index", "logits"))
    fits = index.ndim == 1 and index.dtype == torch.int64 and len(index) > 0
    rule = "must be (N,) int64 with at least one sample"
    require(fits, "index", f"{index.dtype} {tuple(index.shape)}", rule)
    distinct = len(set(index.tolist()))
    rule = f"must not name a sample twice, and {len(index)} rows name {distinct}"
    require(distinct == len(index), "index", f"{len(index)} rows", rule)
    fits = logits.ndim >= 3 and logits.is_floating_point() and logits.shape[1] == len(index)
    rule = f"must be floating (R, {len(index)}, K), one row per sample of the index"
    require(fits, "logits", f"{logits.dtype} {tuple(logits.shape)}", rule)
    rule = "must be finite, in single precision too"
    require(bool(logits.float().isfinite().all()), "logits", "NaN or infinite values", rule)
    held = [kind for kind in _KINDS if one.partial and getattr(one, kind)]
    require(not held, "partial", held, "must hold logits alone")
    for kind in _KINDS:
        wanted = tuple(logits.shape) if kind == "views" else tuple(logits.shape[:2])
        for name, values in getattr(one, kind).items():
            at = f"{kind}[{getattr(name, 'label', name)}]"
            of_type(at, name, str if kind == "features" else View, "under a layer's name or a View")
            shape = tuple(of_type(at, values, Tensor, "a torch tensor").shape)
            whole = kind in ("views", "weights")
            fits = (shape if whole else shape[:2]) == wanted
            require(fits, at, shape, f"must {'be' if whole else 'begin with'} {wanted}")
            require(bool(values.float().isfinite().all()), at, "NaN or infinite values", rule)
            lowest = 0.0 if kind != "weights" else float(values.min())
            require(lowest >= 0, at, lowest, "must be at least 0")
