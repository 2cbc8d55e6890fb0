"""The accuracy of visual question answering by its own counting, and the answers as it compares them.

Source: the evaluation of Antol et al. 2015 and Goyal et al. 2017 (GT-Vision-Lab/VQA, vqaEval.py), of which
the rules, and the slips that change numbers, are written out anew. Imports no torch.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from mmkd_lab.core.check import DamagedFile, require
from mmkd_lab.data.published.tables import json_file

Score = Literal["official", "short"]

#: How many answer each question.
PEOPLE = 10
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_AS_DIGITS = {"none": "0", **{name: str(i) for i, name in enumerate(_NUMBERS)}}
_ARTICLES = frozenset({"a", "an", "the"})
_WHOLE = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd
he'd've he's how'd how'll how's i'd've i'm i've isn't it'd it'd've it'll ma'am mightn't mightn't've might've
mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've
somebody'd've somebody'll somebody's someone'd someone'd've someone'll someone's something'd something'd've
something'll that's there'd there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't
we'd've we've weren't what'll what're what's what've when's where'd where's where've who'd who'd've who'll
who's who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've
you'll you're you've
"""
#: Entries of the published table that never match, as answers are in lower case by then.
_NEVER = ("i'd've", "i'm", "i've")


def _without_one(word: str) -> list[str]:
    return [word[:i] + word[i + 1 :] for i, letter in enumerate(word) if letter == "'"]


_CONTRACTIONS = {short: word for word in _WHOLE.split() for short in _without_one(word)}
#: Which full stops go, how many at most (0: all), and the contractions.
_MEANT = (r"(?<!\d)\.(?!\d)", 0, _CONTRACTIONS)
#: The same as published: a look-behind that is none, a flag given as a number, an entry that takes the
#: apostrophe away.
_SLIPS = (
    r"\.(?!\d)",
    32,
    {short: word for short, word in _CONTRACTIONS.items() if word not in _NEVER}
    | {"somebody'd": "somebodyd"},
)


def normalised(answer: str, *, slips: bool = True) -> str:
    """An answer as answers are compared: line ends and tabs, punctuation, full stops, numbers to ten,
    articles and contractions.

    A mark is dropped where the answer has it beside a space, or a comma between digits, else it becomes a
    space. A full stop goes unless it stands beside a digit. With `slips`, which published numbers have, those
    after a digit go as well, only the first 32 go, "im" stays, and "somebody'd" loses its apostrophe.
    """
    given = _plain(answer)
    joined, found = re.search(r"\d,\d", given) is not None, given
    for mark in _PUNCTUATION:
        beside = f"{mark} " in given or f" {mark}" in given
        found = found.replace(mark, "" if beside or joined else " ")
    stop, most, table = _SLIPS if slips else _MEANT
    found = re.sub(stop, "", found, count=most)
    words = (_AS_DIGITS.get(word, word) for word in found.lower().split())
    return " ".join(table.get(word, word) for word in words if word not in _ARTICLES)


def _plain(answer: str) -> str:
    return answer.replace("\n", " ").replace("\t", " ").strip()


def agreement(count: int, people: int = PEOPLE, *, score: Score = "official") -> float:
    """How right an answer is that `count` of so many people gave, from 0 to 1.

    'official': for each of the people min(1, others who gave it / 3), the mean: 0, .3, .6, .9, 1 for ten.
    'short': min(1, count / 3), as the paper writes it.
    """
    if score == "short":
        return min(1.0, count / 3)
    thirds = count * min(3, count - 1) + (people - count) * min(3, count) if count else 0
    return thirds / (3 * people)


def accuracy(answer: str, people: Sequence[str], *, score: Score = "official", slips: bool = True) -> float:
    """How right an answer is, from 0 to 1, by what people answered. Where all said the same, answers are
    compared as they are written, as the published evaluation does."""
    require(len(people) > 0, "people", people, "must hold at least one answer")
    said, given = [_plain(one) for one in people], _plain(answer)
    if len(set(said)) > 1:
        said, given = [normalised(one, slips=slips) for one in said], normalised(given, slips=slips)
    return agreement(said.count(given), len(said), score=score)


