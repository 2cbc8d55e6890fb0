"""How any network of named modalities is asked: which samples, which output of which class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mmkd_lab.core.check import LabError, listing, one_of, require, whole
from mmkd_lab.core.seed import derive
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.models import ModelAdapter
from mmkd_lab.models.removal import Removal, check_heeded, removal_named

#: {modality: (B, ...)} -> logits (B, K), of a dense task (B, K, H, W). An nn.Module is put into evaluation
#: mode while it is asked.
Network = Callable[[dict[str, Tensor]], Tensor]
Numbers = npt.NDArray[np.float64]

Output = Literal["logit", "probability", "log_probability"]
OUTPUTS = get_args(Output)
TARGETS = ("predicted", "label")
BATCH = 1024
#: What maps are called in the place of a sample's class.
MAP = "map"
_HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True, eq=False)
class NetInputs:
    """What a network is asked about: N samples in its precision, on its device, with their own numbers."""

    x: dict[str, Tensor]
    labels: Tensor | None
    index: Tensor
    classes: tuple[str, ...] = ()
    subjects: Tensor | None = None

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def of(
        cls,
        net: Network,
        data: PairedData | Mapping[str, Tensor],
        *,
        labels: Tensor | None = None,
        subjects: Tensor | None = None,
        split: str = "test",
    ) -> NetInputs:
        """The samples of a split, or of a plain mapping; only the modalities that the network reads."""
        classes: tuple[str, ...] = ()
        if isinstance(data, PairedData):
            positions = data.positions(split)
            if data.task in (Task.SINGLE_LABEL, Task.DENSE):
                classes = data.classes if data.task is Task.SINGLE_LABEL else (MAP,)
                labels = data.target[positions] if labels is None else labels
            if data.group is not None and subjects is None:
                subjects = data.group[positions]
            x, index = data.batch(positions, dtype=precision_of(net)), data.sample_index[positions].cpu()
        elif isinstance(data, Mapping):
            require(len(data) > 0, "data", dict(data), "must hold at least one modality")
            for name, values in data.items():
                fine, shown = isinstance(values, Tensor) and values.ndim > 0, type(values).__name__
                require(fine, f"data[{name!r}]", shown, "must be a tensor, one row per sample")
            x = {name: full(values) for name, values in data.items()}
            index = torch.arange(len(next(iter(x.values()))))
        else:
            raise LabError("data", type(data).__name__, "must be a PairedData or {modality: tensor}")
        require(len(index) > 0, "data", "0 samples", "must hold at least one sample")
        x = onto(net, x)
        names, n = read_by(net) or sorted(x), len(index)
        for name in names:
            rule = f"must hold {listing(names)}, which the network reads"
            require(name in x, "data", sorted(x), rule)
            what, values = f"data[{name!r}]", x[name]
            require(len(values) == n, what, tuple(values.shape), f"must hold {n} rows, one per sample")
            fine = not values.is_floating_point() or bool(torch.isfinite(values).all())
            require(fine, what, "NaN or infinite values", "must be finite", "Drop or repair these samples.")
        maps = labels is not None and labels.ndim > 1
        for argument, numbers in (("labels", None if maps else labels), ("subjects", subjects)):
            if numbers is not None:
                _int64(argument, numbers, (n,))
        return cls({name: x[name].detach() for name in names}, labels, index, classes, subjects)


def _int64(argument: str, values: Tensor, shape: tuple[int, ...]) -> None:
    sound = isinstance(values, Tensor) and values.shape == shape and values.dtype == torch.int64
    shown = f"{values.dtype} {tuple(values.shape)}" if isinstance(values, Tensor) else values
    require(sound, argument, shown, f"must be {shape} int64 numbers")


def full(values: Tensor) -> Tensor:
    """Half precision as single, which numpy and quadrature can do with; anything else as it is."""
    return values.float() if values.dtype in _HALF else values


def precision_of(net: Network) -> torch.dtype:
    """The type of a network's numbers; single precision where it has none."""
    parameters = net.parameters() if isinstance(net, nn.Module) else iter(())
    return next((one.dtype for one in parameters if one.is_floating_point()), torch.float32)


