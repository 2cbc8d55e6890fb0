"""How any network of named modalities is asked: which samples, which output of which class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mmkd_lab.core.check import LabError, flat, listing, one_of, require, whole
from mmkd_lab.core.seed import derive
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.models.removal import Removal, check_heeded, removal_named
from mmkd_lab.models.views import View

#: {modality: (B, ...)} -> logits (B, K). An nn.Module is put into evaluation mode while it is asked.
Network = Callable[[dict[str, Tensor]], Tensor]
Numbers = npt.NDArray[np.float64]

Output = Literal["logit", "probability", "log_probability"]
OUTPUTS = get_args(Output)
TARGETS = ("predicted", "label")
BATCH = 1024


@dataclass(frozen=True, eq=False)
class Samples:
    """What an attribution is asked about: N samples of named modalities.

    Args:
        x: {modality: (N, ...)}; floating modalities as float32 or float64.
        labels: (N,) int64, or None where the question needs none.
        index: (N,) the samples' own numbers, which name the rows of tables.
        classes: class names, or () to go by number.
        subjects: (N,) int64, who a sample comes from; None when every sample stands for itself.
    """

    x: dict[str, Tensor]
    labels: Tensor | None
    index: Tensor
    classes: tuple[str, ...] = ()
    subjects: Tensor | None = None

    def __len__(self) -> int:
        return len(self.index)

    def on(self, net: Network) -> Samples:
        """The same samples on the device of the network's parameters, floating ones in their precision."""
        return replace(self, x=onto(net, self.x))

    @classmethod
    def of(
        cls,
        data: PairedData | Mapping[str, Tensor],
        *,
        reads: tuple[str, ...] | None = None,
        labels: Tensor | None = None,
        subjects: Tensor | None = None,
        split: str = "test",
    ) -> Samples:
        """The samples of a split, or of a plain mapping; only the modalities in `reads`, if given.

        Raises:
            LabError: no modality or sample, a modality that is missing, unequal lengths, values that are not
                finite, labels or subjects that are not (N,) int64.
        """
        if isinstance(data, PairedData):
            positions = data.positions(split)
            single = data.task is Task.SINGLE_LABEL
            own = data.target[positions] if single and labels is None else labels
            x, index = data.batch(positions), data.sample_index[positions]
            who = data.group[positions] if data.group is not None and subjects is None else subjects
            return _checked(x, own, who, index, reads, data.classes if single else ())
        if not isinstance(data, Mapping):
            raise LabError("data", type(data).__name__, "must be a PairedData or {modality: tensor}")
        require(len(data) > 0, "data", dict(data), "must hold at least one modality")
        for name, values in data.items():
            sound = isinstance(values, Tensor) and values.ndim > 0
            require(sound, f"data[{name!r}]", type(values).__name__, "must be a tensor, one row per sample")
        half = (torch.float16, torch.bfloat16)
        wide = {name: v.float() if v.dtype in half else v for name, v in data.items()}
        index = torch.arange(len(next(iter(wide.values()))))
        return _checked(wide, labels, subjects, index, reads, ())


def _checked(
    x: dict[str, Tensor],
    labels: Tensor | None,
    subjects: Tensor | None,
    index: Tensor,
    reads: tuple[str, ...] | None,
    classes: tuple[str, ...],
) -> Samples:
    names, n = sorted(x) if reads is None else list(reads), len(index)
    require(n > 0, "data", "0 samples", "must hold at least one sample")
    for name in names:
        require(name in x, "data", sorted(x), f"must hold {listing(names)}, which the network reads")
        what, values = f"data[{name!r}]", x[name]
        require(len(values) == n, what, tuple(values.shape), f"must hold {n} rows, one per sample")
        fine = not values.is_floating_point() or bool(torch.isfinite(values).all())
        require(fine, what, "NaN or infinite values", "must be finite", "Drop or repair these samples.")
    for argument, each in (("labels", labels), ("subjects", subjects)):
        if each is not None:
            sound = isinstance(each, Tensor) and each.shape == (n,) and each.dtype == torch.int64
            shown = f"{each.dtype} {tuple(each.shape)}" if isinstance(each, Tensor) else each
            require(sound, argument, shown, f"must be ({n},) int64 numbers")
    plain = {name: x[name].detach() for name in names}
    return Samples(plain, labels, index.detach().cpu(), classes, subjects)


