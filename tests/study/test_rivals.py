"""The rivals' numbers against closed forms, and what predicts a planted gain."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.core.stats import mean_interval
from mmkd_lab.data.datasets.gaussian import World, worlds
from mmkd_lab.experiments import Study
from mmkd_lab.experiments.summary import COLUMNS
from mmkd_lab.shares.hypotheses import (
    RIVALS,
    TaughtStudent,
    accuracy,
    entropy,
    gamma,
    gaussian_information,
    linear_cka,
    non_target_divergence,
    representation_margin,
)
from mmkd_lab.shares.prediction import auc, predictions, spearman
from mmkd_lab.study import rival_hypotheses

#: Every combination of signs: columns of variance 1 without any correlation.
SIGNS = np.array(list(product([-1.0, 1.0], repeat=4)))


def numbers(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


# MFH

MANY = np.tile(SIGNS, (2000, 1))  # so many samples that the adjustment for features does not count


def weights(*sizes):
    return np.array([[-w for w in sizes], list(sizes)])


@pytest.mark.parametrize(("shared", "share"), [(0, 0.0), (1, 0.25), (2, 0.5), (3, 0.75), (4, 1.0)])
def test_with_equal_weights_gamma_is_the_share_of_shared_channels(shared, share):
    own = numbers(0, len(MANY), 1)
    student = np.concatenate([MANY[:, :shared], own], axis=1)
    assert gamma(MANY @ weights(1, 1, 1, 1).T, student) == pytest.approx(share, abs=1e-3)


def test_gamma_knows_no_scale_no_rotation_and_no_offset():
    z, student = numbers(0, 60, 5), numbers(1, 60, 4) + numbers(0, 60, 5)[:, :4]
    expected = gamma(z, student)
    turn, _ = np.linalg.qr(numbers(2, 4, 4))
    assert gamma(0.01 * z + 3.0, -7.0 * student @ turn - 1.0) == pytest.approx(expected)
    assert gamma(
        z, np.concatenate([student, np.full((60, 2), 4.0), student[:, :1]], axis=1)
    ) == pytest.approx(expected)  # dead and repeated features are none


def test_unrelated_features_give_a_gamma_of_zero_on_average():
    found = [gamma(numbers(2 * s, 40, 3), numbers(2 * s + 1, 40, 12)) for s in range(300)]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(300)
    assert np.std(found) > 0.02


@pytest.mark.parametrize(("shared", "own"), [(2, 8), (5, 5), (8, 2)])
def test_in_declared_worlds_gamma_is_one_for_shared_channels_and_zero_for_the_rest(shared, own):
    world = World(
        shared,
        own,
        0,
        hidden=0,
        width_a=20,
        width_b=20,
        n_train=2000,
        hyperplane="ones",
        stream="independent",
    )
    drawn = worlds(world, [0])
    rows = drawn.rows("train")
    seen, student = drawn.a[0, rows], drawn.b[0, rows]
    general = world.columns("a", "shared")
    specific = np.setdiff1d(np.arange(20), general)
    assert gamma(seen[:, general] @ weights(*[1] * shared).T, student) == pytest.approx(1.0)
    assert gamma(seen[:, specific] @ weights(*[1] * (20 - shared)).T, student) == pytest.approx(0.0, abs=0.02)
    decisive = np.concatenate([general, world.columns("a", "specific")])
    regular = gamma(seen[:, decisive] @ weights(*[1] * (shared + own)).T, student)
    assert regular == pytest.approx(world.gamma_a, abs=0.03)


# NTDH


def test_non_target_divergence_by_hand():
    teacher = np.array([[9.0, np.log(3.0), 0.0], [0.0, -4.0, np.log(3.0)]])
    student = np.array([[-2.0, 1.0, 1.0], [0.5, 3.0, 0.5]])
    expected = 0.75 * np.log(0.75 / 0.5) + 0.25 * np.log(0.25 / 0.5)
    found = non_target_divergence(teacher, student, np.array([0, 1]))
    assert found == pytest.approx(expected)  # in both rows (3/4, 1/4) against (1/2, 1/2)


def test_non_target_divergence_ignores_the_target_and_is_zero_for_equals():
    teacher, student, target = numbers(0, 30, 5), numbers(1, 30, 5), np.arange(30) % 5
    moved = teacher.copy()
    moved[np.arange(30), target] += numbers(2, 30)
    assert non_target_divergence(moved, student, target) == pytest.approx(
        non_target_divergence(teacher, student, target)
    )
    assert non_target_divergence(teacher, teacher + 3.0, target) == pytest.approx(0.0, abs=1e-12)
    assert non_target_divergence(teacher, student, target) > 0


# CCH


def test_gaussian_information_of_two_columns_is_their_correlations():
    a, b = numbers(0, 50, 1), numbers(1, 50, 1)
    b = b + 0.8 * a
    rho = np.corrcoef(a[:, 0], b[:, 0])[0, 1]
    assert gaussian_information(a, b) == pytest.approx(-0.5 * np.log(1 - rho**2) - 1 / 100)


def test_gaussian_information_of_joint_gaussians_is_the_closed_form():
    z = numbers(3, 40000, 3)
    a = z[:, :2]
    b = np.stack([0.6 * z[:, 0] + 0.8 * z[:, 2], 5.0 * z[:, 1] + 5.0 * numbers(4, 40000)], axis=1)
    expected = -0.5 * (np.log(1 - 0.36) + np.log(1 - 0.5))
    assert gaussian_information(a, b) == pytest.approx(expected, abs=0.02)
    mixed = a @ np.array([[2.0, 1.0], [0.5, -1.0]]) + 4.0
    assert gaussian_information(mixed, b) == pytest.approx(gaussian_information(a, b))


def test_independent_representations_share_nothing_on_average():
    found = [gaussian_information(numbers(2 * s, 120, 5), numbers(2 * s + 1, 120, 4)) for s in range(300)]
    error = np.std(found) / np.sqrt(300)
    assert abs(np.mean(found)) < 4 * error + 0.01  # the correction is of first order
    raw = 5 * 4 / 240
    assert np.mean(found) + raw > 0.05  # without it they would seem to share


def test_the_margin_is_one_information_less_another():
    y = np.arange(60) % 2
    student = numbers(5, 60, 1) + y[:, None]
    teacher = student + numbers(6, 60, 1)
    rho_t, rho_y = (np.corrcoef(student[:, 0], other)[0, 1] for other in (teacher[:, 0], y))
    expected = -0.5 * np.log(1 - rho_t**2) + 0.5 * np.log(1 - rho_y**2)
    assert representation_margin(teacher, student, y, classes=2) == pytest.approx(expected)


# The plain ones


def test_accuracy_and_entropy_by_hand():
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]))
    assert accuracy(logits, np.array([0, 2])) == 50.0
    first = 0.5 * np.log(2) + 0.5 * np.log(4)
    second = -0.8 * np.log(0.8) - 0.2 * np.log(0.1)
    assert entropy(logits + 3.0) == pytest.approx((first + second) / 2)
    assert entropy(np.zeros((4, 7))) == pytest.approx(np.log(7))


def test_cka_is_one_up_to_rotation_and_zero_for_uncorrelated():
    x = numbers(0, 40, 3)
    turn, _ = np.linalg.qr(numbers(1, 3, 3))
    assert linear_cka(x, -2.5 * x @ turn + 1.0) == pytest.approx(1.0)
    assert linear_cka(SIGNS[:, :2], SIGNS[:, 2:]) == pytest.approx(0.0, abs=1e-12)
    # one of two equal, uncorrelated columns: |A'B|² = N², |A'A| = N sqrt(2), |B'B| = N
    assert linear_cka(SIGNS[:, :2], SIGNS[:, :1]) == pytest.approx(1 / np.sqrt(2))


# Prediction


def test_spearman_is_scipys_with_bonett_and_wrights_interval():
    from scipy.stats import spearmanr

    x, y = numbers(0, 25).round(1), numbers(1, 25).round(1)
    y = (y + 0.5 * x).round(1)  # with ties
    found = spearman(x, y)
    assert found.mean == pytest.approx(spearmanr(x, y).statistic)
    half = 1.959963985 * np.sqrt((1 + found.mean**2 / 2) / 22)
    assert np.arctanh([found.low, found.high]) == pytest.approx(
        np.arctanh(found.mean) + np.array([-half, half])
    )
    assert found.n == 25


def test_few_or_perfectly_ordered_pairs_have_no_interval():
    perfect = spearman([1, 2, 3, 4, 5], [2, 4, 8, 16, 32])
    assert perfect.mean == pytest.approx(1.0)
    assert np.isnan(perfect.low)
    assert np.isnan(spearman([1, 2, 3], [1, 3, 2]).high)


def test_auc_is_the_share_of_ordered_pairs():
    assert auc([3.0, 1.0, 2.0, 2.0], [1.0, -1.0, 2.0, -3.0]) == pytest.approx((1 + 1 + 1 + 0.5) / 4)
    assert auc([1.0, 2.0], [1.0, 2.0]) is None


def planted(seeds=5, arms=("cm_kd", "mg_kd", "ms_kd", "random_kd")):
    """Gains that follow 'good' and run against 'bad', around a different level for every seed."""
    rows = []
    for seed in range(seeds):
        for i, arm in enumerate(arms):
            at = (float("nan") if arm == "cm_kd" else 0.5, "ce + kd", 0)
            for metric, value in (
                ("gain", i - 1.5 + 10 * seed),
                ("good", i),
                ("bad", -i),
                ("level", seed),
                ("information_margin", i - 1.5),
            ):
                role = "student" if metric == "gain" else "teacher"
                rows.append(("rivals", "toy", arm, role, seed, "test", metric, float(value), *at))
    return pd.DataFrame(rows, columns=[*COLUMNS, "ratio", "loss", "draw"])


def test_a_planted_order_is_found_within_seeds():
    found = {one.rival: one for one in predictions(planted())}
    assert set(found) == {"good", "bad", "information_margin"}  # 'level' does not vary within a seed
    assert found["good"].within.mean == pytest.approx(1.0)
    assert found["bad"].within.mean == pytest.approx(-1.0)
    assert found["good"].within.n == 5
    assert abs(found["good"].pooled.mean) < 0.5  # seeds differ far more than arms
    assert found["good"].pooled.n == 20
    assert (found["good"].gained, found["good"].lost) == (18, 2)
    assert found["good"].hits is None
    assert found["information_margin"].hits == pytest.approx((2 * 5 + 2) / 20)
    assert found["information_margin"].base_rate == 18 / 20  # the seeds' levels make nearly all of them gains
    assert (found["information_margin"].claims, found["good"].claims) == (1, None)


def test_rivals_are_compared_on_the_runs_that_all_of_them_have():
    table = planted()
    without = table[~((table["metric"] == "bad") & (table["arm"] == "cm_kd"))]
    found = {one.rival: one for one in predictions(without)}
    assert {name: one.pooled.n for name, one in found.items()} == dict.fromkeys(found, 15)
    nowhere = table[table["metric"] != "bad"]
    assert {one.pooled.n for one in predictions(nowhere)} == {20}


def test_the_corrected_interval_is_bonferronis():
    noisy = planted()
    where = noisy["metric"] == "good"
    noisy.loc[where, "value"] += numbers(3, int(where.sum()))
    found = {one.rival: one for one in predictions(noisy)}
    each = [
        spearman(rows["good"], rows["gain"]).mean
        for _, rows in noisy.pivot_table(index=["seed", "arm"], columns="metric", values="value").groupby(
            "seed"
        )
    ]
    for name, level in (("within", 0.95), ("corrected", 1 - 0.05 / 3)):
        wanted = mean_interval(np.array(each), level=level)
        one = getattr(found["good"], name)
        assert (one.mean, one.low) == pytest.approx((wanted.mean, wanted.low))
        assert one.high == pytest.approx(min(1.0, wanted.high))


# The study


def run(arm="mg_kd", seed=0, *, classes=3, gain=1.0, ratio=0.5, draw=0, loss="ce + kd", n=40):
    stream = 100 * seed + len(arm) + 10 * draw
    features = numbers(stream, n, 6)
    head = numbers(stream + 1, classes, 6)
    student = numbers(stream + 2, n, 4) + features[:, :4]
    return TaughtStudent(
        dataset="toy",
        student="b",
        arm=arm,
        loss=loss,
        ratio=ratio,
        draw=draw,
        seed=seed,
        split="val",
        gain=gain,
        teacher_features=features,
        teacher_logits=features @ head.T,
        student_features=student,
        student_logits=student @ numbers(stream + 3, 4, classes),
        target=np.arange(n) % classes,
    )


def runs(**options):
    arms = ("cm_kd", "aligned_kd", "mg_kd", "ms_kd", "weight_kd")
    return [
        run(arm, seed, gain=float(numbers(seed, 9)[i]), ratio=None if i < 2 else 0.5, **options)
        for seed in range(4)
        for i, arm in enumerate(arms)
    ]


def test_every_run_has_every_number_and_its_gain():
    study = rival_hypotheses(runs())
    assert study.table.groupby("metric").size().to_dict() == dict.fromkeys(["gain", *RIVALS], 20)
    assert set(study.table.query("metric != 'gain'")["split"]) == {"val"}
    assert {p["rival"] for p in study.provenance["prediction"]} == set(RIVALS)
    assert all(p["within"]["n"] == 4 and p["pooled"]["n"] == 20 for p in study.provenance["prediction"])
    assert dict(study.provenance["left_out"]) == {}
    assert "(20 runs, 4 seeds)" in study.verdict
    first = study.table.query("metric == 'cka'").iloc[0]["value"]
    one = runs()[0]
    assert first == linear_cka(one.teacher_features, one.student_features)


def test_what_cannot_be_computed_is_left_out_and_named():
    two = rival_hypotheses(runs(classes=2))
    assert "non_target_divergence" not in set(two.table["metric"])
    assert len(two.provenance["left_out"]) == 20
    mute = [*runs(), replace(run("random_kd"), teacher_features=np.ones((40, 6)))]
    study = rival_hypotheses(mute)
    assert study.table.groupby("metric").size()["teacher_entropy"] == 21
    assert study.table.groupby("metric").size()["cka"] == 20
    assert "the 20 of 21 runs that all rivals have" in study.verdict
    assert {p["pooled"]["n"] for p in study.provenance["prediction"]} == {20}
    assert set(study.provenance["left_out"]) == {
        f"{name}, random_kd, 0.5, 0, seed 0" for name in ("information_margin", "cka")
    }


@pytest.mark.parametrize(("sign", "word"), [(1.0, "more"), (-1.0, "less")])
def test_the_title_is_about_the_loss_that_is_drawn(sign, word):
    both = [
        replace(one, loss=loss, gain=factor * accuracy(one.teacher_logits, one.target))
        for loss, factor in (("ce + kd", sign), ("kd alone", -sign))
        for one in runs()
    ]
    study = rival_hypotheses(both)
    judged = "as claimed" if sign > 0 else "against its claim"
    assert (
        study.title == f"Within a seed, the gain goes best with {word} teacher accuracy, {judged} (ce + kd)"
    )
    assert study.options["loss"] == "ce + kd"
    sides = {1.0: "+1.00", -1.0: "−1.00"}
    first = (
        f"by ce + kd (20 runs, 4 seeds), shown: teacher accuracy {sides[sign]}, the same in all 4 (+); not"
    )
    assert f"{first} shown: gamma" in study.verdict
    assert study.verdict.index(f"teacher accuracy {sides[sign]}") < study.verdict.index("by kd alone")
    assert "] (−), information margin" in study.verdict  # non-target divergence: the smaller, the better
    assert "guessing a gain is right in 1.00" in study.verdict


@pytest.mark.parametrize("noise", [0.0, 0.5, 9.0])
def test_every_rival_is_told_with_the_sign_it_claims_and_every_hit_with_what_guessing_hits(noise):
    gains = iter(noise * numbers(3, 20) - 31.3)
    some = [replace(one, gain=accuracy(one.teacher_logits, one.target) + next(gains)) for one in runs()]
    study = rival_hypotheses(some)
    text = study.verdict.partition(" seeds), ")[2]
    shown = text.partition("not shown: ")[0] if text.startswith("shown: ") else ""
    sure = set()
    for one in predictions(study.table):
        sign = "+" if RIVALS[one.rival].claims > 0 else "−"
        said = f"{RIVALS[one.rival].words} {one.within.show(signed=True)} ({sign})"
        assert (said in shown, said in text) == (one.is_sure, True)
        sure |= {one.rival} if one.is_sure else set()
    assert ("teacher_accuracy" in sure) == (noise < 5)
    wide = study.table.pivot_table(index=["arm", "seed"], columns="metric", values="value")
    gained = (wide["gain"] > 0).mean()
    hits = (np.sign(wide["information_margin"]) == np.sign(wide["gain"])).mean()
    word, guess = ("gain", gained) if gained >= 0.5 else ("loss", 1 - gained)
    assert f"in {hits:.2f} of the runs, and always guessing a {word} is right in {guess:.2f}" in text


def test_saved_it_loads_with_its_figure(tmp_path):
    study = rival_hypotheses(runs())
    again = Study.load(study.save(tmp_path))
    assert repr(again) == study.verdict
    assert again.table.equals(study.table)


def test_runs_that_are_none_or_of_two_studies_are_refused():
    for runs_, words in (
        ([], ["runs = []", "loaded from disk"]),
        ([*runs(), replace(run(), student="a")], ["[('toy', 'a'), ('toy', 'b')]", "one student"]),
        ([run(), replace(run(), dataset="b")], ["[('b', 'b'), ('toy', 'b')]", "one dataset"]),
    ):
        with pytest.raises(LabError) as raised:
            rival_hypotheses(runs_)
        assert all(word in str(raised.value) for word in words)
