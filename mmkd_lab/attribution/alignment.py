"""Joint alignment training: MFH's Algorithm 1, step 1.

Teacher and student are trained together from scratch, each on its own modality, with a term that pulls their
logits together. It pushes the teacher onto directions that the student can express too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmkd_lab.attribution.networks import batch_of
from mmkd_lab.core.calling_off import go_on
from mmkd_lab.core.check import LabError, require, whole
from mmkd_lab.core.config import Count, Fraction, NonNegative, Positive, config
from mmkd_lab.core.seed import derive
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill.losses.ce import CrossEntropy
from mmkd_lab.distill.method import Outputs

Floats = npt.NDArray[np.float64]
#: (B, K) logits -> what the labels make of them.
Labels = Callable[[Tensor], Tensor]


@config
class Alignment:
    """L = ce_teacher CE(f_a) + ce_student CE(f_b) + agreement MSE(logits): Xue et al. 2023, Algorithm 1.

    The MSE is a mean over samples and classes, of maps over their positions too; agreement=0 trains both
    independently.
    """

    ce_teacher: NonNegative = 1.0
    ce_student: NonNegative = 1.0
    agreement: NonNegative = 1.0

    def __post_init__(self) -> None:
        weights = self.ce_teacher + self.ce_student + self.agreement
        require(weights > 0, "ce_teacher, ce_student, agreement", "all 0", "must not all be 0")

    def __call__(
        self, teacher: Tensor, student: Tensor, target: Tensor, *, labels: Labels | None = None
    ) -> dict[str, Tensor]:
        """(B, K), (B, K) logits and (B,) classes -> 'ce_teacher', 'ce_student', 'agreement', and 'loss'. Of
        maps (B, K, H, W), twice, and (B, H, W), -1 where there is none.

        `labels` gives the labels' term of (B, K) logits, where it is not the cross-entropy of classes.
        """
        none = -1 if teacher.ndim == 4 else -100
        term = labels or (lambda logits: F.cross_entropy(logits, target, ignore_index=none))
        fits = teacher.shape == student.shape and teacher.ndim in (2, 4)
        shown = f"{tuple(teacher.shape)} and {tuple(student.shape)}"
        require(fits, "logits", shown, "teacher and student must both give (batch, classes, ...)")
        terms = {
            "ce_teacher": term(teacher),
            "ce_student": term(student),
            "agreement": F.mse_loss(teacher, student),
        }
        loss = torch.stack([getattr(self, name) * term for name, term in terms.items()]).sum()
        return {**terms, "loss": loss}


@config
class Joint:
    """How an aligned pair is trained, by SGD whose last step counts.

    The defaults are those of the authors' RAVDESS experiment (Xue et al. 2023); `epochs=1000` with
    `batch_size=None`, all samples in a step, are those of their Gaussian one. An epoch's last batch may be
    smaller.
    """

    epochs: Count = 100
    batch_size: Count | None = 64
    lr: Positive = 0.01
    momentum: Fraction = 0.9
    objective: Alignment = field(default_factory=Alignment)

    def as_dict(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Aligned:
    """Two jointly trained networks, and each term of their loss by epoch (epoch, metric, value)."""

    teacher: nn.Module
    student: nn.Module
    history: pd.DataFrame


def align(
    teacher: nn.Module,
    student: nn.Module,
    data: PairedData,
    *,
    joint: Joint | None = None,
    labels: CrossEntropy | None = None,
    seed: int = 0,
) -> Aligned:
    """Train copies of two untrained networks jointly on the training split, each in its own precision.

    Both take {modality: (B, ...)}, of which they may read different ones, and give (B, K). The order of the
    samples and dropout come from `seed`; `labels` is the term that reads the labels, as the data's task has
    it when None. Raises `LabError` for one network given twice, a batch of one sample where a network
    normalises by batch, a loss that is not finite.
    """
    joint = joint or Joint()
    require(teacher is not student, "student", "the teacher", "must be a network of its own")
    labels = labels or CrossEntropy(data.task)
    nets = nn.ModuleList([copy.deepcopy(teacher), copy.deepcopy(student)]).train()
    optimiser = torch.optim.SGD(nets.parameters(), lr=joint.lr, momentum=joint.momentum)
    positions = data.positions("train")
    size = joint.batch_size or len(positions)
    generator = torch.Generator().manual_seed(derive(whole("seed", seed, at_least=0), "align", "order"))
    rows: list[tuple[int, str, float]] = []
    for epoch in range(joint.epochs):
        go_on()
        order = positions[torch.randperm(len(positions), generator=generator).to(positions.device)]
        total: dict[str, Tensor] = {}
        with _seeded(nets, seed, epoch):
            for batch in torch.split(order, size):
                found = _step(nets, data, batch, joint, optimiser, labels)
                total = {name: total.get(name, 0) + term * len(batch) for name, term in found.items()}
        means = {name: float(term) / len(positions) for name, term in total.items()}
        rule = f"must stay finite (epoch {epoch})"
        require(bool(np.isfinite(means["loss"])), "loss", means["loss"], rule, "Lower lr.")
        rows += [(epoch, name, mean) for name, mean in means.items()]
    nets.eval()
    return Aligned(nets[0], nets[1], pd.DataFrame(rows, columns=["epoch", "metric", "value"]))


@contextmanager
def _seeded(nets: nn.Module, seed: int, epoch: int) -> Iterator[None]:
    """A stream of its own for networks that draw from torch's global generators, such as dropout."""
    devices = {parameter.device for parameter in nets.parameters() if parameter.device.type == "cuda"}
    with torch.random.fork_rng(devices=sorted(devices, key=str)):
        torch.manual_seed(derive(seed, "align", "dropout", str(epoch)))
        yield