def onto(net: Network, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`x` on the device of a network's parameters; floating modalities in their precision."""
    parameters = net.parameters() if isinstance(net, nn.Module) else iter(())
    one = next((parameter for parameter in parameters if parameter.is_floating_point()), None)
    if one is None:
        return dict(x)
    return {name: v.to(one.device, one.dtype if v.is_floating_point() else v.dtype) for name, v in x.items()}


@contextmanager
def evaluating(net: Network) -> Iterator[None]:
    """Within the block the network is in evaluation mode; every submodule's own mode comes back after it."""
    if not isinstance(net, nn.Module):
        rule = "must be a network: an nn.Module or a function of {modality: tensor}"
        require(callable(net), "net", net, rule)
        yield
        return
    before = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


def read_by(net: Network) -> tuple[str, ...] | None:
    """The modalities a network says it reads; None when it does not say, and it is then given all.

    Raises `LabError` when its attribute `modalities` holds anything but names.
    """
    given = getattr(net, "modalities", None)
    if given is None:
        return None
    what, way_out = "the modalities it reads, by name", "For example ('image', 'text'); None for all."
    several = isinstance(given, (Mapping, Set))
    listed: list[Any] = list(given) if several else flat("net.modalities", given, what, way_out)
    sound = len(listed) > 0 and all(isinstance(name, str) for name in listed)
    require(sound, "net.modalities", given, f"must be {what}", way_out)
    return tuple(sorted(listed) if isinstance(given, Set) else listed)


def logits(net: Network, x: Mapping[str, Tensor], *, batch_size: int = BATCH) -> Tensor:
    """(N, K) without gradients, batch by batch. Raises `LabError` unless the network gives finite (B, K)."""
    n = len(next(iter(x.values())))
    whole("batch_size", batch_size)
    with torch.no_grad():
        found = [
            scores(net, {name: v[i : i + batch_size] for name, v in x.items()})
            for i in range(0, n, batch_size)
        ]
    return torch.cat(found)


def scores(net: Network, x: dict[str, Tensor]) -> Tensor:
    """One call of the network: (B, K), checked.

    It is given copies, so that whatever it does to its input in place happens to them, and to no leaf.
    """
    n = len(next(iter(x.values())))
    z = net(copied(x))
    shown = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
    sound = isinstance(z, Tensor) and z.ndim == 2 and len(z) == n
    way_out = "Wrap the network so that it returns one row of logits per sample."
    require(sound, "net(x)", shown, f"must be logits ({n}, classes)", way_out)
    require(bool(torch.isfinite(z).all()), "net(x)", "NaN or infinite values", "must be finite")
    return z


def copied(x: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """{modality: (B, ...)} -> copies, through which gradients flow back to the originals."""
    return {name: values.clone() for name, values in x.items()}


def check_output(output: Output, z: Tensor) -> None:
    """Raise `LabError` for no output, or a softmax over one logit: it is 1 whatever the network says."""
    one_of("output", output, OUTPUTS)
    rule = "is the same for every input when the network gives one logit"
    way_out = "Use output='logit', or a network of two logits."
    require(output == "logit" or z.shape[1] > 1, "output", output, rule, way_out)


def output_of(z: Tensor, target: Tensor, *, output: Output) -> Tensor:
    """(..., N, K) logits and (N,) classes -> (..., N): the output of each sample's class."""
    if output == "probability":
        z = z.softmax(-1)
    elif output == "log_probability":
        z = z.log_softmax(-1)
    return z.gather(-1, target.expand(z.shape[:-1]).unsqueeze(-1)).squeeze(-1)


def targets(target: str | int | Tensor, z: Tensor, labels: Tensor | None) -> Tensor:
    """(N,) the class each sample is asked about.

    Args:
        target: 'predicted' (the class with the largest logit), 'label', one class number, or (N,) int64.
        z: (N, K) logits.
        labels: (N,) int64 or None.

    Raises:
        LabError: an unknown word, 'label' without labels, a class number out of range, a wrong shape.
    """
    n, k = z.shape
    if isinstance(target, Tensor):
        sound = target.shape == (n,) and target.dtype == torch.int64
        shown = f"{target.dtype} {tuple(target.shape)}"
        require(sound, "target", shown, f"must be ({n},) int64 class numbers")
        return _in_range("target", target.to(z.device), k)
    if isinstance(target, str):
        one_of("target", target, TARGETS)
        if target == "predicted":
            return z.argmax(1)
        if labels is None:
            raise LabError("labels", None, "must be given when target='label'", "Or use target='predicted'.")
        return _in_range("labels", labels.to(z.device), k)
    number = whole("target", target, at_least=0)
    return _in_range("target", torch.full((n,), number, device=z.device), k)


def _in_range(argument: str, classes: Tensor, k: int) -> Tensor:
    low, high = int(classes.min()), int(classes.max())
    shown = str(low) if low == high else f"classes {low} to {high}"
    require(low >= 0 and high < k, argument, shown, f"must lie between 0 and {k - 1} ({k} logits)")
    return classes


def removal_of(removal: str | Removal, data: object, net: Network, *, seed: int = 0) -> Removal:
    """An operator by name, with the training means of a `PairedData`, or the operator itself.

    Raises `LabError` for a removal by mask that the network does not say it heeds.
    """
    if not isinstance(removal, Removal):
        paired = data if isinstance(data, PairedData) else None
        removal = removal_named(removal, paired, seed=derive(seed, "attribute", "views"))
    check_heeded(removal, net)
    return removal


def still(operator: Removal, x: Mapping[str, Tensor], remove: Sequence[str]) -> dict[str, Tensor]:
    """`x` with the modalities in `remove` replaced by their fixed baseline, for methods that need one.

    Raises `LabError` for a removal that replaces nothing (attention, learned) or has no fixed value
    (permutation).
    """
    fixed = operator.name in ("zeros", "mean")
    rule = "gives no fixed value in place of a modality, which this method needs"
    require(fixed, "removal", operator.name, rule, "Use 'zeros' or 'mean'.")
    return operator.apply(x, View.drop(*remove, of=x))