def evaluated(
    answers: Mapping[int, str], annotations: Path, *, score: Score = "official"
) -> dict[str, float]:
    """{'overall' and each type of answer: accuracy in percent} of answers by question, against a published
    file of annotations.

    Raises `LabError` unless exactly the questions of that file are answered, `DamagedFile` for a file that is
    none of annotations.
    """
    asked = entries(annotations, "annotations", ("question_id", "answers"))
    more, fewer = sorted(set(answers) - set(asked)), sorted(set(asked) - set(answers))
    shown = f"{len(fewer)} questions unanswered, {len(more)} answers to none, as {(fewer + more)[:1]}"
    require(
        not more and not fewer, "answers", shown, f"must answer exactly the questions of {annotations.name}"
    )
    found = defaultdict[str, list[float]](list)
    for number, one in asked.items():
        right = accuracy(answers[number], people(annotations, number, one), score=score)
        for kind in ("overall", *([str(one["answer_type"])] if "answer_type" in one else [])):
            found[kind].append(100.0 * right)
    return {kind: fmean(each) for kind, each in found.items()}


def results(file: Path) -> dict[int, str]:
    """{question: answer} of a file of results, a list of {question_id, answer}. Raises `DamagedFile`."""
    found: dict[int, str] = {}
    listed = json_file(file)
    if not isinstance(listed, list):
        raise DamagedFile(str(file), type(listed).__name__, "must be a list of {question_id, answer}")
    for i, one in enumerate(listed):
        if not isinstance(one, dict) or not {"question_id", "answer"} <= set(one):
            raise DamagedFile(f"{file}, entry {i}", one, "must have question_id and answer")
        if one["question_id"] in found:
            raise DamagedFile(f"{file}, entry {i}", one["question_id"], "must not answer a question twice")
        found[one["question_id"]] = str(one["answer"])
    return found


def entries(file: Path, key: str, fields: Sequence[str]) -> dict[int, dict[str, Any]]:
    """{question_id: entry} of the list under a key of a published file, each with these fields.

    Raises `DamagedFile`, which names the entry, also for a question twice and for a file of version 1.
    """
    held = json_file(file)
    listed = held.get(key) if isinstance(held, dict) else None
    if not isinstance(listed, list):
        raise DamagedFile(str(file), f"no list {key!r}", f"must be a published file with {key}")
    about = held.get("info")
    if isinstance(about, dict) and str(about.get("version", "2")).startswith("1"):
        raise DamagedFile(str(file), "version 1", "must be version 2", "Fetch the file that begins with v2_.")
    found: dict[int, dict[str, Any]] = {}
    for i, one in enumerate(listed):
        place = f"{file}, {key}[{i}]"
        lacking = [name for name in fields if not isinstance(one, dict) or name not in one]
        if lacking:
            raise DamagedFile(place, f"an entry without {lacking[0]}", f"must have {', '.join(fields)}")
        if not isinstance(number := one["question_id"], int) or number in found:
            rule = "must be a whole number that occurs once"
            raise DamagedFile(place, f"question_id {number!r}", rule)
        found[number] = one
    return found


def people(file: Path, number: int, entry: Mapping[str, Any]) -> list[str]:
    """What ten people answered, as they wrote it. Raises `DamagedFile` for another number of answers."""
    given = entry["answers"]
    said = [str(one["answer"]) for one in given if isinstance(one, dict) and "answer" in one]
    if not isinstance(given, list) or not len(said) == len(given) == PEOPLE:
        place = f"{file}, question {number}"
        raise DamagedFile(place, f"{len(said)} answers of {len(given)}", f"must have {PEOPLE} answers")
    return said
