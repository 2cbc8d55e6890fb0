"""vqa_v2: questions joined to annotations by number, targets from what ten people said, its own accuracy."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmkd_lab import data
from mmkd_lab.core.check import DamagedFile, LabError
from mmkd_lab.data.published import vqa
from mmkd_lab.data.published.fixtures import vqa_v2 as fixture
from mmkd_lab.data.published.recipes import VqaV2
from mmkd_lab.data.published.sets import vqa_v2
from tests.data.published import change

NAME = "vqa_v2"
ASKED = "v2_OpenEnded_mscoco_{}_questions.json"
TOLD = "v2_mscoco_{}_annotations.json"
TRAIN, ANSWERS = ASKED.format("train2014"), TOLD.format("train2014")
PICTURE = "train2014/COCO_train2014_000000000009.jpg"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp(NAME)
    fixture.write(folder, 24)
    return folder


@pytest.fixture
def folder(written, tmp_path) -> Path:
    return change.copied(written, tmp_path)


def load(folder: Path, **options):
    return data.load(NAME, root=str(folder), min_answers=1, min_count=1, **options)


def read(file: Path) -> dict:
    return json.loads(file.read_text("utf-8"))


def test_the_fixture_is_the_published_form(tmp_path):
    fixture.write(tmp_path, 6)
    asked, told = read(tmp_path / TRAIN), read(tmp_path / ANSWERS)
    heads = {"info", "license", "data_type", "data_subtype"}
    assert set(asked) == heads | {"task_type", "questions"}
    assert set(told) == heads | {"annotations"}
    assert asked["info"]["version"] == "2.0"
    assert [len(read(tmp_path / ASKED.format(part))["questions"]) for part in ("train2014", "val2014")] == [
        4,
        2,
    ]
    numbers = [one["question_id"] for one in asked["questions"]]
    assert [one["question_id"] for one in told["annotations"]] == numbers[::-1]  # joined by number alone
    for one in told["annotations"]:
        assert [answer["answer_id"] for answer in one["answers"]] == list(range(1, 11))
        assert set(one) >= {"question_type", "answer_type", "multiple_choice_answer", "image_id"}
    steps = {n for one in told["annotations"] for n in Counter(a["answer"] for a in one["answers"]).values()}
    assert {1, 2, 3, 4, 10} <= steps
    assert change.picture(tmp_path / PICTURE) == ("JPEG", "RGB", (64, 48))


def test_it_is_read_in_the_right_orientation_with_the_right_targets(folder):
    picture = Image.new("RGB", (64, 48), "red")
    picture.paste("blue", (32, 0, 64, 48))  # the right half
    picture.save(folder / PICTURE, quality=100)
    found = load(folder, size=(8, 8))
    pixels = found.modalities["image"][0].numpy()
    assert (pixels[0, :, 0] > 200).all()
    assert (pixels[2, :, 7] > 200).all()
    questions = {one["question_id"]: one for one in read(folder / TRAIN)["questions"]}
    answers = {one["question_id"]: one for one in read(folder / ANSWERS)["annotations"]}
    for i, number in enumerate(found.ids[: len(questions)]):
        assert found.captions["text"][i] == questions[int(number)]["question"]
        said = Counter(one["answer"] for one in answers[int(number)]["answers"])
        wanted = [{0: 0.0, 1: 0.3, 2: 0.6, 3: 0.9}.get(said[name], 1.0) for name in found.classes]
        assert found.target[i].tolist() == pytest.approx(wanted)
    assert len(found.splits["test"]) == 8
    assert found.metrics == ("vqa_accuracy",)
    assert "tested on val2014" in repr(found)


def test_the_known_answers_are_those_of_the_training_questions(folder):
    sheet = vqa_v2.read(folder, VqaV2(min_answers=1))
    usual = Counter(one["multiple_choice_answer"] for one in read(folder / ANSWERS)["annotations"])
    assert sheet.classes == tuple(sorted(usual, key=lambda name: (-usual[name], name)))
    more = read(folder / TOLD.format("val2014"))
    more["annotations"][0]["multiple_choice_answer"] = "Two cats."
    (folder / TOLD.format("val2014")).write_text(json.dumps(more))
    assert vqa_v2.read(folder, VqaV2(min_answers=1)).classes == sheet.classes
    assert "2 cats" in vqa_v2.read(folder, VqaV2(min_answers=1, answers_from="train+val")).classes
    two = vqa_v2.read(folder, VqaV2(min_answers=1, most_answers=2))
    assert two.classes == sheet.classes[:2]
    assert two.target.shape == (24, 2)
    assert any("have no known answer" in note and not note.startswith("0.0") for note in two.notes)
    short = vqa_v2.read(folder, VqaV2(min_answers=1, score="short"))
    assert set(np.unique(short.target.round(3)).tolist()) <= {0.0, 0.333, 0.667, 1.0}


def test_what_is_missing_is_counted(folder):
    (folder / PICTURE).unlink()
    found = load(folder, missing="keep")
    assert int((~found.present["image"]).sum()) == 2  # both questions of the picture
    assert f"1 listed files are missing, as {PICTURE}" in repr(found)
    assert len(vqa_v2.read(folder, VqaV2(min_answers=1))) == 22


def test_lists_and_pictures_may_lie_in_folders_of_their_own(folder):
    for name, kind in ((ASKED, "questions"), (TOLD, "annotations")):
        (folder / kind).mkdir()
        for part in ("train2014", "val2014"):
            (folder / name.format(part)).rename(folder / kind / name.format(part))
    (folder / "images").mkdir()
    (folder / "train2014").rename(folder / "images/train2014")
    assert not vqa_v2.read(folder, VqaV2(min_answers=1)).missing


def _old(folder: Path) -> None:
    (folder / TRAIN).rename(folder / TRAIN.removeprefix("v2_"))


DAMAGES = {
    "no list": (lambda f: (f / TRAIN).unlink(), f"{TRAIN}.*missing"),
    "a list of version 1": (_old, "a file of version 1.*version 2"),
    "version 1 under the name of 2": (
        lambda f: change.held(f / TRAIN, lambda d: d["info"].update(version="1.0")),
        f"{TRAIN}.*version 1.*begins with v2_",
    ),
    "cut": (lambda f: change.cut(f / ANSWERS, 0.9), f"{ANSWERS}.*must be JSON"),
    "questions for annotations": (
        lambda f: (f / ANSWERS).write_bytes((f / TRAIN).read_bytes()),
        f"{ANSWERS}.*no list 'annotations'",
    ),
    "a question without annotation": (
        lambda f: change.held(f / ANSWERS, lambda d: d["annotations"].pop(3)),
        f"{ANSWERS}.*no question.*exactly the questions of {TRAIN}",
    ),
    "an annotation without question": (
        lambda f: change.held(f / TRAIN, lambda d: d["questions"].pop(3)),
        f"{TRAIN}.*no question",
    ),
    "annotations of another subset": (
        lambda f: (f / ANSWERS).write_bytes((f / TOLD.format("val2014")).read_bytes()),
        f"{ANSWERS}.*no question",
    ),
    "another picture": (
        lambda f: change.held(f / ANSWERS, lambda d: d["annotations"][0].update(image_id=7)),
        f"picture 7 of question.*as in {TRAIN}",
    ),
    "nine answers": (
        lambda f: change.held(f / ANSWERS, lambda d: d["annotations"][0]["answers"].pop()),
        r"question \d+.*9 answers.*must have 10",
    ),
    "no answers": (
        lambda f: change.held(f / ANSWERS, lambda d: d["annotations"][2].pop("answers")),
        r"annotations\[2\].*without answers",
    ),
    "question twice": (
        lambda f: change.held(f / TRAIN, lambda d: d["questions"].append(d["questions"][0])),
        r"questions\[16\].*question_id.*once",
    ),
    "a number as text": (
        lambda f: change.held(f / TRAIN, lambda d: d["questions"][1].update(question_id="9001")),
        r"questions\[1\].*'9001'.*whole number",
    ),
    "UTF-16": (lambda f: (f / TRAIN).write_text((f / TRAIN).read_text(), "utf-16"), "UTF-16"),
    "page named jpg": (lambda f: (f / PICTURE).write_bytes(change.HTML), "000009.jpg.*HTML page"),
    "no pictures": (
        lambda f: [(f / part).rename(f / f"x{part}") for part in ("train2014", "val2014")],
        "none of 12 pictures",
    ),
}


@pytest.mark.parametrize(("damage", "says"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_files_are_refused_by_name(folder, damage, says):
    damage(folder)
    change.refused(NAME, folder, says, min_answers=1)


def test_too_few_known_answers_are_refused(folder):
    change.refused(NAME, folder, f"{ANSWERS}.*0 answers.*Give min_answers", min_answers=99)


#: The published rules, worked out by hand.
ANSWER = {
    "two": "2",
    "None": "0",
    "The  a an Cat": "cat",
    "dont": "don't",
    "couldnt've": "couldn't've",
    "couldn'tve": "couldn't've",
    "red, white": "red white",  # a comma beside a space is dropped
    "red,white": "red white",  # else it becomes a space
    "1,000": "1000",
    "1,000 a/b": "1000 ab",  # where digits have a comma, every mark is dropped
    "black/white": "black white",
    "well-known": "well known",
    "5.5": "5.5",
    "5.": "5",
    "st. john.": "st john",
    "what?!": "what",
    " a\tb\n": "b",
    "ten": "10",
    "eleven": "eleven",
    "it's": "it's",
    "": "",
}


@pytest.mark.parametrize("said", ANSWER)
def test_answers_are_compared_as_published(said):
    assert vqa.normalised(said) == ANSWER[said]


def test_slips_of_the_published_rules_are_there_unless_refused():
    stops = "a." * 33
    for said, published, meant in (
        ("somebody'd", "somebodyd", "somebody'd"),
        ("im", "im", "i'm"),
        ("5. x", "5 x", "5. x"),
        (stops, "a" * 33 + ".", "a" * 33),
    ):
        assert vqa.normalised(said) == published
        assert vqa.normalised(said, slips=False) == meant


@pytest.mark.parametrize(
    ("count", "official", "short"),
    [(0, 0, 0), (1, 0.3, 1 / 3), (2, 0.6, 2 / 3), (3, 0.9, 1), (4, 1, 1), (10, 1, 1)],
)
def test_agreement_is_a_mean_over_the_ten_that_leave_one_out(count, official, short):
    people = ["yes"] * count + [f"no {i}" for i in range(10 - count)]
    by_hand = np.mean([min(1, (people[:i] + people[i + 1 :]).count("yes") / 3) for i in range(10)])
    assert by_hand == pytest.approx(official)
    assert vqa.agreement(count) == pytest.approx(official)
    assert vqa.accuracy("yes", people) == pytest.approx(official)
    assert vqa.agreement(count, score="short") == pytest.approx(short)


def test_where_all_say_the_same_answers_are_compared_as_written():
    assert vqa.accuracy("2", ["two"] * 10) == 0
    assert vqa.accuracy("2", ["two"] * 9 + ["three"]) == 1
    assert vqa.accuracy(" two\n", ["two"] * 10) == 1
    with pytest.raises(LabError, match="at least one answer"):
        vqa.accuracy("2", [])


def test_results_are_scored_by_type_of_answer(folder, tmp_path):
    entries = read(folder / ANSWERS)["annotations"]
    file = tmp_path / "results.json"
    usual = [{"question_id": one["question_id"], "answer": one["multiple_choice_answer"]} for one in entries]
    file.write_text(json.dumps(usual))
    answers = vqa.results(file)
    found = vqa.evaluated(answers, folder / ANSWERS)
    assert found["overall"] == 100.0
    assert set(found) == {"overall", *(one["answer_type"] for one in entries)}
    nothing = vqa.evaluated(dict.fromkeys(answers, "nothing"), folder / ANSWERS)
    assert set(nothing.values()) == {0.0}
    for wrong in (dict(list(answers.items())[1:]), answers | {7: "yes"}):
        with pytest.raises(LabError, match="exactly the questions"):
            vqa.evaluated(wrong, folder / ANSWERS)
    for held, says in ((usual[:1] * 2, "twice"), ([{"answer": "no"}], "question_id"), ({}, "list of")):
        file.write_text(json.dumps(held))
        with pytest.raises(DamagedFile, match=says):
            vqa.results(file)
