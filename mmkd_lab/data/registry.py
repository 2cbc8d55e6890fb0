"""Datasets by name: the lab's own and yours, registered through one door. Imports no torch and no numpy."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, get_type_hints

from mmkd_lab.core.check import LabError, of_type, one_of
from mmkd_lab.core.config import call, plain
from mmkd_lab.core.registry import Registry

if TYPE_CHECKING:
    from mmkd_lab.data.paired import PairedData

Builder = Callable[..., "PairedData"]
#: The package of the published data sets.
PUBLISHED = "mmkd_lab.data.published"


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
        recipe: a `core.config.config` whose fields are the parameters, handed to the builder; None: the
            builder's own keywords are the parameters, checked by their annotations.
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
    def published(self) -> bool:
        """Whether it is read from the files of a publication, which `data.get` may have to fetch."""
        return self.origin.startswith(f"{PUBLISHED}.")

    @property
    def ready(self) -> bool:
        """Whether it can be loaded as the lab is installed, without any file."""
        return not self.files and not self.published

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What `data.load` accepts."""
        told = _told(self.recipe or self.function())
        if self.recipe is not None:
            found = [(one.name, one.default) for one in fields(self.recipe)]
        else:
            signature = inspect.signature(self.function()).parameters.values()
            found = [(one.name, one.default) for one in signature if one.kind is not one.VAR_KEYWORD]
        none = (MISSING, inspect.Parameter.empty)
        return tuple(Parameter(n, None if value in none else value, told.get(n, "")) for n, value in found)

    def function(self) -> Builder:
        """The builder itself, imported if need be. Raises `LabError` where that is not to be had."""
        if not isinstance(self.builder, str):
            return self.builder
        module, _, name = self.builder.partition(":")
        try:
            function: Builder = getattr(import_module(module), name)
        except Exception as error:  # whatever a package of somebody else's raises
            rule = f"cannot be had from {self.builder!r}: {type(error).__name__}: {error}"
            raise LabError("dataset", self.name, rule, "Repair or remove that package.") from error
        return function

    def build(self, **given: object) -> PairedData:
        """The dataset; errors as in `load`."""
        from mmkd_lab.data.paired import PairedData

        function, known = self.function(), [one.name for one in self.parameters]
        takes = inspect.signature(function).parameters.values()
        if self.recipe is not None or all(one.kind is not one.VAR_KEYWORD for one in takes):
            for name in given:
                one_of(f"parameter of {self.name!r}", name, known)
        values = {name: plain(value) for name, value in given.items()}
        made = call(function, values) if self.recipe is None else function(self.recipe(**values))
        return of_type("dataset", made, PairedData, f"a PairedData, made by {self.name!r}")


#: Every dataset by its name, the lab's own first, then those of installed packages.
DATASETS: Registry[Entry] = Registry(
    "dataset", home=["mmkd_lab.data.datasets", f"{PUBLISHED}.listed", "mmkd_lab.data.outside"]
)


def register(name: str, entry: Entry | Builder | None = None) -> Any:  # noqa: ANN401 - see below
    """Make a dataset known by name: `data.load(name, ...)` and `data.catalogue()` then have it.

    `entry` is a function whose keywords are the dataset's parameters and that returns a `PairedData`, or an
    `Entry` that says more of it; without one this is a decorator of such a function. A name of yours may be
    registered again. Raises `LabError` for a name of the lab's own, or an entry of another kind.
    """
    if entry is None:
        return lambda function: register(name, function) and function
    if not isinstance(entry, Entry):
        if not callable(entry):
            raise LabError("entry", entry, "must be a function that returns a PairedData, or an Entry")
        entry = Entry((inspect.getdoc(entry) or "").partition("\n")[0], entry)
    return DATASETS.register(name, replace(entry, name=name))


def catalogue() -> list[Entry]:
    """Every dataset, in the order in which they were registered: names, parameters and their defaults."""
    return list(DATASETS.values())


def load(name: str, **parameters: object) -> PairedData:
    """Build a dataset. `data.catalogue()` lists the names, their parameters and the defaults.

    'path/to/file.py:function' is a dataset, too: the file is run, and the function's keywords are its
    parameters.

    Raises:
        LabError: an unknown name or parameter (the known ones are listed), or a wrong value.
        DamagedFile: a file it needs is missing, truncated or not what it should be.
    """
    if not (isinstance(name, str) and ".py:" in name):
        return DATASETS[name].build(**parameters)
    from mmkd_lab.data.from_file import function_in

    return Entry("", function_in(name), name=name).build(**parameters)


def _told(made: type | Builder) -> dict[str, str]:
    """What the annotations say of each keyword, where they say anything and can be read."""
    if known := getattr(made, "__pydantic_fields__", None):
        return {name: one.description or "" for name, one in known.items()}
    try:
        found = get_type_hints(made, include_extras=True).items()
    except (NameError, TypeError):
        return {}
    said = {
        name: [getattr(one, "description", "") for one in getattr(hint, "__metadata__", ())]
        for name, hint in found
    }
    return {name: next(filter(None, texts), "") for name, texts in said.items()}
