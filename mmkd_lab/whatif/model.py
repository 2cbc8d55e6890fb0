"""A laboratory without widgets: frozen states in, answers out.

A `Laboratory` says which controls it has and yields answers to a state, each better than the one before: a
panel shows them as they come, a notebook that runs headless takes the last, and both show the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import parse_qsl, quote, urlencode

from mmkd_lab.core.check import LabError, did_you_mean, of_type, require
from mmkd_lab.experiments.result import Study
from mmkd_lab.whatif import sweep
from mmkd_lab.whatif.answer import Answer
from mmkd_lab.whatif.scene import Scene, grid

S = TypeVar("S")
SHARE_STEP = 0.05  # of a slider from 0 to 1
#: Asked between two answers and inside long work: whether nobody waits for this state any more.
Stopped = Callable[[], bool]


@dataclass(frozen=True)
class Control:
    """One field of a state, as a person changes it.

    Args:
        name: the field.
        label: what stands before it.
        describe: what it does, in a sentence; shown on hover and read by screen readers.
        kind: 'share' (one of several that sum to 1, each with a lock), 'slider' (0 to 1, or through
            `options`), 'choice' (one of `options`), 'many' (some of `options`), 'flag' (yes or no).
        options: what can be chosen, in order.
        more: whether it may stand behind 'more'.
    """

    name: str
    label: str
    describe: str
    kind: Literal["share", "slider", "choice", "many", "flag"]
    options: tuple[Any, ...] = ()
    more: bool = False


@dataclass(frozen=True)
class Action:
    """A button: what it is called and what it does, in a sentence. Its name goes to `Laboratory.act`."""

    name: str
    label: str
    describe: str


class Laboratory(ABC, Generic[S]):
    """One kind of panel.

    Attributes:
        name: what links and files call it, for example 'world'.
        title: what stands above the panel.
        state: where it begins.
    """

    name: str
    title: str
    actions: tuple[Action, ...] = ()

    def __init__(self, state: S) -> None:
        self.state = state

    @abstractmethod
    def controls(self, state: S) -> Sequence[Control]:
        """The controls that a state has."""

    @abstractmethod
    def answers(self, state: S, stopped: Stopped) -> Iterator[Answer]:
        """Answers to a state, the first at once, the last final; ends early where `stopped()`."""

    def act(self, action: str, state: S, stopped: Stopped) -> Iterator[Answer]:
        """Do what a button says (train, say), with answers on the way."""
        raise LabError("action", action, "this laboratory has no such action")

    def change(self, state: S, name: str, value: object) -> S:
        """The state after a control was moved."""
        return replace(state, **{name: value})  # type: ignore[type-var]

    def value(self, state: S, name: str) -> Any:  # noqa: ANN401 - what the control holds
        """Where a control stands: the field of its name, unless a laboratory reads it otherwise."""
        return getattr(state, name)

    def twin_scene(self, answer: Answer) -> Scene:
        """Which picture of an answer is shown among the small multiples: the first."""
        return next(iter(answer.scenes.values()))

    # What every laboratory can do.

    def answer(self, state: S | None = None) -> Answer:
        """The final answer to a state, the laboratory's own when None."""
        return list(self.answers(self.state if state is None else state, lambda: False))[-1]

    def settled(self, state: S | None = None) -> Answer:
        """The first answer to a state (its own when None) whose numbers will not change any more."""
        for found in self.answers(self.state if state is None else state, lambda: False):
            if found.settled:
                break
        return found

    def sweep(self, **over: Sequence[Any]) -> Study:
        """A study of one control at several values: `whatif.world().sweep(gamma=(0.0, 0.5, 1.0))`.

        One column of its table is the control's; the verdict says how each number differs between the first
        value and the last. Raises `LabError` for another control than there is, or fewer than two values.
        """
        return sweep.study(self, over)

    def twin(self, **over: Sequence[Any]) -> tuple[Scene, list[str]]:
        """What stands for the panel in a stored notebook, and its sentences.

        Small multiples of a control at several values; without one, all pictures of the state.
        """
        if not over:
            only = self.answer()
            return only.scene(), [only.sentence]
        found = {title: self.settled(state) for title, state in sweep.states(self, over).items()}
        told = [f"{title}: {one.sentence}" for title, one in found.items()]
        scenes = [self.twin_scene(one) for one in found.values()]
        return grid(scenes, columns=2, titles=list(found), told=" ".join(told)), told

    def show(self, **over: Sequence[Any]) -> None:
        """Display the panel; where MMKD_LAB_STATIC=1 its static twin, over one control's values if given."""
        from mmkd_lab.whatif.panel import show

        show(self, over)

    def link(self, state: S | None = None) -> str:
        """A short text that restores a state: the laboratory's name and what differs from its defaults."""
        state = self.state if state is None else state
        plain = asdict(type(state)())  # type: ignore[call-overload]
        given = {k: _text(v) for k, v in asdict(state).items() if v != plain[k]}  # type: ignore[call-overload]
        return f"{self.name}?{urlencode(given, quote_via=quote, safe=',')}" if given else self.name

    def restore(self, link: str) -> S:
        """The state of a link. Raises `LabError` for one of another laboratory, or with unknown fields."""
        name, _, query = of_type("link", link, str, "text such as 'world?gamma=0.4'").strip().partition("?")
        require(name == self.name, "link", link, f"must begin with {self.name!r}")
        plain, given = type(self.state)(), dict(parse_qsl(query, keep_blank_values=True))
        known = [field.name for field in fields(plain)]  # type: ignore[arg-type]
        for field in given:
            require(field in known, "link", link, f"{field!r} is none of {known}", did_you_mean(field, known))
        return self.made({name: _value(name, text, getattr(plain, name)) for name, text in given.items()})

    def made(self, fields: Mapping[str, object]) -> S:
        """The state of some fields, the others at their defaults."""
        return type(self.state)(**fields)

    def python(self, state: S | None = None) -> str:
        """The Python call that shows a state."""
        return f"whatif.open({self.link(state)!r}).show()"

    def command(self, state: S | None = None) -> str:
        """The papermill command that makes the notebook of a state."""
        quoted = self.link(state)
        return f"papermill notebooks/05_what_if.ipynb what_if.ipynb -p link {quoted!r}"


def _text(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value))
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _value(name: str, text: str, plain: object) -> object:
    """A field's value from its text, by the kind of its default."""
    if isinstance(plain, bool):
        require(text in ("True", "False"), name, text, "must be True or False")
        return text == "True"
    if isinstance(plain, tuple):
        return tuple(text.split(",")) if text else ()
    if isinstance(plain, (int, float)):
        kind = type(plain)
        try:
            return kind(text)
        except ValueError as error:
            raise LabError(name, text, "must be a number") from error
    return text
