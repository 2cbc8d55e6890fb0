"""A published data set: what there is to say of it, and how its files become paired data."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmkd_lab.core.check import DamagedFile, LabError, UnreadableFile, path, writing
from mmkd_lab.core.fingerprint import digest
from mmkd_lab.core.places import FIXTURE_VARIABLE, PREPARED_VARIABLE, prepared_folder
from mmkd_lab.data.files import MIRROR_VARIABLE, mirror_folder
from mmkd_lab.data.published.recipes import Published
from mmkd_lab.data.registry import DATASETS, PUBLISHED

if TYPE_CHECKING:
    from mmkd_lab.data.paired import PairedData
    from mmkd_lab.data.published.sheet import Sheet

#: Samples of a fixture that stands in for a data set.
ENOUGH = 240


@dataclass(frozen=True)
class Download:
    """A file that anybody may fetch.

    Args:
        url: where it is.
        file: its name below the folder of the data set.
        size: bytes.
        digest: 'sha256:...' or 'md5:...' of all of it; '' where none is published.
        unpack: the folder into which it is unpacked, below that of the data set; None leaves it as it is.
    """

    url: str
    file: str
    size: int
    digest: str = ""
    unpack: str | None = None


@dataclass(frozen=True)
class Observation:
    """What looking at a data set found: 'ok', 'note' (a run goes on) or 'stop', and of what."""

    state: str
    subject: str
    text: str


@dataclass(frozen=True)
class Publication:
    """A published data set.

    Args:
        name: of the catalogue.
        title, licence, citation, home: for whoever wants to fetch it.
        read: (folder, recipe) -> `Sheet`; reads lists and names alone. Raises `DamagedFile` or `LabError`.
        fixture: (folder, samples) writes a set of this form into an empty folder.
        how: how to get what cannot be downloaded.
        megabytes: the size of the published files; None where it is not known.
        downloads: what `mmkd-lab data get` fetches.
        expected: {split: samples} of the whole set, to compare with; a loader demands none of it.
        examine: more to look at: (folder, recipe, sheet) -> findings.
    """

    name: str
    title: str
    licence: str
    citation: str
    home: str
    read: Callable[[Path, Any], Sheet]
    fixture: Callable[[Path, int], None]
    how: str
    megabytes: float | None = None
    downloads: tuple[Download, ...] = ()
    expected: Mapping[str, int] | None = None
    examine: Callable[[Path, Any, Sheet], Iterator[Observation]] | None = None

    def folder(self, recipe: Published, mirror: str | Path | None = None) -> Path:
        """Where the files are: a fixture, the recipe's `root`, or this set's folder of the mirror or the
        downloads. Raises `DamagedFile` where it is not there."""
        if is_fixture(recipe):
            return self.written()
        found = mirror_folder(self.name, mirror) if recipe.root is None else path("root", recipe.root)
        if not found.is_dir():
            way_out = (
                f"Run: mmkd-lab data get {self.name}, or set {MIRROR_VARIABLE}, or give the option root."
            )
            raise DamagedFile(str(found), "missing", f"must be the folder of {self.title}", way_out)
        return found

    def written(self, samples: int = ENOUGH) -> Path:
        """A fixture of so many samples, written once into the user's cache."""
        module = import_module(f"{PUBLISHED}.fixtures.{self.name}")
        source = Path(str(module.__file__)).read_text("utf-8")
        base = prepared_folder() / "fixtures"
        final = base / f"{self.name}-{digest([source, samples])}"
        if final.is_dir():
            return final
        with writing(PREPARED_VARIABLE, base):
            partial = base / f".{uuid.uuid4().hex}"
            partial.mkdir(parents=True)
            try:
                self.fixture(partial, samples)
                partial.rename(final)
            except OSError:
                if not final.is_dir():  # another process was not faster
                    raise
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        return final

    def sheet(self, recipe: Published, mirror: str | Path | None = None) -> Sheet:
        """What the lists say; notes tell where samples are missing, and that a fixture is none of the set."""
        sheet = self.read(self.folder(recipe, mirror), recipe)
        notes = [sheet.layout, *sheet.notes]
        if sheet.missing:
            notes.append(f"{len(sheet.missing):,} listed files are missing, as {sheet.missing[0]}")
        if is_fixture(recipe):
            notes.insert(0, f"a fixture: made data in the form of {self.title}, nothing of the set itself")
        return replace(sheet, notes=tuple(filter(None, notes)))

    def build(self, recipe: Published) -> PairedData:
        """The data set. Use `data.load(name, ...)`."""
        from mmkd_lab.data.published.assembly import assembled

        facts = {one.name: getattr(recipe, one.name) for one in fields(recipe)}
        facts = {name: value for name, value in facts.items() if name not in ("root", "jobs")}
        facts["fixture"] = is_fixture(recipe)
        try:
            return assembled(self.name, self.sheet(recipe), recipe, facts)
        except (DamagedFile, UnreadableFile):
            raise
        except LabError as error:  # of what the lists say together: a line may be missing anywhere
            way_out = f"{error.way_out}\nRead from {self.folder(recipe)}.".strip()
            raise LabError(error.argument, error.value, error.rule, way_out) from error


def is_fixture(recipe: Published) -> bool:
    """Whether made data stand in: the recipe says so, or MMKD_LAB_FIXTURE is 1."""
    return recipe.fixture or (recipe.root is None and os.environ.get(FIXTURE_VARIABLE) == "1")


def publication(name: str) -> Publication:
    """A published data set of the catalogue by name. Raises `LabError` for an unknown name."""
    module = import_module(DATASETS[name].origin)
    found: Publication = module.PUBLICATION
    return found