def _step(
    nets: nn.ModuleList,
    data: PairedData,
    batch: Tensor,
    joint: Joint,
    optimiser: torch.optim.Optimizer,
    labels: CrossEntropy,
) -> dict[str, Tensor]:
    try:
        z = [net(batch_of(net, data, batch)) for net in nets]
    except ValueError as error:
        if isinstance(error, LabError) or len(batch) > 1:
            raise
        # Batch normalisation says so in words that do not name the setting behind it.
        rule = f"leaves a batch of one sample, which a network refuses: {error}"
        way_out = "Choose another, or None for all samples at once."
        raise LabError("batch_size", joint.batch_size, rule, way_out) from error
    target = data.target[batch].to(z[0].device)
    if data.unit is not None:  # numbers are compared in deviations from the training mean
        shift, scale = (part.to(z[0]) for part in data.unit)
        z, target = [(one - shift) / scale for one in z], (target.to(shift) - shift) / scale
    counts = None if data.weight is None else data.weight[batch].to(z[0])[None]

    def term(logits: Tensor) -> Tensor:
        return labels(Outputs(logits[None], counts=counts), target[None], None, {})[labels.name][0]

    found = joint.objective(z[0], z[1], target, labels=term)
    optimiser.zero_grad()
    torch.autograd.backward(found["loss"])
    optimiser.step()
    return {name: term.detach() for name, term in found.items()}


@dataclass(frozen=True, eq=False)
class LinearPairs:
    """W pairs of linear classifiers, a teacher of a and a student of b in each world, in double precision.

    Weights are (W, K, d_a) and (W, K, d_b), biases (W, K).
    """

    weight_a: Tensor
    bias_a: Tensor
    weight_b: Tensor
    bias_b: Tensor

    def __len__(self) -> int:
        return len(self.weight_a)

    def logits_a(self, x: Tensor) -> Tensor:
        """(W, N, d_a) -> (W, N, K)."""
        return x.to(self.weight_a) @ self.weight_a.mT + self.bias_a.unsqueeze(1)

    def logits_b(self, x: Tensor) -> Tensor:
        """(W, N, d_b) -> (W, N, K)."""
        return self.swapped().logits_a(x)

    def swapped(self) -> LinearPairs:
        """The same pairs with students as teachers, to rank the channels of modality b."""
        return LinearPairs(self.weight_b, self.bias_b, self.weight_a, self.bias_a)


