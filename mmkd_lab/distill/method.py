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

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import WrapValidator
from torch import Tensor

from mmkd_lab.core.check import LabError, listing, require
from mmkd_lab.core.config import Positive, config
from mmkd_lab.core.fingerprint import digest, digest_arrays
from mmkd_lab.core.registry import Registry
from mmkd_lab.data.task import Task
from mmkd_lab.models.layers import HEAD as HEAD
from mmkd_lab.models.views import View

if TYPE_CHECKING:
    from mmkd_lab.data.paired import PairedData
    from mmkd_lab.distill.learned import LearnedWeights
    from mmkd_lab.distill.teacher_outputs import TeacherOutputs
    from mmkd_lab.distill.weights import Weighting

#: 'kl' is the true divergence; 'released' divides it by the number of classes too, see `losses.kd`.
Convention = Literal["kl", "released"]

#: The default of a field that `Method.bind` fills, and the types of such fields: None passes until then.
OPEN: Any = None
_OPEN = WrapValidator(lambda value, check: None if value is None else check(value))
OpenTemperature = Annotated[Positive, _OPEN]
OpenConvention = Annotated[Convention, _OPEN]
OpenTask = Annotated[Task, _OPEN]
OpenViews = Annotated[tuple[View, ...], _OPEN]
_OWED = ("views", "temperature", "task", "convention")

M = TypeVar("M", bound="type[Method]")


@dataclass(frozen=True, eq=False)
class Outputs:
    """What R networks say about one batch.

    Args:
        logits: (R, B, K), all modalities kept; for a dense task (R, B, K, H, W).
        views: the logits under other views, {view: (R, B, K)}.
        features: {layer: (R, B, F)}, all modalities kept; `HEAD` is what the head reads.
        view_features: what the head reads under other views, {view: (R, B, F)}.
        weights: on the teacher's side, the weight of each sample under a view, {view: (R, B)}.
    """

    logits: Tensor
    views: Mapping[View, Tensor] = field(default_factory=dict)
    features: Mapping[str, Tensor] = field(default_factory=dict)
    view_features: Mapping[View, Tensor] = field(default_factory=dict)
    weights: Mapping[View, Tensor] = field(default_factory=dict)

    def under(self, view: View) -> Tensor:
        """The logits under a view. Raises `LabError` when nobody computed them."""
        return _known("view", view, self.views)

    def at(self, layer: str = HEAD) -> Tensor:
        """The features of a layer. Raises `LabError` when nobody computed them."""
        return _known("layer", layer, self.features)

    def features_under(self, view: View) -> Tensor:
        """What the head reads under a view. Raises `LabError` when nobody computed it."""
        return _known("view of features", view, self.view_features)


def _known(argument: str, name: Any, named: Mapping[Any, Tensor]) -> Tensor:  # noqa: ANN401 - a view or a layer
    if name not in named:
        at_hand = listing([_plain(one) for one in named])
        raise LabError(argument, _plain(name), f"must be one whose outputs are at hand: {at_hand}")
    return named[name]


def changed(change: Callable[[list[Tensor]], Tensor], *several: Any) -> dict[str, Any]:  # noqa: ANN401
    """The fields of an `Outputs` or `TeacherOutputs` after the same change of every tensor.

    `change` is given that tensor of each of `several`, which hold the same views and layers.
    """
    named = {
        name: {key: change([getattr(one, name)[key] for one in several]) for key in getattr(several[0], name)}
        for name in ("views", "features", "view_features", "weights")
    }
    return {"logits": change([one.logits for one in several]), **named}


@dataclass(frozen=True)
class Needs:
    """What a method must be given beside the logits of the full input.

    Args:
        views: the views under which it compares student and teacher.
        student_layers: the student's layers whose features it reads, full input.
        teacher_layers: the teacher's.
        view_features: whether it reads what the head reads under `views`.
        teacher: whether it reads a teacher at all.
    """

    views: tuple[View, ...] = ()
    student_layers: tuple[str, ...] = ()
    teacher_layers: tuple[str, ...] = ()
    view_features: bool = False
    teacher: bool = True

    def __or__(self, other: Needs) -> Needs:
        """What two methods need together."""
        return Needs(
            tuple(dict.fromkeys(self.views + other.views)),
            tuple(dict.fromkeys(self.student_layers + other.student_layers)),
            tuple(dict.fromkeys(self.teacher_layers + other.teacher_layers)),
            self.view_features or other.view_features,
            self.teacher or other.teacher,
        )


