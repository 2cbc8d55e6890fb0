"""What a dataset of the catalogue is made of: its parameters and their checks. Imports no torch, no numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mmkd_lab.core.check import LabError, one_of, real, require, whole


@dataclass(frozen=True)
class Parameter:
    """One parameter of a dataset.

    Args:
        name: the keyword of `data.load`.
        kind: 'whole', 'real', 'text', 'flag', 'choice' (one of the options) or 'names' (several of them).
        default: its value when it is not given; None is allowed as a value exactly when the default is None
            or `optional` is set.
        help: one sentence, with the unit.
        options: what a 'text', or each of the 'names', may be; empty means anything.
        at_least, at_most, above: bounds of a number.
    """

    name: str
    kind: str
    default: object
    help: str
    options: tuple[object, ...] = ()
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    optional: bool = False

    def check(self, value: object) -> object:
        """Return `value` in its plain type. Raises `LabError` naming the parameter, its value, the rule."""
        if value is None and (self.optional or self.default is None):
            return None
        if self.kind == "whole":
            return self._whole(value)
        if self.kind == "real":
            low = self.at_least if self.at_least is not None else float("-inf")
            high = self.at_most if self.at_most is not None else float("inf")
            return real(self.name, value, at_least=low, at_most=high, above=self.above)
        if self.kind == "flag":
            require(isinstance(value, bool), self.name, value, "must be True or False")
            return value
        if self.kind == "names":
            return self._names(value)
        if self.kind == "choice":
            one_of(self.name, value, self.options)
            return next(option for option in self.options if option == value)  # a numpy number comes plain
        require(isinstance(value, str), self.name, value, "must be text", f"For example {self.default!r}.")
        if self.options:
            one_of(self.name, value, self.options)
        return value

    def _whole(self, value: object) -> int:
        number = whole(self.name, value, at_least=int(self.at_least if self.at_least is not None else 1))
        if self.at_most is not None:
            require(number <= self.at_most, self.name, value, f"must be at most {self.at_most:g}")
        return number

    def _names(self, value: object) -> tuple[str, ...]:
        if isinstance(value, str) or not isinstance(value, (list, tuple)):
            raise LabError(
                self.name, value, "must be a list of names", f"For example {list(self.options[:2])}."
            )
        for name in value:
            one_of(self.name, name, self.options)
        require(len(set(value)) == len(value), self.name, value, "must not name anything twice")
        return tuple(value)


@dataclass(frozen=True)
class Entry:
    """One dataset of the registry.

    Args:
        name: the first argument of `data.load`.
        summary: one sentence.
        modalities: the names its samples have.
        licence: of the data, not of the code.
        files: the downloads it needs, by their key in the manifest; empty when nothing must be downloaded.
        parameters: what `data.load` accepts.
        builder: 'module:function', called with every parameter.
    """

    name: str
    summary: str
    modalities: tuple[str, ...]
    licence: str
    files: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    builder: str

    def settings(self, given: Mapping[str, object]) -> dict[str, object]:
        """Every parameter with its value, checked. Raises `LabError` for an unknown one or a wrong value."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for name, value in given.items():
            if name not in known:
                one_of(f"parameter of {self.name!r}", name, sorted(known))
            known[name].check(value)
        return {name: known[name].check(given.get(name, known[name].default)) for name in known}


def sizes(train: int, val: int, test: int, *, at_most: tuple[int, int, int]) -> tuple[Parameter, ...]:
    """n_train, n_val and n_test with these defaults and bounds."""
    given = zip(("train", "val", "test"), (train, val, test), at_most, strict=True)
    return tuple(
        Parameter(f"n_{split}", "whole", size, f"number of {split} pairs", at_least=50, at_most=most)
        for split, size, most in given
    )


SEED = Parameter("seed", "whole", 0, "seed of the splits, the pairs and the noise", at_least=0)
MIRROR = Parameter(
    "mirror", "text", None, "folder to take the files from; default MMKD_LAB_MIRROR, else downloads"
)
PATH = Parameter("path", "text", None, "the array file itself, instead of a mirror")
