"""Datasets by name: the lab's own and yours, registered through one door. Imports no torch and no numpy."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from importlib import import_module
from typing import TYPE_CHECKING, Any, get_type_hints

from mmkd_lab.core.check import LabError, of_type, one_of
from mmkd_lab.core.config import call, plain
from mmkd_lab.core.registry import Registry

if TYPE_CHECKING:
    from mmkd_lab.data.paired import PairedData

Builder = Callable[..., "PairedData"]


@dataclass(frozen=True)
class Parameter:
    """One keyword of `data.load`: name, default (None too when it must be given), and what it means."""

    name: str
    default: object
    help: str


@dataclass(frozen=True)
class Entry:
    """One dataset of the registry.

    Args:
        summary: one sentence.
        builder: what makes it: a function, or 'module:function', imported when it is first loaded.
        recipe: a typed configuration (`core.config.config`) whose fields are the parameters; the builder gets
            it. None: the builder's own keywords are the parameters, checked by their annotations.
        modalities: the names its samples have.
        licence: of the data, not of the code.
        files: the downloads it needs, by their key in the manifest; empty when nothing must be downloaded.
        shipped: files that come with the lab.
        name: the first argument of `data.load`; set when it is registered.
    """

    summary: str
    builder: str | Builder
    recipe: type | None = None
    modalities: tuple[str, ...] = ()
    licence: str = ""
    files: tuple[str, ...] = ()
    shipped: tuple[str, ...] = ()
    name: str = ""

    @property
    def origin(self) -> str:
        """The module that makes the dataset: the lab's own are known by it."""
        if isinstance(self.builder, str):
            return self.builder.partition(":")[0]
        return str(getattr(self.builder, "__module__", ""))

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What `data.load` accepts."""
        if self.recipe is not None:
            known: dict[str, Any] = self.recipe.__pydantic_fields__  # type: ignore[attr-defined]
            return tuple(
                Parameter(one.name, _default(one.default), known[one.name].description or "")
                for one in fields(self.recipe)
            )
        found = inspect.signature(self.function()).parameters.values()
        hints = _hints(self.function())
        return tuple(
            Parameter(one.name, _default(one.default), hints.get(one.name, ""))
            for one in found
            if one.kind is not one.VAR_KEYWORD
        )

    def function(self) -> Builder:
        """The builder itself, imported if need be."""
        if not isinstance(self.builder, str):
            return self.builder
        module, _, name = self.builder.partition(":")
        function: Builder = getattr(import_module(module), name)
        return function

    def build(self, **given: object) -> PairedData:
        """The dataset; errors as in `load`."""
        from mmkd_lab.data.paired import PairedData

        function = self.function()
        open_ended = self.recipe is None and any(
            one.kind is one.VAR_KEYWORD for one in inspect.signature(function).parameters.values()
        )
        known = [one.name for one in self.parameters]
        for name in given if not open_ended else ():
            one_of(f"parameter of {self.name!r}", name, known)
        values = {name: plain(value) for name, value in given.items()}
        made = call(function, values) if self.recipe is None else function(self.recipe(**values))
        return of_type("dataset", made, PairedData, f"a PairedData, made by {self.name!r}")


#: Every dataset by its name, the lab's own first.
DATASETS: Registry[Entry] = Registry("dataset", home=["mmkd_lab.data.datasets"])


def register_dataset(name: str, entry: Entry | Builder | None = None) -> Any:  # noqa: ANN401 - see below
    """Make a dataset known by name: `data.load(name, ...)` and `data.catalogue()` then have it.

    Without an entry it is a decorator of the function that builds it, and leaves that as it is.

    Args:
        name: any name that the lab does not use; yours may be registered again.
        entry: a function whose keywords are the dataset's parameters and that returns a `PairedData`, or an
            `Entry` that says more of it.

    Raises:
        LabError: a name of the lab's own, or neither a function nor an `Entry`.
    """
    if entry is None:

        def register(function: Builder) -> Builder:
            register_dataset(name, function)
            return function

        return register
    if not isinstance(entry, Entry):
        if not callable(entry):
            raise LabError("entry", entry, "must be a function that returns a PairedData, or an Entry")
        entry = Entry((inspect.getdoc(entry) or "").partition("\n")[0], entry)
    named = Entry(**{one.name: getattr(entry, one.name) for one in fields(Entry)} | {"name": name})
    return DATASETS.register(name, named)


def catalogue() -> list[Entry]:
    """Every dataset, in the order in which they were registered: names, parameters and their defaults."""
    return list(DATASETS.values())


def load(name: str, **parameters: object) -> PairedData:
    """Build a dataset. `data.catalogue()` lists the names, their parameters and the defaults.

    Raises:
        LabError: an unknown name or parameter (the known ones are listed), or a wrong value.
        DamagedFile: a file it needs is missing, truncated or not what it should be.
    """
    return DATASETS[name].build(**parameters)


def _default(value: object) -> object:
    return None if value in (MISSING, inspect.Parameter.empty) else value


def _hints(function: Builder) -> dict[str, str]:
    """What the annotations say of each keyword, where they say anything and can be read."""
    try:
        found = get_type_hints(function, include_extras=True)
    except (NameError, TypeError):
        return {}
    told = {
        name: [getattr(one, "description", None) for one in getattr(hint, "__metadata__", ())]
        for name, hint in found.items()
    }
    return {name: next(filter(None, said), "") for name, said in told.items()}
