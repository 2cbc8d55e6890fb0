"""What every distillation method is: terms of a loss, from what students and teachers say about a batch.

A method is one file: a frozen configuration that derives from `Method` and is registered by name.

    @register_method("logit_distance")
    @config
    class LogitDistance(Method):
        power: Positive = 2.0

        def __call__(self, student, target, teacher, parameters):
            apart = (student.logits - teacher.logits).abs() ** self.power
            return {self.name: apart.mean(dim=(-2, -1))}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import WrapValidator
from torch import Tensor

from mmkd_lab.core.check import LabError, listing, require
from mmkd_lab.core.config import config
from mmkd_lab.core.fingerprint import digest, digest_arrays, source_text
from mmkd_lab.core.registry import Registry
from mmkd_lab.data.task import Task
from mmkd_lab.models.layers import HEAD as HEAD
from mmkd_lab.models.views import View

if TYPE_CHECKING:
    from mmkd_lab.data.paired import PairedData
    from mmkd_lab.distill.learned import LearnedWeights
    from mmkd_lab.distill.teacher_outputs import TeacherOutputs
    from mmkd_lab.distill.weights import Weighting

T = TypeVar("T")
M = TypeVar("M", bound="type[Method]")

#: 'kl' is the true divergence; 'released' divides it by the number of classes too, see `losses.kd`.
Convention = Literal["kl", "released"]
#: A field that `Method.bind` fills is declared `name: Open[type] = OPEN`: None passes until then.
Open = Annotated[T, WrapValidator(lambda value, check: None if value is None else check(value))]
OPEN: Any = None

#: The tasks whose outputs are laws over classes.
CLASSES = (Task.SINGLE_LABEL, Task.MULTI_LABEL, Task.DENSE)
#: Terms by name, each (R,), or parameters by name, each (R, ...); and the features' lengths by layer.
Tensors = dict[str, Tensor]
Widths = Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Outputs:
    """What R networks say about one batch.

    `logits` (R, B, K), for a dense task (R, B, K, H, W), of the full input, and {view: the same} under other
    `views`; `features` {layer: (R, B, F)} of the full input, `HEAD` being what the head reads, and
    `view_features` {view: (R, B, F)} what it reads under other views; on the teacher's side `weights`
    {view: (R, B)}, of each sample, and `answered` (R, B) bool, None where it answered for all; on the
    student's `epoch`, from 1, None outside training, and `counts` (R, B), how much each label counts, None
    where all count alike. Its methods raise `LabError` for what nobody computed.
    """

    logits: Tensor
    views: Mapping[View, Tensor] = field(default_factory=dict)
    features: Mapping[str, Tensor] = field(default_factory=dict)
    view_features: Mapping[View, Tensor] = field(default_factory=dict)
    weights: Mapping[View, Tensor] = field(default_factory=dict)
    epoch: int | None = None
    answered: Tensor | None = None
    counts: Tensor | None = None

    def under(self, view: View) -> Tensor:
        """The logits under a view."""
        return known("view", view, self.views)

    def at(self, layer: str = HEAD) -> Tensor:
        """The features of a layer."""
        return known("layer", layer, self.features)

    def features_under(self, view: View) -> Tensor:
        """What the head reads under a view."""
        return known("view of features", view, self.view_features)


def known(argument: str, name: Any, named: Mapping[Any, Tensor]) -> Tensor:  # noqa: ANN401 - a view or a layer
    """One of several by its name. Raises `LabError` when it is not there."""
    if name not in named:
        at_hand = listing([_plain(one) for one in named])
        raise LabError(argument, _plain(name), f"must be one whose outputs are at hand: {at_hand}")
    return named[name]


def changed(change: Callable[[list[Tensor]], Tensor], *several: Any) -> dict[str, Any]:  # noqa: ANN401
    """The fields of an `Outputs` or `TeacherOutputs` after the same change of every tensor: `change` is given
    that tensor of each of `several`, which hold the same views and layers."""
    named: dict[str, Any] = {
        name: {key: change([getattr(one, name)[key] for one in several]) for key in getattr(several[0], name)}
        for name in ("views", "features", "view_features", "weights")
    }
    if getattr(several[0], "answered", None) is not None:
        named["answered"] = change([one.answered for one in several])
    return {"logits": change([one.logits for one in several]), **named}


@dataclass(frozen=True)
class Needs:
    """What a method must be given beside the logits of the full input: views under which it compares both
    sides, layers whose features (full input) it reads of either side, what the head reads under its views,
    and whether it reads a teacher at all."""

    views: tuple[View, ...] = ()
    student_layers: tuple[str, ...] = ()
    teacher_layers: tuple[str, ...] = ()
    view_features: bool = False
    teacher: bool = True

    def __or__(self, other: Needs) -> Needs:
        pairs = ((getattr(self, one.name), getattr(other, one.name)) for one in fields(self))
        both: list[Any] = [tuple(dict.fromkeys(a + b)) if isinstance(a, tuple) else a or b for a, b in pairs]
        return Needs(*both)


@dataclass(frozen=True, eq=False)
class Context:
    """What a study knows and a method may want to know, see `Method.bind` and `Method.prepare`.

    Terms on outputs take its task, temperature and convention, modality-specific ones its views (see
    `msd_views`), and how these are weighed or learn to be. The student reads `modalities`; `removal` names
    what removes the rest. `gate` {view: (R,) in [0, 1]} is what the teacher's unreliability leaves of a
    view's weights, `class_weights` are of the labels, `others` are the outputs of further teachers.
    """

    task: Task = Task.SINGLE_LABEL
    temperature: float = 1.0
    convention: Convention = "kl"
    views: tuple[View, ...] | None = None
    modalities: tuple[str, ...] = ()
    removal: str = "zeros"
    weighting: Weighting | None = None
    learned: LearnedWeights | None = None
    class_weights: tuple[float, ...] | None = None
    data: PairedData | None = None
    gate: Mapping[View, Tensor] | None = None
    others: Sequence[TeacherOutputs] = ()


class Method:
    """The base of all methods: a frozen dataclass whose fields are its hyper-parameters.

    It is called with what R students and their teachers say and returns its terms by name, each (R,); the one
    under its own `name` is trained on, the others are parts to look at. No gradient may reach the teacher.

    `by_sample` says that each term is a mean over samples, every one by itself, of what is 0 where both
    sides' logits agree. Only such a method can be had of a teacher that has not answered for every sample.
    """

    name: ClassVar[str]
    by_sample: ClassVar[bool] = False
    tasks: ClassVar[tuple[Task, ...]] = tuple(Task)

    @property
    def needs(self) -> Needs:
        """What it reads beside the logits of the full input."""
        return Needs()

    def asks(self, context: Context) -> tuple[View, ...]:
        """The views that its teacher is asked about: those it needs, and what `prepare` reads beside them."""
        return self.needs.views

    def bind(self, context: Context) -> Self:
        """The same with every field that is None filled from the context's attribute of that name."""
        found = {
            one.name: getattr(context, one.name)
            for one in fields(self)  # type: ignore[arg-type]
            if getattr(self, one.name) is None and getattr(context, one.name, None) is not None
        }
        return replace(self, **found) if found else self  # type: ignore[type-var]

    def prepare(self, teacher: TeacherOutputs, context: Context, *, seed: int) -> TeacherOutputs:
        """What one student is handed of its teacher (R = 1), once and before training: what it needs. `seed`
        is the student's own. Raises `LabError` for a view or layer the teacher was not asked about."""
        needs, views = self.needs, self.needs.views
        heads = views if needs.view_features else ()
        return teacher.only(views=views, layers=needs.teacher_layers, view_features=heads)

    def parameters(self, student: Widths, teacher: Widths, *, seeds: Sequence[int]) -> Tensors:
        """Parameters that are trained with the student, {name: (R, ...)}, drawn per seed from {layer: F}."""
        return {}

    def __call__(self, student: Outputs, target: Tensor, teacher: Outputs, parameters: Tensors) -> Tensors:
        """{name: (R,), part: (R,), ...} for target (R, B, ...)."""
        raise LabError("method", type(self).__name__, "must define __call__")

    def describe(self) -> dict[str, object]:
        """Plain JSON values that name it in a key: every field, and the source of a class of yours."""
        plain = {one.name: _plain(getattr(self, one.name)) for one in fields(self)}  # type: ignore[arg-type]
        source = source_digest(type(self))
        return {"method": self.name, **plain, **({"source": source} if source else {})}


