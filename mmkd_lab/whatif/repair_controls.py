"""The controls of the repair panel, as far as data and networks are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmkd_lab.data import catalogue
from mmkd_lab.whatif.model import Control
from mmkd_lab.whatif.repair_bench import ARM, RATIOS, ChannelLayer
from mmkd_lab.whatif.repair_state import Own, RepairState

_HEAD = "what the head reads"
_GO = {
    "general": "the least general (keep general)",
    "specific": "the most general (keep specific)",
    "random": "some at random",
    "weight": "the least weighed by the head (keep large |W|)",
}
_SIZES = (("small: seconds", "small"), ("quick: minutes", "quick"), ("full: hours", "full"))
Options = tuple[tuple[str, object], ...]


def controls(
    state: RepairState, own: Own, modalities: Sequence[str], layers: Mapping[str, ChannelLayer]
) -> list[Control]:
    """Ratio, ranking, layer and seed; data, modalities, seeds and size behind 'more'.

    `modalities` of the data and `layers` of the teacher are empty until they are known.
    """
    head = state.layer not in layers or layers[state.layer].feeds_head
    ranks = tuple((_GO[one], one) for one in ARM if head or one != "weight" or one == state.ranking)
    named = [(_HEAD, ""), *((f"{name} ({one.channels})", name) for name, one in layers.items())]
    shown = tuple((f"seed {seed}", seed) for seed in range(state.seeds))
    found = [
        Control("ratio", "removed", "Share of the teacher's channels that goes.", "slider", RATIOS),
        Control("ranking", "which go", "By which ranking channels are removed.", "choice", ranks),
        Control(
            "layer", "layer", "Where channels go; how many there are.", "choice", _with(named, state.layer)
        ),
        Control("shown", "channels of", "Whose channels are drawn; each seed has its own.", "choice", shown),
        Control("data", "data", "The samples; the lab's, or yours.", "choice", _sets(state, own), True),
        *_readers(state, modalities),
        Control("seeds", "seeds", "How many pairs are trained.", "slider", (3, 5, 10, 20), True),
    ]
    if not own.options:
        found.append(Control("size", "size", "Of data, networks and training.", "choice", _SIZES, True))
    return found


def _readers(state: RepairState, modalities: Sequence[str]) -> list[Control]:
    others = [name for name in modalities if name != student_of(modalities, state)]
    students, teachers = _named(modalities[::-1], state.student), _named(others, state.teacher)
    return [
        Control("student", "student reads", "The student's modality.", "choice", students, True),
        Control("teacher", "teacher reads", "Another modality than the student's.", "choice", teachers, True),
    ]


def _sets(state: RepairState, own: Own) -> Options:
    """Data sets for which nothing must be downloaded, and the present one."""
    names = [entry.name for entry in catalogue() if entry.ready and len(entry.modalities) > 1]
    names = [*names, state.data] if own.data is None else [state.data]
    return tuple((name, name) for name in dict.fromkeys(names))


def student_of(modalities: Sequence[str], state: RepairState) -> str:
    """The student's modality: the last one where none is named; '' while the data is not known."""
    return state.student or (modalities[-1] if modalities else "")


def _named(modalities: Sequence[str], now: str) -> Options:
    """Modalities to choose from; the first stands where none is named."""
    named = [(name, "" if i == 0 and name != now else name) for i, name in enumerate(modalities)]
    return _with(named, now)


def _with(known: Sequence[tuple[str, object]], now: str) -> Options:
    """Options, the present one among them."""
    here = now in [value for _, value in known]
    return tuple(known) if here else (*known, (now or "not known yet", now))
