"""vqa_v2: a picture, a question, and what ten people answered.

Goyal et al. 2017: questions and annotations in JSON, joined by question, on COCO's pictures. The answers to
the test questions are not published, so val2014 is the test, and part of train2014, by picture, validates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import DamagedFile
from mmkd_lab.data.published import vqa
from mmkd_lab.data.published.fixtures.vqa_v2 import write
from mmkd_lab.data.published.items import PictureFile
from mmkd_lab.data.published.publication import Download, Publication
from mmkd_lab.data.published.recipes import VqaV2
from mmkd_lab.data.published.sheet import Column, Sheet
from mmkd_lab.data.published.there import first_folder, seen, there
from mmkd_lab.data.task import Task

_PARTS = {"train2014": "train", "val2014": "test"}
_FOLDERS = (".", "questions", "annotations", "Questions", "Annotations")
_ASKED = "OpenEnded_mscoco_{}_questions.json"
_TOLD = "mscoco_{}_annotations.json"


@dataclass(frozen=True)
class _Question:
    id: int
    part: str
    image: int
    text: str
    usual: str
    people: tuple[str, ...]


def read(folder: Path, recipe: VqaV2) -> Sheet:
    """What the lists say. image: (3, height, width); text: the question; target: how right each known answer
    is, 0 to 1, from what people wrote. group: the picture.

    An answer is known where it is the usual one of enough questions, after `vqa.normalised`. Raises
    `DamagedFile` for a list that is missing, of version 1 or damaged, or two lists that do not fit.
    """
    files = {part: [_file(folder, form.format(part)) for form in (_ASKED, _TOLD)] for part in _PARTS}
    every = [one for part, (asked, told) in files.items() for one in _questions(part, asked, told)]
    answers, notes = _known(
        [one for one in every if recipe.answers_from != "train" or "train" in one.part], recipe
    )
    if len(answers) < 2:
        rule = f"must have two answers that are the usual ones of {recipe.min_answers} questions"
        raise DamagedFile(str(files["train2014"][1]), f"{len(answers)} answers", rule, "Give min_answers.")
    homes = {part: first_folder(folder, (f"images/{part}", part)) for part in _PARTS}
    paths = [homes[one.part] / f"COCO_{one.part}_{one.image:012d}.jpg" for one in every]
    pictures, missing = there(paths, folder, "pictures")
    target = _target(every, answers, recipe)
    lost = float((target.max(axis=1) == 0).mean())
    sheet = Sheet(
        ids=tuple(str(one.id) for one in every),
        classes=tuple(answers),
        task=Task.MULTI_LABEL,
        target=target,
        split=tuple(_PARTS[one.part] for one in every),
        modalities={
            "image": Column(pictures, PictureFile(recipe.size)),
            "text": tuple(one.text for one in every),
        },
        group=tuple(str(one.image) for one in every),
        layout="version 2, answers of train2014 and val2014",
        notes=(
            "tested on val2014, as the answers to the test questions are not published",
            *notes,
            f"{100 * lost:.1f} % of the questions have no known answer, and a target of zeros",
            f"how right an answer is: {recipe.score}",
        ),
        files=tuple(file for pair in files.values() for file in pair),
        missing=missing,
        metrics=("vqa_accuracy",),
    )
    return seen(sheet, whole=recipe.missing == "drop")


def _file(folder: Path, name: str) -> Path:
    """A list of version 2, in the folder or one of those it may be unpacked to."""
    places = [folder / inner for inner in _FOLDERS]
    found = next((file for place in places if (file := place / f"v2_{name}").is_file()), None)
    if found is not None:
        return found
    old = next((file for place in places if (file := place / name).is_file()), None)
    shown = f"{old.name} alone, a file of version 1" if old else "missing"
    raise DamagedFile(str(folder / f"v2_{name}"), shown, "must be a list of version 2")


def _questions(part: str, asked: Path, told: Path) -> Iterator[_Question]:
    fields = ("question_id", "image_id", "question")
    questions = vqa.entries(asked, "questions", fields)
    annotations = vqa.entries(
        told, "annotations", ("question_id", "image_id", "multiple_choice_answer", "answers")
    )
    odd = sorted(questions.keys() ^ annotations.keys())
    if odd:
        where, lacks = (told, asked) if odd[0] in questions else (asked, told)
        shown = f"no question {odd[0]}, and {len(odd) - 1:,} more"
        raise DamagedFile(str(where), shown, f"must have exactly the questions of {lacks.name}")
    for number, one in questions.items():
        answer = annotations[number]
        if not isinstance(one["image_id"], int) or one["image_id"] != answer["image_id"]:
            shown = f"picture {answer['image_id']!r} of question {number}"
            raise DamagedFile(str(told), shown, f"must be {one['image_id']!r}, as in {asked.name}")
        people = tuple(vqa.people(told, number, answer))
        text = str(one["question"]).strip()
        yield _Question(number, part, one["image_id"], text, str(answer["multiple_choice_answer"]), people)


_normalised = cache(vqa.normalised)


def _known(questions: Sequence[_Question], recipe: VqaV2) -> tuple[list[str], tuple[str, ...]]:
    """The known answers, the most frequent first, and what is to be said of them."""
    counts = Counter(_normalised(one.usual) for one in questions)
    del counts[""]
    found = sorted((a for a, n in counts.items() if n >= recipe.min_answers), key=lambda a: (-counts[a], a))
    kept = found[: recipe.most_answers]
    note = f"{len(kept):,} answers are known, the usual ones of {recipe.min_answers} questions of"
    return kept, (f"{note} {recipe.answers_from.replace('val', 'test')}",)


def _target(questions: Sequence[_Question], answers: Sequence[str], recipe: VqaV2) -> npt.NDArray[np.float32]:
    """(N, answers) how right each is."""
    number = {answer: i for i, answer in enumerate(answers)}
    found = np.zeros((len(questions), len(answers)), dtype=np.float32)
    for row, one in zip(found, questions, strict=True):
        for answer, count in Counter(one.people).items():
            if answer in number:
                row[number[answer]] = vqa.agreement(count, score=recipe.score)
    return found


_HOME = "https://s3.amazonaws.com/cvmlp/vqa/mscoco/vqa"
_ZIPS = [f"v2_{what}_{part}_mscoco.zip" for what in ("Questions", "Annotations") for part in ("Train", "Val")]
PUBLICATION = Publication(
    name="vqa_v2",
    title="VQA v2.0",
    licence="questions and answers CC BY 4.0; COCO's pictures under Flickr's terms",
    citation="Goyal, Khot, Summers-Stay, Batra and Parikh 2017, Making the V in VQA Matter",
    home="https://visualqa.org",
    read=read,
    fixture=write,
    downloads=tuple(Download(f"{_HOME}/{name}", name, 0, unpack=".") for name in _ZIPS),
    how="Put COCO's train2014/ and val2014/ (https://cocodataset.org, 20 GB) beside the lists.",
    expected={"train": 443757, "test": 214354},
)
build = PUBLICATION.build
