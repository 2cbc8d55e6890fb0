"""crisismmd: what a post of a disaster tells, by its text and its picture.

Alam, Ofli and Imran 2018, version 2. Tables with tabs, in which quotation marks mean nothing, for three kinds
of label; of all posts, or of those whose text and picture were given the same label. Or MST-Distill's file of
features of all posts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmkd_lab.core.check import DamagedFile, require
from mmkd_lab.data.published.fixtures.crisismmd import write
from mmkd_lab.data.published.items import PictureFile
from mmkd_lab.data.published.publication import Download, Publication
from mmkd_lab.data.published.recipes import Crisismmd
from mmkd_lab.data.published.sets.crisismmd_features import of_features
from mmkd_lab.data.published.sheet import Column, Sheet
from mmkd_lab.data.published.tables import Record, csv_rows, distinct, inside
from mmkd_lab.data.published.there import first_folder, seen, there
from mmkd_lab.data.task import Task

#: By name, in the order of the alphabet.
CLASSES = {
    "humanitarian": (
        "affected_individuals",
        "infrastructure_and_utility_damage",
        "injured_or_dead_people",
        "missing_or_found_people",
        "not_humanitarian",
        "other_relevant_information",
        "rescue_volunteering_or_donation_effort",
        "vehicle_damage",
    ),
    "informative": ("informative", "not_informative"),
    "damage": ("little_or_no_damage", "mild_damage", "severe_damage"),
}
_LISTS = {
    "all": ("crisismmd_datasplit_all", "task_{}_text_img_{}.tsv"),
    "agreed": ("crisismmd_datasplit_agreed_label", "task_{}_text_img_agreed_lab_{}.tsv"),
}
_SPLITS = {"test": "test", "dev": "val", "train": "train"}  # the order in which a post is given to one
_COLUMNS = ("event_name", "tweet_id", "image_id", "tweet_text", "image")


@dataclass(frozen=True)
class _Post:
    id: str
    tweet: str
    split: str
    label: str
    row: Record


def read(folder: Path, recipe: Crisismmd) -> Sheet:
    """What the lists say. image: (3, height, width); text: that of the post. group: the post, which may have
    several pictures.

    Raises `DamagedFile` for a list that is missing or damaged, an id that lost digits, a picture twice, or a
    path that leaves the folder.
    """
    if recipe.form == "features":
        return of_features(folder, recipe)
    root = first_folder(folder, ("CrisisMMD_v2.0", "."))
    home, form = _LISTS[recipe.lists]
    place = first_folder(root, (f"{home}/{home}" if (root / home / home).is_dir() else home, "."))
    files = {name: place / form.format(recipe.labels, name) for name in _SPLITS}
    lacking = next((file for file in files.values() if not file.is_file()), None)
    if lacking is not None:
        way_out = f"Unpack {home}.zip beside data_image."
        raise DamagedFile(str(lacking), "missing", "must be a list of posts", way_out)
    every = [post for name, file in files.items() for post in _posts(file, name, recipe)]
    distinct(((f"{one.id} in {one.split}", one.row) for one in every), what="picture")
    posts, notes = _kept(every, recipe)
    classes, posts, absent = _told(posts, CLASSES[recipe.labels])
    paths = [inside(root, str(one.row["image"]), one.row.place) for one in posts]
    pictures, missing = there(paths, root, "pictures")
    sheet = Sheet(
        ids=tuple(one.id for one in posts),
        classes=classes,
        task=Task.SINGLE_LABEL,
        target=np.array([classes.index(one.label) for one in posts], dtype=np.int64),
        split=tuple(one.split for one in posts),
        modalities={
            "image": Column(pictures, PictureFile(recipe.size)),
            "text": tuple(str(one.row["tweet_text"]).strip() or None for one in posts),
        },
        group=tuple(one.tweet for one in posts),
        layout=f"{home}, {recipe.labels}",
        notes=(*notes, *absent),
        files=tuple(files.values()),
        missing=missing,
        metrics=("weighted_f1",),
    )
    return seen(sheet, whole=recipe.missing == "drop")


def _posts(file: Path, name: str, recipe: Crisismmd) -> Iterator[_Post]:
    column = recipe.label if recipe.lists == "all" else "label"
    for row in csv_rows(file, (*_COLUMNS, column), delimiter="\t", quoted=False):
        label = row.option(column, CLASSES[recipe.labels])
        tweet, picture = row.number("tweet_id"), str(row["image_id"])
        if picture.rpartition("_")[0] != tweet:
            raise row.wrong(
                f"image_id {picture!r} of tweet {tweet}", "must begin with the number of its tweet"
            )
        yield _Post(picture, tweet, _SPLITS[name], label, row)


def _kept(every: list[_Post], recipe: Crisismmd) -> tuple[list[_Post], list[str]]:
    """The posts without those that are in the test or in validation too, and what is to be said."""
    side: dict[str, str] = {}
    posts = [one for one in every if side.setdefault(one.tweet, one.split) == one.split]
    notes = []
    if len(posts) < len(every):
        lost = len(every) - len(posts)
        notes.append(f"{lost:,} pictures are left out, whose posts are in the test or in validation too")
    if recipe.one_each:
        first = {one.tweet: one for one in reversed(posts)}
        posts = [one for one in posts if first[one.tweet] is one]
        notes.append("the first picture of each post alone")
    return posts, notes


def _told(posts: list[_Post], classes: tuple[str, ...]) -> tuple[tuple[str, ...], list[_Post], list[str]]:
    """The classes that every split has, their posts, and what is to be said of the others."""
    by_split: dict[str, Counter[str]] = {}
    for one in posts:
        by_split.setdefault(one.split, Counter())[one.label] += 1
    known = tuple(name for name in classes if all(counts[name] for counts in by_split.values()))
    require(len(known) > 1, "labels", known, "must have two classes in every split")
    absent = [name for name in classes if name not in known and any(c[name] for c in by_split.values())]
    kept = [one for one in posts if one.label in known]
    note = f"{len(posts) - len(kept):,} pictures are left out, as some split has none of {', '.join(absent)}"
    return known, kept, [note] * bool(absent)


PUBLICATION = Publication(
    name="crisismmd",
    title="CrisisMMD v2.0",
    licence="CC BY-NC-SA 4.0",
    citation="Alam, Ofli and Imran 2018, CrisisMMD",
    home="https://crisisnlp.qcri.org/crisismmd",
    read=read,
    fixture=write,
    how="Unpack the two archives of lists, crisismmd_datasplit_all.zip and its fellow of agreed labels, "
    "beside data_image.",
    downloads=(
        Download(
            "https://crisisnlp.qcri.org/data/crisismmd/CrisisMMD_v2.0.tar.gz",
            "CrisisMMD_v2.0.tar.gz",
            1902053684,
            "sha256:351b9be6123a5d5074407d792bfdddc1f470d4909f65ddd429b584d24607d43f",
            unpack=".",
        ),
    ),
)
build = PUBLICATION.build
