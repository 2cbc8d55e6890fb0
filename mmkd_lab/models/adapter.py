"""Your own network in the lab: any module that makes logits of one or several modalities."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from inspect import Parameter, signature
from typing import Literal

import torch
from torch import Tensor, nn

from mmkd_lab.core.check import LabError, flat, listing, of_type, require
from mmkd_lab.data.text import PAD
from mmkd_lab.models.layers import Wrapper, in_unit, named_layers
from mmkd_lab.models.removal import are_ids, modality_names

#: How often a module that draws random numbers in evaluation is asked whether they matter.
_TIMES = 32
#: How far two answers to one question may be apart, relative to the larger logits: GPUs add in any order.
_SAME = 1e-3
_MASK = "attention_mask"


@dataclass(frozen=True)
class Calling:
    """How a module is called: with the 'mapping' {modality: tensor}, tensors in 'order', or 'keywords'.

    `modalities` are handed over in this order, () being all; `keywords` is {modality: keyword}; `padding` is
    the modality of token ids that `attention_mask` is made of.
    """

    style: Literal["mapping", "order", "keywords"]
    modalities: tuple[str, ...] = ()
    keywords: Mapping[str, str] = field(default_factory=dict)
    padding: str | None = None

    def __call__(self, module: nn.Module, x: Mapping[str, Tensor]) -> object:
        """What the module makes of {modality: (B, ...)}."""
        given = {name: x[name] for name in self.modalities or modality_names(x)}
        if self.style == "mapping":
            return module(given)
        if self.style == "order":
            return module(*given.values())
        named = {self.keywords[name]: values for name, values in given.items()}
        if self.padding is not None:
            said = x[self.padding] != PAD
            # A text of padding alone is what putting zeros in its place leaves: all of it is attended to.
            named[_MASK] = (said | ~said.any(-1, keepdim=True)).long()
        return module(**named)

    def __str__(self) -> str:
        """`module(image, input_ids=text)`, for error messages."""
        if self.style == "mapping":
            return "module({modality: tensor})"
        shown = [f"{self.keywords[n]}={n}" if n in self.keywords else n for n in self.modalities]
        return f"module({', '.join(shown)})"


class ModelAdapter(Wrapper):
    """Any `nn.Module` as a network of the lab, for replicas, `fit`, `evaluate` and studies.

    How it is called is worked out of its signature and one try on a few samples: with tensors named as the
    modalities, with Hugging Face's names (`input_ids` and its `attention_mask` for token ids padded with 0,
    `pixel_values` for pictures, `input_values` for other signals), with {modality: tensor}, or, where it
    takes as many arguments as it reads modalities, with one tensor each. It answers with logits (B, K), for a
    dense task (B, K, H, W), or with something that holds them as `.logits`.

    Args:
        module: the network; used, not copied.
        modalities: those it reads, in the order of its arguments; None to find out.
        head: the name of the layer whose input counts as the features; None for the linear layer that makes
            the logits.

    Raises `LabError` for no module or a head that it lacks; at the first samples, for one that cannot be
    called with these modalities, answers with no logits, or differently in evaluation mode; for a removal by
    mask.
    """

    def __init__(
        self, module: nn.Module, *, modalities: Sequence[str] | None = None, head: str | None = None
    ) -> None:
        super().__init__()
        rule = "a torch.nn.Module"
        of_type("module", module, nn.Module, rule, "A function that makes one: call it first.")
        self.module: nn.Module = getattr(module, "_orig_mod", module)  # what torch.compile was given
        self.modalities = None if modalities is None else _names(modalities)
        self.head_name = head
        if head is not None:
            require(head in named_layers(self), "head", head, f"must be one of {listing(self.layer_names)}")
        self.calling: Calling | None = None
        self.copies = False

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        """{modality: (B, ...)} -> logits (B, K)."""
        self.refuse_masks(x)
        if self.calling is None:
            self.prepare(x)
        assert self.calling is not None
        for name in self.calling.modalities:
            require(name in x, "x", sorted(x), f"this network reads {listing(self.calling.modalities)}")
        given = {name: values.clone() for name, values in x.items()} if self.copies else x
        logits = _logits(self.calling(self.module, given))
        if logits is None:
            raise LabError("module", self.architecture, "must answer with logits, in training too")
        return in_unit(self, logits)

    def prepare(self, x: Mapping[str, Tensor], *, argument: str = "module") -> None:
        """Find out how the module is called, by trying it on a few samples, and look at its answer.

        Raises `LabError` that names `argument`, see the class.
        """
        with _trying(self.module):
            calling, logits = self._first_try(x, argument)
            self._look_at(logits, calling, x, argument)
        self.calling = calling
        if calling.modalities:
            self.modalities = calling.modalities

    def _first_try(self, x: Mapping[str, Tensor], argument: str) -> tuple[Calling, Tensor]:
        failed = []
        for calling in [self.calling] if self.calling else _callings(self.module, self.modalities, x):
            try:
                logits = _logits(calling(self.module, _copied(x)))
            except Exception as error:  # whatever somebody else's code raises
                failed.append(f"{calling} raised {type(error).__name__}: {error}")
                continue
            if logits is not None:
                return calling, logits
            failed.append(f"{calling} gave no tensor and nothing with .logits")
        wants = f"it takes {signature(self.module.forward)}"
        rule = f"cannot be called with {listing(list(modality_names(x)))}: {'; '.join(failed) or wants}"
        way_out = "Say what it reads, in the order of its arguments: ModelAdapter(module, modalities=(...))."
        if any(values.dtype == torch.float64 for values in x.values()):
            way_out += " If it makes single-precision tensors by itself: Recipe(precision='32-true')."
        raise LabError(argument, type(self.module).__name__, rule, way_out)

    def _look_at(self, logits: Tensor, calling: Calling, x: Mapping[str, Tensor], argument: str) -> None:
        shown, count = type(self.module).__name__, len(next(iter(x.values())))
        fine = logits.ndim >= 2 and len(logits) == count and logits.is_floating_point()
        rule = f"must give logits ({count}, classes) for {count} samples, and gives {tuple(logits.shape)}"
        require(fine, argument, shown, rule, "Wrap it in a module that does.")
        given, seen = _copied(x), dict[str, list[Tensor]]()
        linear = {name: one for name, one in named_layers(self).items() if isinstance(one, nn.Linear)}
        hooks = [one.register_forward_hook(_keeper(seen, name)) for name, one in linear.items()]
        before = _generators()
        try:
            again = _logits(calling(self.module, given))
        finally:
            for hook in hooks:
                hook.remove()
        assert again is not None
        # Who drew may have drawn the same by chance: a rare dropout on two samples.
        more = 0 if all(map(torch.equal, before, _generators())) else _TIMES
        every = torch.stack([again, *(_logits(calling(self.module, _copied(x))) for _ in range(more))])  # type: ignore[list-item]
        apart = (every - logits).abs().max() if logits.isfinite().all() else torch.zeros(())
        rule = "gives other logits for the same samples in evaluation mode: it draws random numbers there"
        way_out = "Give self.training to functional.dropout, or use nn.Dropout."
        require(bool(apart <= _SAME * logits.abs().max()), argument, shown, rule, way_out)
        self.copies = any(not torch.equal(given[name], values) for name, values in x.items())
        if self.head_name is None:
            once = {name: outs[0] for name, outs in seen.items() if len(outs) == 1}
            ends = [name for name, out in once.items() if torch.equal(out, again)]
            self.head_name = ends[-1] if ends else None


def _callings(module: nn.Module, given: tuple[str, ...] | None, x: Mapping[str, Tensor]) -> Iterator[Calling]:
    """The ways in which a module might be called, the surest first."""
    here = [name for name in x if name in modality_names(x)]
    for name in given or ():
        require(name in here, "modalities", name, f"must be one of {listing(here)}")
    names = list(given or here)
    parameters = signature(module.forward).parameters.values()
    takes = [one for one in parameters if one.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)]
    required = [one.name for one in takes if one.default is Parameter.empty]
    keywords = _keywords(names, [one.name for one in takes], x)
    complete = set(required) <= set(keywords.values()) and (given is None or len(keywords) == len(names))
    if keywords and complete:
        ids = [name for name, keyword in keywords.items() if keyword == "input_ids"]
        masked = bool(ids) and _MASK in {one.name for one in takes}
        yield Calling("keywords", tuple(keywords), keywords, ids[0] if masked else None)
    if len(required) <= 1:
        yield Calling("mapping", tuple(given or ()))
    # Names that do not match could be in any order: the user has to say which.
    many = any(one.kind is Parameter.VAR_POSITIONAL for one in parameters)
    if len(names) == 1 or (given is not None and (many or len(required) == len(names))):
        yield Calling("order", tuple(names))


def _keywords(names: Sequence[str], takes: Sequence[str], x: Mapping[str, Tensor]) -> dict[str, str]:
    """{modality: keyword}, for those that the module has a keyword for."""
    found: dict[str, str] = {}
    for name in names:
        theirs = "input_ids" if are_ids(x[name]) else "pixel_values" if x[name].ndim == 4 else "input_values"
        keyword = name if name in takes else theirs if theirs in takes else None
        if keyword is None:
            continue
        twice = [other for other, taken in found.items() if taken == keyword]
        rule = f"could both be {keyword!r}: say which it reads"
        require(not twice, "modalities", (*twice, name), rule, "ModelAdapter(module, modalities=(...)).")
        found[name] = keyword
    return found


def _logits(out: object) -> Tensor | None:
    if not isinstance(out, Tensor):
        out = out.get("logits") if isinstance(out, Mapping) else getattr(out, "logits", None)
    return out if isinstance(out, Tensor) else None


@contextmanager
def _trying(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, no gradients; afterwards every layer's own mode, and torch's generator, as before."""
    before = [(layer, layer.training) for layer in module.modules()]
    module.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            yield
    finally:
        for layer, mode in before:
            layer.training = mode


def _generators() -> list[Tensor]:
    """The states of torch's global generators."""
    gpus = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if gpus else ())]


def _copied(x: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: values.detach().clone() for name, values in x.items()}


def _keeper(seen: dict[str, list[Tensor]], name: str) -> Callable[..., None]:
    def keep(_module: nn.Module, _args: object, out: object) -> None:
        if isinstance(out, Tensor):
            seen.setdefault(name, []).append(out.clone())

    return keep


def _names(modalities: object) -> tuple[str, ...]:
    listed = flat("modalities", modalities, "a sequence of names or None", "For example ('image',).")
    return tuple(of_type("modalities", name, str, "names") for name in listed)
