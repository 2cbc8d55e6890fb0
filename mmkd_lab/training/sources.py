"""What a study takes for a student or a teacher: a description, a function, a module, a table of outputs."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from mmkd_lab.core.check import LabError, of_type, require
from mmkd_lab.core.fingerprint import digest, digest_arrays, source_text
from mmkd_lab.core.seed import derive
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill.answers import Answers, read_answers
from mmkd_lab.distill.teacher_outputs import TeacherOutputs
from mmkd_lab.models.adapter import ModelAdapter
from mmkd_lab.models.layers import Wrapper, set_unit
from mmkd_lab.models.network import MultimodalNet
from mmkd_lab.models.removal import VALUES
from mmkd_lab.models.spec import NetSpec
from mmkd_lab.training.device import default_dtype, resolve
from mmkd_lab.training.inputs import fill_vocabulary
from mmkd_lab.training.recipe import Recipe, dtype_of, resolve_precision
from mmkd_lab.training.replicas import Replicas
from mmkd_lab.training.stacking import built, known_seeds

#: A module's or function's attribute that stands for all that cannot be read off its source, see `describe`.
VERSION = "mmkd_version"
_LIBRARIES = ("torch", "transformers", "mmkd_lab", "torchvision", "timm")


@dataclass(frozen=True, eq=False)
class Source:
    """Where networks, or the outputs of one, come from.

    Of the kinds 'spec' and 'function' make a fresh network for each seed; a 'module' has weights, which a
    teacher keeps and every student starts from; a 'table' has nothing but outputs. The other fields are as in
    `source_of`. In a regression networks answer in the target's unit; what a function makes is given it.
    """

    kind: Literal["spec", "function", "module", "table"]
    value: Any
    data: PairedData
    modalities: tuple[str, ...] | None = None
    argument: str = "module"

    @property
    def trains(self) -> bool:
        """Whether a teacher must be trained first; a module or a table knows something already."""
        return self.kind in ("spec", "function")

    @property
    def spec(self) -> NetSpec | None:
        """The description; None for everything else."""
        return self.value if isinstance(self.value, NetSpec) else None

    def alike(self, other: Source) -> bool:
        """Whether both describe networks of the same layers on the same modalities, in whatever words."""
        nets = [one._first.net for one in (self, other) if one.kind == "spec"]
        layers = [(getattr(net, "modalities", None), *built(net)[1:]) for net in nets]
        return len(layers) == 2 and layers[0] == layers[1]

    @cached_property
    def removals(self) -> tuple[str, ...] | None:
        """The names of the removals that its networks can do; None for a table, which answers no views."""
        return None if self.kind == "table" else tuple(getattr(self._first.net, "removals", VALUES))

    @cached_property
    def outputs(self) -> TeacherOutputs:
        """What a table says. Raises `LabError` for anything else, or a table that does not fit the data."""
        rule = "is no table of outputs: ask its replicas, see teacher_outputs()"
        require(self.kind == "table", self.argument, self.kind, rule)
        if isinstance(self.value, TeacherOutputs):
            return self.value.for_data(self.data)
        assert self.answers is not None
        return self.answers.outputs.for_data(self.data)

    @cached_property
    def answers(self) -> Answers | None:
        """A table of answers, with what was made of it; None for anything else."""
        if self.kind != "table" or isinstance(self.value, TeacherOutputs):
            return None
        return self.value if isinstance(self.value, Answers) else read_answers(self.value, self.data)

    def of(self, *modalities: str) -> Source:
        """The same description for networks that read these modalities alone.

        Raises `LabError` for anything that is no description, or an encoder that cannot read them.
        """
        rule = "must be a NetSpec to be had for other modalities"
        require(self.spec is not None, self.argument, self.value, rule)
        return source_of(self.value, argument=self.argument, data=self.data, modalities=modalities)

    def replicas(
        self, seeds: Iterable[int], *, device: str | torch.device = "auto", recipe: Recipe | None = None
    ) -> Replicas:
        """One network per seed, in the precision of the recipe. A function is called under the 'init' stream
        of each seed.

        Raises `LabError` for a table, a function that makes no module, or a network that cannot be used.
        """
        where = resolve(device)
        precision = "32-true" if recipe is None else resolve_precision(recipe, self._first.size, where)
        return self._made(known_seeds(seeds), where, dtype_of(precision))

    @cached_property
    def _first(self) -> Replicas:
        """One network, to look at."""
        return self._made((0,), torch.device("cpu"), torch.float32)

    def _made(self, seeds: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Replicas:
        if self.spec is not None:
            return Replicas.build(self.spec, self.data, seeds=seeds, device=device, dtype=dtype)
        rule = "is a table of outputs, and there is no network behind it"
        require(self.kind != "table", self.argument, self.value, rule, "Use it for a teacher.")
        nets = [self._module(seed) for seed in seeds]
        return Replicas.of(nets, data=self.data, seeds=seeds, device=device, dtype=dtype)

    def _module(self, seed: int) -> nn.Module:
        if isinstance(self.value, nn.Module):
            made: nn.Module = copy.deepcopy(self.value)
        else:
            # In double precision every processor draws the same.
            with torch.random.fork_rng(devices=[]), default_dtype(torch.float64):
                torch.manual_seed(derive(seed, "init"))
                made = self.value()
            of_type(self.argument, made, nn.Module, "a function that makes a torch.nn.Module")
        ready = isinstance(made, (MultimodalNet, Wrapper))
        net = made if ready else ModelAdapter(made, modalities=self.modalities)
        if self.kind == "function" and self.data.unit is not None:  # fresh weights know no unit
            set_unit(net.head if isinstance(net, MultimodalNet) else net, *self.data.unit)
        return net

    def describe(self) -> dict[str, object]:
        """Plain JSON values that name it in a key: what changes a result changes them.

        Of a module or function: its structure, its weights (a function's under seed 0) and the source text
        of its classes. What none of these show, such as a constant that a method reads from elsewhere or a
        class whose source Python cannot find, is for you to number: set an attribute `mmkd_version`.
        """
        return dict(self._described)

    @cached_property
    def _described(self) -> dict[str, object]:
        if self.spec is not None:
            return {"kind": self.kind, "spec": fill_vocabulary(self.spec, self.data).as_dict()}
        if self.kind == "table":
            return {"kind": self.kind, "outputs": self.outputs.digest()}
        net = self._first.net
        held = net.module if isinstance(net, Wrapper) else net
        layers = [(name, type(one).__qualname__, one.extra_repr()) for name, one in held.named_modules()]
        return {
            "kind": self.kind,
            "architecture": type(held).__name__,
            "modalities": getattr(net, "modalities", None),
            "structure": digest(layers),
            "weights": _weights(held),
            "source": digest(sorted(_sources(self.value, held))),
            "version": getattr(self.value, VERSION, getattr(held, VERSION, None)),
        }


def source_of(
    value: object, *, argument: str, data: PairedData, modalities: Sequence[str] | None = None
) -> Source:
    """What was given for a student or a teacher, tried on two samples of the data.

    Args:
        value: a `NetSpec`; a function without arguments that returns a fresh `nn.Module`; a module, also of
            the transformers library, with the weights it has; `TeacherOutputs`, `Answers`, or the path
            of a table of answers, see `distill.read_answers`.
        argument: what error messages call it.
        data: the samples.
        modalities: those that it may read; None for all.

    Raises:
        LabError: anything else; a network that cannot be called so, or with another number of logits than the
            data has classes; a table of other samples or classes.
    """
    names = None if modalities is None else tuple(modalities)
    kind: Literal["spec", "function", "module", "table"]
    if isinstance(value, NetSpec):
        kind, value = "spec", value if names is None else value.on(*names)
    elif isinstance(value, nn.Module):
        kind = "module"
    elif isinstance(value, (TeacherOutputs, Answers, str, Path)) or type(value).__name__ == "DataFrame":
        kind = "table"
    else:
        kinds = "a NetSpec, a function that makes a module, an nn.Module, TeacherOutputs or Answers"
        require(callable(value), argument, value, f"must be {kinds}")
        kind = "function"
    found = Source(kind, value, data, names, argument)
    if kind == "table":
        found.outputs  # noqa: B018 - read now, so that a wrong table is refused now
        return found
    try:
        one = found._first
    except LabError as error:
        if error.argument not in ("module", "modules"):
            raise
        raise LabError(argument, error.value, error.rule, error.way_out) from error
    with torch.inference_mode():
        shape = tuple(one.forward(one.prepare(data), shared=True).shape[1:])
    rule = f"must give one logit for each of the {data.num_classes} classes of {data.name}"
    require(len(shape) > 1 and shape[1] == data.num_classes, argument, f"logits {shape}", rule)
    return found


def _weights(net: nn.Module) -> str:
    named = ((name, value.detach().cpu()) for name, value in sorted(net.state_dict().items()))
    # numpy has no bfloat16
    wide = ((name, value.float() if value.dtype == torch.bfloat16 else value) for name, value in named)
    return digest_arrays((name, value.numpy()) for name, value in wide)


def _sources(value: object, net: nn.Module) -> set[str]:
    """The source text of a function, and of all classes in a network that no library brings."""
    classes = {kind for layer in net.modules() for kind in type(layer).__mro__}
    own = [kind for kind in classes if kind.__module__.partition(".")[0] not in (*_LIBRARIES, "builtins")]
    given = [] if isinstance(value, nn.Module) else [value]
    return {source_text(one) for one in (*given, *own)}