def onto(net: Network, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`x` on the device of a network's parameters; floating modalities in their precision."""
    one, kind = next(net.parameters(), None) if isinstance(net, nn.Module) else None, precision_of(net)
    found = dict(x)
    if one is not None:
        found = {name: v.to(one.device, kind if v.is_floating_point() else v.dtype) for name, v in x.items()}
    if isinstance(net, ModelAdapter) and net.calling is None:  # its tries would count as uses of a layer
        net.prepare({name: v[:4] for name, v in found.items()})
    return found


def batch_of(net: Network, data: PairedData, positions: Tensor) -> dict[str, Tensor]:
    """What a network reads of the samples at these positions."""
    return onto(net, data.batch(positions, read_by(net), dtype=precision_of(net)))


@contextmanager
def evaluating(net: Network) -> Iterator[None]:
    """Within the block the network is in evaluation mode; every submodule's own mode comes back after it."""
    require(callable(net), "net", net, "must be a network: an nn.Module or a function of {modality: tensor}")
    before = []
    if isinstance(net, nn.Module):
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
    given: object = getattr(net, "modalities", None)
    if given is None:
        return None
    listed = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else []
    sound = len(listed) > 0 and all(isinstance(name, str) for name in listed)
    way_out = "For example ('image', 'text'); None for all."
    require(sound, "net.modalities", given, "must be the modalities it reads, by name", way_out)
    return tuple(sorted(listed) if isinstance(given, Set) else listed)


def logits(net: Network, x: Mapping[str, Tensor], *, batch_size: int = BATCH) -> Tensor:
    """(N, K), or (N, K, H, W), without gradients, batch by batch. Raises `LabError` unless the network gives
    finite (B, K) or (B, K, H, W)."""
    whole("batch_size", batch_size)
    with torch.no_grad():
        return torch.cat([scores(net, some) for some in batches(x, batch_size)])


def batches(x: Mapping[str, Tensor], size: int) -> Iterator[dict[str, Tensor]]:
    """{modality: (N, ...)} in pieces of at most `size` samples."""
    for i in range(0, len(next(iter(x.values()))), size):
        yield {name: values[i : i + size] for name, values in x.items()}


def scores(net: Network, x: Mapping[str, Tensor]) -> Tensor:
    """One call of the network: (B, K) or (B, K, H, W), checked.

    It is given copies, so that whatever it does to its input in place happens to them, and to no leaf.
    """
    n = len(next(iter(x.values())))
    z = net({name: values.clone() for name, values in x.items()})
    shown = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
    sound = isinstance(z, Tensor) and z.ndim in (2, 4) and len(z) == n
    way_out = "Wrap the network so that it returns one row of logits per sample."
    require(sound, "net(x)", shown, f"must be logits ({n}, classes)", way_out)
    require(bool(torch.isfinite(z).all()), "net(x)", "NaN or infinite values", "must be finite")
    return z


@dataclass(frozen=True, eq=False)
class Explained:
    """Which output of which class (N,) a network is asked for, {modality: (N, ...)} sample by sample.

    Of maps the classes are (N, H, W), and the output of a sample is the mean over its positions; those of -1
    are left out.
    """

    net: Network
    x: dict[str, Tensor]
    target: Tensor
    output: Output = "logit"
    batch_size: int = BATCH

    @classmethod
    def of(
        cls, net: Network, samples: NetInputs, target: str | int | Tensor, output: Output, batch_size: int
    ) -> tuple[Explained, Tensor]:
        """The question, see `targets`, and the (N, K) logits. Refuses a softmax over one logit."""
        one_of("output", output, OUTPUTS)
        z = logits(net, samples.x, batch_size=batch_size)
        rule = "is the same for every input when the network gives one logit"
        way_out = "Use output='logit', or a network of two logits."
        require(output == "logit" or z.shape[1] > 1, "output", output, rule, way_out)
        return cls(net, samples.x, targets(target, z, samples.labels), output, batch_size), z

    def read(self, z: Tensor) -> Numbers:
        """(..., N, K) logits -> (..., N): the output of each sample's class."""
        return output_of(z.double(), self.target, output=self.output).cpu().numpy()

    def value(self, x: Mapping[str, Tensor]) -> Numbers:
        """(N,) the output for other samples."""
        return self.read(logits(self.net, x, batch_size=self.batch_size))


def output_of(z: Tensor, target: Tensor, *, output: Output) -> Tensor:
    """(..., N, K) logits and (N,) classes -> (..., N): the output of each sample's class.

    (..., N, K, H, W) and (N, H, W) -> (..., N): the mean over the positions of a sample that have a class; 0
    where none has.
    """
    known = target >= 0
    if target.ndim > 1:
        z = z.movedim(-3, -1)
    if output == "probability":
        z = z.softmax(-1)
    elif output == "log_probability":
        z = z.log_softmax(-1)
    found = z.gather(-1, target.clamp(min=0).expand(z.shape[:-1]).unsqueeze(-1)).squeeze(-1)
    if target.ndim == 1:
        return found
    return (found * known).sum((-2, -1)) / known.sum((-2, -1)).clamp(min=1)


def targets(target: str | int | Tensor, z: Tensor, labels: Tensor | None) -> Tensor:
    """(N,) the class each sample is asked about, where the network gives `z` (N, K); of maps (N, H, W).

    `target` is 'predicted' (the class with the largest logit), 'label', one class number, or (N,) int64; of
    maps (N, H, W), where -1 leaves a position out. Raises `LabError` for anything else, 'label' without
    labels, or a class number out of range.
    """
    k, shape = z.shape[1], (len(z), *z.shape[2:])
    argument, found = "target", target
    if isinstance(target, str):
        one_of("target", target, TARGETS)
        if target == "predicted":
            return z.argmax(1)
        if labels is None:
            raise LabError("labels", None, "must be given when target='label'", "Or use target='predicted'.")
        argument, found = "labels", labels
    elif not isinstance(target, Tensor):
        found = torch.full(shape, whole("target", target, at_least=0))
    assert isinstance(found, Tensor)
    _int64(argument, found, shape)
    low, high = int(found.min()), int(found.max())
    shown = str(low) if low == high else f"classes {low} to {high}"
    require(
        low >= (0 if z.ndim == 2 else -1) and high < k,
        argument,
        shown,
        f"must lie between 0 and {k - 1} ({k} logits)",
    )
    return found.to(z.device)


def by_sample(target: Tensor) -> Tensor:
    """(N,) class numbers for a table: those asked about, or of maps 0 for each."""
    return target if target.ndim == 1 else torch.zeros_like(target[:, 0, 0])


def removal_of(removal: str | Removal, data: object, net: Network, *, seed: int = 0) -> Removal:
    """An operator by name, with the training means of a `PairedData`, or the operator itself.

    Raises `LabError` for a removal by mask that the network does not say it heeds.
    """
    if not isinstance(removal, Removal):
        paired = data if isinstance(data, PairedData) else None
        removal = removal_named(removal, paired, seed=derive(seed, "attribute", "views"))
    check_heeded(removal, net)
    return removal