@config
class FeatureMethod(Method):
    """The base of methods that compare features of the full input, of one layer on either side.

    A layer is named as the submodule is; by default it is what the head reads. Both sides keep their width.
    """

    student_layer: str = field(default=HEAD, kw_only=True)
    teacher_layer: str = field(default=HEAD, kw_only=True)

    @property
    def needs(self) -> Needs:
        """Features of the full input."""
        return Needs(student_layers=(self.student_layer,), teacher_layers=(self.teacher_layer,))

    def pair(self, student: Outputs, teacher: Outputs) -> tuple[Tensor, Tensor]:
        """The features of both, (R, B, F) and (R, B, F')."""
        return student.at(self.student_layer), teacher.at(self.teacher_layer)


METHODS: Registry[type[Method]] = Registry("method", home=("mmkd_lab.distill.losses",))


def register_method(name: str) -> Callable[[M], M]:
    """A decorator that registers a method. Raises `LabError` for anything but a dataclass derived from
    `Method`, or for a name of the lab's own."""

    def register(cls: M) -> M:
        fits = isinstance(cls, type) and issubclass(cls, Method) and is_dataclass(cls)
        require(fits, "method", cls, "must be a dataclass derived from Method", "Decorate it with @config.")
        cls.name = name
        METHODS.register(name, cls)
        return cls

    return register


def source_digest(cls: type) -> str:
    """A digest of the source of a class and of its bases that are not of this package; '' when all are."""
    ours = __name__.partition(".")[0]
    own = [one for one in cls.__mro__ if one.__module__.partition(".")[0] not in (ours, "builtins")]
    return digest([source_text(one) for one in own]) if own else ""


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, View):
        return value.label
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Tensor):
        return digest_arrays([("", value.detach().cpu().numpy())])
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(one) for key, one in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    return source_text(value) if callable(value) else value