def align_linear(
    a: npt.ArrayLike | Tensor,
    b: npt.ArrayLike | Tensor,
    target: npt.ArrayLike | Tensor,
    *,
    seeds: Sequence[int],
    classes: int = 2,
    agreement: float = 1.0,
    steps: int = 1000,
    lr: float = 0.01,
    momentum: float = 0.9,
) -> LinearPairs:
    """Train a linear teacher and student for each of W worlds, jointly, by full-batch SGD, from scratch.

    The defaults are those of the authors' Gaussian experiment (Xue et al. 2023). `agreement=0` gives the
    independently trained pair. Weights start as `nn.Linear`'s do, from the 'align' stream of each world's
    seed. One compiled loop; worlds one after the other, each in the cache.

    Args:
        a: (W, N, d_a) training samples of the teacher's modality.
        b: (W, N, d_b) the same samples in the student's modality.
        target: (W, N) classes from 0 to K - 1.
        seeds: W seeds of the start; they may repeat.
        classes: K.
        agreement: weight of the MSE between logits.
        steps: of gradient descent; 0 gives the start.
        lr, momentum: of SGD.

    Raises `LabError` for shapes that do not pair up, values that are not finite, labels or settings out of
    range, weights that run away.
    """
    from mmkd_lab.training.linear_kernel import by_feature, descend_jointly  # numba takes a second to import

    how = Joint(lr=lr, momentum=momentum, objective=Alignment(agreement=agreement))
    x = {"a": _stacked("a", a), "b": _stacked("b", b)}
    given = _plain(target)
    kind = np.issubdtype(given.dtype, np.integer) or given.dtype == bool
    require(bool(kind) and given.size > 0, "target", given.dtype, "must hold class numbers")
    labels = np.ascontiguousarray(given, dtype=np.int64)
    (w, n), k = x["a"].shape[:2], whole("classes", classes, at_least=2)
    require(x["b"].shape[:2] == (w, n), "b", x["b"].shape, f"must hold {w} worlds of {n} samples, as a does")
    require(labels.shape == (w, n), "target", labels.shape, f"must be ({w}, {n})")
    inside = labels.min() >= 0 and labels.max() < k
    shown = f"labels from {labels.min()} to {labels.max()}"
    require(bool(inside), "target", shown, f"must lie between 0 and {k - 1} ({k} classes)")
    starts, many = [whole("seeds", seed, at_least=0) for seed in seeds], whole("steps", steps, at_least=0)
    require(len(starts) == w, "seeds", starts, f"must be {w}, one per world")
    ends: dict[str, list[Floats]] = {"a": [], "b": []}
    for i, seed in enumerate(starts):
        inputs, weights = [by_feature(each[i]) for each in x.values()], []
        for modality, values, packed in zip(x, x.values(), inputs, strict=True):
            d = values.shape[2]
            draw = np.random.default_rng(derive(seed, "align", modality))
            weight = np.zeros((k, len(packed)))  # the bias comes after the columns, then the kernel's padding
            weight[:, : d + 1] = draw.uniform(-1, 1, (d + 1, k)).T / np.sqrt(d)
            weights.append(weight)
            ends[modality].append(weight[:, : d + 1])
        descend_jointly(*inputs, labels[i], *weights, how.objective.agreement, many, how.lr, how.momentum)
    wa, wb = (torch.from_numpy(np.stack(each)) for each in ends.values())
    if not (wa.isfinite().all() and wb.isfinite().all()):
        raise LabError("lr", lr, "makes the weights run away", "Lower it.")
    return LinearPairs(wa[..., :-1], wa[..., -1], wb[..., :-1], wb[..., -1])


def _stacked(name: str, values: npt.ArrayLike | Tensor) -> Floats:
    """(W, N, d) float64."""
    found = np.asarray(_plain(values), dtype=np.float64)
    require(found.ndim == 3 and found.size > 0, name, found.shape, "must be (worlds, samples, columns)")
    require(bool(np.isfinite(found).all()), name, "NaN or infinite values", "must be finite")
    return found


def _plain(values: npt.ArrayLike | Tensor) -> npt.NDArray[np.generic]:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
