"""What is said of random tables is read back, and every number, sign and order checked against the table."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mmkd_lab.core.stats import Interval, paired_interval
from mmkd_lab.experiments.claims import Claim, headline, ordered, sentence
from mmkd_lab.experiments.summary import COLUMNS
from mmkd_lab.study import failure, msd_words, repair_words

SAYS = {
    "is better than": 1,
    "is worse than": -1,
    "is stronger than": 1,
    "is weaker than": -1,
    "is not shown to differ from": 0,
    "minus": None,
}
_SAYS = "|".join(SAYS)
_ONE = re.compile(
    r"(?P<control>[^(]+?) (?:\(|is )(?P<mean>[+−][\d.]+)(?: \[(?P<low>−?[\d.]+), (?P<high>−?[\d.]+)\])?"
    r"(?: \(n = 1)?(?P<why>, [^()]*)?\)(?P<where>(?: (?!and|or)[\w +]+?)?)(?:, | and | or |$)"
)


class Read(NamedTuple):
    """One comparison as a reader finds it."""

    subject: str
    side: int | None
    control: str
    where: str
    numbers: tuple[str, ...]
    why: str


def read(clauses):
    """Every comparison of clauses that are joined by '; '; a place at the end of a phrase is that of all."""
    found = []
    for clause in clauses.split("; "):
        subject, *parts = re.split(rf"(?:, | and |) ?({_SAYS}) ", clause)
        for says, text in zip(parts[::2], parts[1::2], strict=True):
            ones = list(_ONE.finditer(text))
            assert "".join(one[0] for one in ones) == text
            for one in ones:
                numbers = tuple(each for each in one.group("mean", "low", "high") if each)
                where, why = ones[-1]["where"].strip(), (one["why"] or "").strip(", ")
                found.append(Read(subject.strip(), SAYS[says], one["control"], where, numbers, why))
    return found


def number(text):
    return float(text.replace("−", "-"))


def in_title(title):
    return number(re.search(r"\(([+−][\d.]+)", title)[1])


def truth(treated, control):
    """(side, mean, low, high, n) by scipy, of values by seed."""
    gap = np.subtract(treated, control)
    if np.ptp(gap) < 1e-10:
        return 0, gap.mean(), None, None, len(gap)
    low, high = stats.t.interval(0.95, len(gap) - 1, gap.mean(), stats.sem(gap))
    return (int(low > 0) - int(high < 0) if len(gap) > 2 else 0), gap.mean(), low, high, len(gap)


def values(table, arm, role="student", **at):
    """(seeds,) of an arm, the mean over the values of other columns."""
    part = table[(table["role"] == role) & (table["arm"] == arm)]
    for column, some in at.items():
        part = part[part[column].isin(some)]
    return part.groupby("seed")["value"].mean().to_numpy()


def agrees(one, wanted):
    """Whether what was read is the truth, and does not look like something else."""
    side, mean, low, high, n = wanted
    assert one.side == (None if n == 1 else side)
    unit = 10.0 ** -len(one.numbers[0].partition(".")[2])
    assert abs(number(one.numbers[0]) - mean) <= 0.5001 * unit
    if side:
        assert np.sign(number(one.numbers[0])) == side
    if low is None:
        assert one.numbers[1:] == ()
        assert one.why == ("" if n == 1 else f"the same in all {n}")
        return
    ends = [number(each) for each in one.numbers[1:]]
    assert np.abs(np.subtract(ends, [low, high])).max() <= 0.5001 * unit
    looks = int(ends[0] > 0) - int(ends[1] < 0)
    assert looks == side or (looks and one.why == f"of {n} only")


def rows(values, *, role="student", **more):
    """{arm: (n,) values} -> tidy rows."""
    of = [
        ("s", "d", arm, role, seed, "test", "accuracy", value)
        for arm, each in values.items()
        for seed, value in enumerate(each)
    ]
    return pd.DataFrame(of, columns=list(COLUMNS)).assign(**more)


def drawn(rng, arms, n):
    """Values of every arm: near or far, wide or narrow, now and then a shift without any spread."""
    common = 60 + 5 * rng.standard_normal(n)
    found = {}
    for arm in arms:
        spread = rng.choice([0.0, 0.003, 0.3, 3.0])
        shift = rng.choice([0.0, 0.004, 0.5, 5.0]) * rng.standard_normal()
        found[arm] = common + shift + spread * rng.standard_normal(n)
    return found


def test_a_sentence_says_its_claims_and_nothing_else():
    rng = np.random.default_rng(0)
    for _ in range(1000):
        n, arms = int(rng.choice([1, 2, 3, 5])), [f"x{i}" for i in range(rng.integers(2, 6))]
        tables = {where: drawn(rng, arms, n) for where in ("on p", "with q gone", "")}
        keys = [(*rng.permutation(arms)[:2].tolist(), str(rng.choice(list(tables)))) for _ in range(6)]
        keys = list(dict.fromkeys(keys[: rng.integers(1, 7)]))
        some = [Claim(a, b, paired_interval(tables[at][a], tables[at][b]), where=at) for a, b, at in keys]
        wanted = {(a, b, at): truth(tables[at][a], tables[at][b]) for a, b, at in keys}
        body, title = sentence("On d", some).removeprefix("On d, in points: ")[:-1], headline("d", some)
        alone = "; no conclusion, since one seed has no interval"
        assert body.endswith(alone) == (n == 1)
        said = read(body.removesuffix(alone))
        assert sorted((one.subject, one.control, one.where) for one in said) == sorted(keys)
        for one in said:
            agrees(one, wanted[one.subject, one.control, one.where])
        # Nothing is said twice, the largest effect comes first, and it is that of the title.
        assert len(re.findall(_SAYS, body)) == len({(one.subject, one.side, one.where) for one in said})
        largest = max(wanted.values(), key=lambda each: abs(each[0] * each[1]))
        if largest[0]:
            first = said[0]
            assert wanted[first.subject, first.control, first.where] == largest
            word = "beats" if largest[0] > 0 else "falls short of"
            where = f" {first.where}" if first.where else ""
            assert title.startswith(f"d: {first.subject} {word} {first.control}{where} (")
            assert in_title(title) == pytest.approx(largest[1], abs=0.0501)
        else:
            assert ("shown to differ" in title) == (n > 1)
            assert len(title) < 60


def test_failure_cases_say_what_each_arm_of_a_table_shows():
    rng, views = np.random.default_rng(0), {"um_kd": "b", "cm_kd": "a", "mm_kd": "a + b", "kl_only": "a"}
    outcomes = set()
    for _ in range(40):
        n, others = int(rng.choice([2, 3, 5], p=[0.1, 0.4, 0.5])), ["um_kd", "cm_kd", "mm_kd", "kl_only"]
        arms = ["no_kd"][: rng.integers(2)] + [arm for arm in others if rng.random() < 0.8]
        taught = drawn(rng, [arm for arm in arms if arm != "no_kd"], n)
        table = pd.concat([rows(drawn(rng, arms, n)), rows(taught, role="teacher")], ignore_index=True)
        if len(arms) < 2:
            continue
        text, title = failure.verdict(table, student="b", views=views), failure.title(table, student="b")
        every, controls = {}, [arm for arm in ("um_kd", "no_kd") if arm in arms] or arms[:1]
        for clause in text.partition("in points. ")[2].removesuffix(".").split(". "):
            name, _, body = clause.partition(": ")
            arm = next(one for one in arms if failure.label(one) == name)
            body, _, outcome = body.partition("; ")
            teacher, _, student = body.rpartition("its student ")
            sides = {}
            for one in read(f"student {student}"):
                control = next(c for c in controls if one.control == f"{failure.label(c)}'s")
                wanted = truth(values(table, arm), values(table, control))
                agrees(one, wanted)
                every[arm, control], sides[control] = wanted, wanted[0]
            assert list(sides) == sorted(
                sides, key=lambda c: (every[arm, c][0] == 0, -abs(every[arm, c][0] * every[arm, c][1]))
            )
            over, alone = sides.get("um_kd"), sides.get("no_kd", 1)
            if views[arm] == "b":
                assert teacher == outcome == ""
                continue
            stronger = None
            if "um_kd" in arms:
                (one,) = read(teacher.removesuffix(", "))
                wanted = truth(*(values(table, one, "teacher") for one in (arm, "um_kd")))
                agrees(one, wanted)
                assert (one.subject, one.control) == (f"the {views[arm]} teacher", "the b teacher")
                stronger = wanted[0]
            told = {
                "needs unimodal KD": stronger is None,
                "not shown to be the stronger": stronger is not None
                and (stronger == 0 or (stronger < 0 and over < 1)),
                "no gain over the weaker": stronger == 1 and over == 0,
                "a failure case, the stronger teacher made a worse": stronger == 1 and over == -1,
                "the stronger teacher made a better": stronger == 1 and over == 1,
                "the weaker teacher made a better": stronger == -1 and over == 1,
            }
            (one,) = (words for words, holds in told.items() if holds)
            assert one in outcome
            outcomes.add(one)
            better = "a better student" in outcome
            assert ("not shown to be better than no KD's" in outcome) == (better and alone == 0)
            assert ("which is worse than no KD's" in outcome) == (better and alone == -1)
        assert set(every) == {(arm, c) for arm in arms if arm != "no_kd" for c in controls if arm != c}
        shown = [one for one in every.items() if one[1][0]]
        against = [one for one in shown if one[0][1] == "um_kd"] or shown
        if against:
            (arm, control), largest = max(against, key=lambda one: abs(one[1][1]))
            assert f"{failure.label(arm)} " in title
            assert f" {failure.label(control)} (" in title
            assert in_title(title) == pytest.approx(largest[1], abs=0.0501)
        else:
            assert "shown to differ from" in title
    assert len(outcomes) == 6


def test_the_effect_of_a_title_stands_in_the_verdict():
    rng, views = np.random.default_rng(0), ["a+b", "a", "b"]
    arms = ["no_kd", "kd", "kd_drop", "kd_views", "msd_uniform", "msd_instance", "msd_shuffled", "dkd"]
    for _ in range(10):
        some = [arm for arm in arms if arm == "kd" or rng.random() < 0.7]
        table = pd.concat([rows(drawn(rng, some, 3), view=view) for view in views], ignore_index=True)
        text = msd_words.verdict(table, views=views, removal="zeros")
        title = msd_words.title(table, views=views)
        gaps = [
            truth(*(values(table, one, view=at) for one in (arm, "kd")))
            for arm in some
            if arm not in ("kd", "no_kd")
            for at in (views[:1], views[1:])
        ]
        largest = max(gaps, key=lambda one: abs(one[0] * one[1]), default=(0,))
        if largest[0]:
            gap = re.search(r"\((.*)\)", title)[1]
            assert number(gap.partition(" ")[0]) == pytest.approx(largest[1], abs=0.0501)
            assert f"({gap})" in text


def test_a_repair_is_told_under_each_loss_and_no_phrase_twice():
    rng, arms = np.random.default_rng(0), ["no_kd", "cm_kd", "aligned_kd", "mg_kd", "ms_kd", "random_kd"]
    losses = ["ce + kd", "kd alone"]
    for _ in range(4):
        of = [rows(drawn(rng, arms, 3), loss=loss, ratio=0.5) for loss in losses]
        table = pd.concat(of, ignore_index=True)
        text = repair_words.verdict(table, student="b", teacher="a").partition("points: ")[2][:-1]
        asked = {(failure.label(arm), loss) for arm in arms if arm != "mg_kd" for loss in losses}
        assert {(one.control, one.where.removeprefix("by ")) for one in read(text)} == asked
        for one in read(text):
            control = next(arm for arm in arms if failure.label(arm) == one.control)
            loss = [one.where.removeprefix("by ")]
            agrees(one, truth(*(values(table, arm, loss=loss) for arm in ("mg_kd", control))))
        assert len(re.findall(_SAYS, text)) == len({(one.side, one.where) for one in read(text)}) <= 6


def test_titles_that_show_nothing_are_short():
    def nothing(treated, control, n=3):
        return Claim(treated, control, Interval(0.1, -1.0, 1.2, n))

    of = {
        "kd not shown to differ from x": [nothing("kd", "x")],
        "none of 3 students shown to differ from kd": [nothing(arm, "kd") for arm in "abc"],
        "mg not shown to differ from any of 7 others": [nothing("mg", arm) for arm in "abcdefg"],
        "arms compared": [nothing("kd", "x", n=1)],
    }
    for words, some in of.items():
        assert headline("d", some).replace("KD", "kd") == f"d: {words}"


def test_shown_effects_come_first_whatever_their_order():
    large, small = (
        Claim("kd", name, Interval(mean, mean - 1, mean + 1, 3)) for name, mean in (("x", -9.0), ("y", 2.0))
    )
    none = Claim("kd", "z", Interval(30.0, -5.0, 65.0, 3))
    assert ordered([none, small, large]) == [large, small, none]