@dataclass(frozen=True, eq=False)
class Context:
    """What a study knows and a method may want to know, see `Method.bind` and `Method.prepare`.

    Args:
        task: what the target is.
        temperature: T of every term on outputs.
        convention: 'kl' or 'released', see `kd_divergence`.
        views: the views of modality-specific terms, see `msd_views`.
        modalities: those the student reads.
        removal: the name of the operator that removes what a view does not keep.
        weighting: how modality-specific terms are weighed.
        learned: how weights are learned where they are.
        data: the samples.
        gate: {view: (R,) in [0, 1]}, what the teacher's unreliability leaves of a view's weights.
        others: the outputs of further teachers.
    """

    task: Task = Task.SINGLE_LABEL
    temperature: float = 1.0
    convention: Convention = "kl"
    views: tuple[View, ...] | None = None
    modalities: tuple[str, ...] = ()
    removal: str = "zeros"
    weighting: Weighting | None = None
    learned: LearnedWeights | None = None
    data: PairedData | None = None
    gate: Mapping[View, Tensor] | None = None
    others: Sequence[TeacherOutputs] = ()


class Method:
    """The base of all methods: a frozen dataclass whose fields are its hyper-parameters.

    A method is called with what R students and their teachers say and returns its terms by name, each (R,);
    the one under its own `name` is what is trained on, the others are parts of it to look at. No gradient may
    reach the teacher.
    """

    name: ClassVar[str]
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
        """What one student is handed of its teacher (R = 1), once and before training: what it needs.

        `seed` is the student's own, for whatever is drawn. Raises `LabError` for a view or layer that the
        teacher was not asked about.
        """
        needs = self.needs
        return teacher.only(
            views=needs.views,
            layers=needs.teacher_layers,
            view_features=needs.views if needs.view_features else (),
        )

    def parameters(
        self,
        student_features: Mapping[str, int],
        teacher_features: Mapping[str, int],
        *,
        seeds: Sequence[int],
    ) -> dict[str, Tensor]:
        """Parameters of its own that are trained with the student, {name: (R, ...)}, drawn per seed.

        The features are {layer: F}, of the layers that it needs.
        """
        return {}

    def __call__(
        self, student: Outputs, target: Tensor, teacher: Outputs, parameters: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """{name: (R,), part: (R,), ...} for target (R, B, ...)."""
        raise LabError("method", type(self).__name__, "must define __call__")

    def require_bound(self) -> None:
        """Raise `LabError` for a field that is still to be filled."""
        for one in fields(self):  # type: ignore[arg-type]
            open_ = one.name in _OWED and getattr(self, one.name) is None
            require(not open_, f"{type(self).__name__}.{one.name}", None, "must be given, or bound")

    def describe(self) -> dict[str, object]:
        """Plain JSON values that name it in a key: every field, and the source of a class of yours."""
        plain = {one.name: _plain(getattr(self, one.name)) for one in fields(self)}  # type: ignore[arg-type]
        source = source_digest(type(self))
        return {"method": self.name, **plain, **({"source": source} if source else {})}


@config
class FeatureMethod(Method):
    """The base of methods that compare features of the full input, of one layer on either side.

    Args:
        student_layer: where the student's features are taken, by the name of its submodule; by default what
            the head reads.
        teacher_layer: where the teacher's are. Both sides keep their own width.
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
    """A decorator that registers a method: a frozen dataclass derived from `Method`.

    Raises `LabError` for anything else, or for a name of the lab's own.
    """

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
    return digest([_source(one) for one in own]) if own else ""


def _source(cls: type) -> str:
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):
        # A notebook's class has no file: its functions have, or at least their bytecode.
        members = [getattr(one, "fget", one) for one in vars(cls).values()]
        return "".join(_function_source(one) for one in members if inspect.isfunction(one))


def _function_source(function: FunctionType) -> str:
    try:
        return inspect.getsource(function)
    except OSError:
        code = function.__code__
        plain = [one for one in code.co_consts if not isinstance(one, CodeType)]
        return repr((code.co_code, plain, code.co_names))


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
    if isinstance(value, type) or callable(value):
        return inspect.getsource(value)
    return value
