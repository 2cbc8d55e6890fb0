"""mosei: how positive is what somebody says? CMU-MOSEI, Zadeh et al. 2018, from -3 to 3; see `mosi`."""

from __future__ import annotations

from pathlib import Path

from mmkd_lab.data.published import recipes
from mmkd_lab.data.published.fixtures import mosei as fixture
from mmkd_lab.data.published.publication import Publication
from mmkd_lab.data.published.sets import mosi
from mmkd_lab.data.published.sheet import Sheet


def read(folder: Path, recipe: recipes.Mosei) -> Sheet:
    """The segments, by split. Raises `DamagedFile`."""
    return mosi.sheet_of(folder, recipe, "MOSEI")


PUBLICATION = Publication(
    name="mosei",
    title="CMU-MOSEI",
    licence="none stated for the features; the videos belong to their makers",
    citation="Zadeh, Liang, Poria, Cambria, Morency: CMU-MOSEI, ACL 2018; features of MMSA, AAAI 2021",
    home="https://github.com/thuiar/MMSA",
    read=read,
    fixture=fixture.write,
    how=mosi.PUBLICATION.how.replace("MOSI", "MOSEI"),
    expected={"train": 16326, "val": 1871, "test": 4659},
    examine=mosi.examine({"aligned": "45eccfb7", "unaligned": "ad8b23d5"}),
)
build = PUBLICATION.build
