"""What is wrong with a study's networks is said, and only then; logistic regression stands beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.experiments.checks import CHECKS, Checked, Facts, Network
from mmkd_lab.experiments.plain import KERNEL, LINEAR, STRENGTHS, PlainTask, fit_plain
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.study import failure_cases
from mmkd_lab.training.recipe import Recipe
from tests.study.tiny import SPEC, paired, study
from tests.study.tiny_msd import compare, with_text

FACTS = Facts(
    {"train": 50.0, "val": 50.0, "test": 50.0},
    {"train": 400, "val": 100, "test": 100},
    {LINEAR: {"val": 60.0, "test": 99.0}, KERNEL: {"val": 70.0, "test": 0.0}},
)
GOOD = Network({"train": 80.0, "val": 75.0, "test": 74.0}, 2, {1: 0.9, 9: 0.5, 18: 0.6}, 20)


def _changed(losses=None, labels=2, **scores):
    return replace(GOOD, scores={**GOOD.scores, **scores}, labels=labels, losses=losses or GOOD.losses)


#: The network that a check must notice, and the nearest that it must not.
NOTICED = {
    # Half of four networks; the best of 20 epochs by validation loss is the 19th, or the 18th.
    "falling": (_changed({18: 0.6, 19: 0.5, 20: 0.6}), _changed({18: 0.5, 19: 0.6, 20: 0.7})),
    # 1.96 sqrt(50 * 50 / 400) = 4.9 points.
    "near_chance": (_changed(train=54.8, val=50.0, test=50.0), _changed(train=55.0, val=54.9, test=54.9)),
    "memorised": (_changed(train=90.0, val=69.9, test=69.9), _changed(train=90.0, val=70.0, test=70.0)),
    # Three times sqrt((75 * 25 + 56 * 44) / 100) = 19.8 points.
    "splits_apart": (_changed(val=75.0, test=55.0), _changed(val=75.0, test=56.0)),
    "one_class": (_changed(labels=1), GOOD),
    "below_chance": (_changed(test=49.9, val=50.0), _changed(test=50.1, val=50.0)),
    "below_plain": (_changed(val=69.9, test=69.9), _changed(val=70.1, test=70.1)),
}


@pytest.mark.parametrize("name", NOTICED)
def test_a_check_notices_what_it_is_for_and_no_less(name):
    (check,) = (one for one in CHECKS.values() if one.__name__ == name)
    bad, fine = NOTICED[name]
    assert check([bad] * 4, FACTS) is not None
    assert check([fine] * 4, FACTS) is None


def test_every_check_is_tried_and_a_sound_network_passes_all():
    assert {check.__name__ for check in CHECKS.values()} == set(NOTICED)
    found = Checked({"KD": [GOOD] * 3}, {"KD": [GOOD]}, FACTS)
    assert (found.notes, found.beside) == ([], "")


def test_a_note_names_arms_and_numbers():
    late = _changed({20: 0.5})
    facts = replace(FACTS, plain={LINEAR: {"val": 70.0}, KERNEL: {"val": 76.0}})
    other = replace(late, same_input=False)
    found = Checked({"KD": [GOOD, late], "no KD": [GOOD]}, {"KD": [other], "UM": [GOOD]}, facts)
    assert found.notes == [
        "The validation loss was still falling when training ended: students of KD (1 of 2 networks) and "
        "teachers of KD (1 of 1 networks).",
        "A plain classifier on the same input has the better score: students of KD (75.0 against 76.0 by an "
        "RBF SVM), students of no KD (75.0 against 76.0 by an RBF SVM) and teachers of UM (75.0 against 76.0 "
        "by an RBF SVM).",
    ]


@pytest.mark.parametrize(("best", "noticed"), [(73.0, False), (74.1, True)])
def test_seeds_that_scatter_excuse_three_points_and_no_more(best, noticed):
    """Validation scores of 62, 71 and 80: mean 71, half an interval 22 points."""
    (check,) = (one for one in CHECKS.values() if one.__name__ == "below_plain")
    facts = replace(FACTS, plain={KERNEL: {"val": best, "test": 0.0}})
    assert (check([_changed(val=val) for val in (62.0, 71.0, 80.0)], facts) is not None) is noticed


def _guesses(n=400, *, classes=2):
    """62 % of one class, and inputs that tell nothing of it."""
    generator = torch.Generator().manual_seed(0)
    values = {name: torch.randn(n, 30, generator=generator) for name in "ab"}
    target = (torch.rand(n, generator=generator) > 0.62).long()
    where = torch.arange(n)
    splits = {"train": where[:100], "val": where[100:150], "test": where[150:]}
    return PairedData("guesses", values, target, splits, tuple("xyz"[:classes]))


def test_students_worse_than_a_constant_answer_are_not_compared_without_saying_so(tmp_path):
    data = _guesses()
    share = 100 * float((data.target[data.positions("test")] == 0).double().mean())
    long = Recipe(epochs=30, batch_size=16, lr=0.01, select="last")
    found = study(tmp_path, data=data, arms=["no_kd", "cm_kd"], recipe=long)
    students = found.table.query("role == 'student' and split == 'test' and metric == 'accuracy'")
    assert students["value"].max() < share
    said = f"All students do worse than always giving the same answer ({share:.1f} %)."
    assert said in found.verdict
    assert said in found.title
    assert any(
        note.startswith("Training and validation scores are far apart") for note in found.provenance["notes"]
    )
    assert all(note.replace("'", "&#x27;") in found._repr_html_() for note in found.provenance["notes"])


def _few():
    """323 training samples of 27 classes."""
    generator = torch.Generator().manual_seed(0)
    n = 323 + 2 * 108
    target = torch.arange(n) % 27
    values = {
        name: torch.randn(27, 20, generator=generator)[target] + 0.7 * torch.randn(n, 20, generator=generator)
        for name in "ab"
    }
    where = torch.arange(n)
    splits = {"train": where[:323], "val": where[323:431], "test": where[431:]}
    return PairedData("few", values, target, splits, tuple(map(str, range(27))))


def test_few_samples_are_trained_on_for_as_many_steps_as_many_are(tmp_path):
    data, given = _few(), {"student": "b", "arms": ["no_kd"], "seeds": range(2), "student_model": SPEC}
    given |= {"store": ResultStore(tmp_path), "device": "cpu", "progress": False}
    short = Recipe(epochs=20, batch_size=64, lr=3e-3, patience=5)
    before = failure_cases(data, recipe=short, **given)
    assert short.length(323) == (6, 120)
    assert before.provenance["notes"][0].startswith(
        "The validation loss was still falling when training ended"
    )
    after = failure_cases(data, **given)
    assert after.provenance["notes"][0] == (
        "Students train for 107 epochs instead of 20: with 323 samples an epoch has 6 steps, and 640 are to "
        "be made, 642 in all."
    )
    scores = [
        one.table.query("arm == 'no_kd' and metric == 'accuracy'").groupby("split")["value"].mean()
        for one in (before, after)
    ]
    assert (scores[1] - scores[0]).min() > 10  # points, on every split


def test_logistic_regression_is_scikit_learns_on_the_flattened_standardised_input():
    data = paired("images")  # 64 columns, 60 samples
    x, y = (one.numpy() for one in (data.modalities["b"].double().flatten(1), data.target))
    where = {split: one.numpy() for split, one in data.splits.items()}
    found = fit_plain(PlainTask((LINEAR,), data, ("b",)))
    fits = {
        c: make_pipeline(StandardScaler(), LogisticRegression(C=c, tol=1e-8, max_iter=1000)).fit(
            x[where["train"]], y[where["train"]]
        )
        for c in STRENGTHS[LINEAR]
    }
    reached = {c: fit.score(x[where["val"]], y[where["val"]]) for c, fit in fits.items()}
    chosen = found.metrics["strength"][LINEAR]
    assert reached[chosen] == max(reached.values())
    for split, rows in where.items():
        want = torch.from_numpy(fits[chosen].predict_proba(x[rows]))
        torch.testing.assert_close(
            torch.from_numpy(found.tensors[f"{LINEAR}/{split}"]).softmax(-1), want, atol=1e-4, rtol=0
        )


def test_support_vectors_are_scikit_learns_on_the_same_input():
    data = paired("images")
    x, y = (one.numpy() for one in (data.modalities["b"].double().flatten(1), data.target))
    where = {split: one.numpy() for split, one in data.splits.items()}
    found = fit_plain(PlainTask((KERNEL,), data, ("b",)))
    fits = {
        c: make_pipeline(StandardScaler(), SVC(C=c)).fit(x[where["train"]], y[where["train"]])
        for c in STRENGTHS[KERNEL]
    }
    reached = {c: fit.score(x[where["val"]], y[where["val"]]) for c, fit in fits.items()}
    chosen = found.metrics["strength"][KERNEL]
    assert chosen == min(c for c in reached if reached[c] == max(reached.values()))
    for split, rows in where.items():
        assert np.array_equal(found.tensors[f"{KERNEL}/{split}"].argmax(1), fits[chosen].predict(x[rows]))


def test_text_is_read_as_a_bag_of_words_and_several_labels_one_by_one():
    data = with_text()  # the words of 'b' are the class
    found = fit_plain(PlainTask((LINEAR,), data, ("b",)))
    assert np.array_equal(
        found.tensors[f"{LINEAR}/test"].argmax(-1), data.target[data.positions("test")].numpy()
    )
    many = torch.nn.functional.one_hot(data.target, 3).double()
    found = fit_plain(PlainTask((LINEAR,), replace(data, target=many, task=Task.MULTI_LABEL), ("b",)))
    assert np.array_equal(found.tensors[f"{LINEAR}/test"] > 0, many[data.positions("test")].numpy() > 0)


def test_the_baseline_has_a_row_a_line_and_no_claim(tmp_path):
    found = compare(tmp_path, with_text(), arms=["no_kd", "kd"], tune=False)
    row = found.summary(metric="accuracy").query("arm == 'linear'")
    assert row[["role", "view", "mean", "n"]].to_numpy().tolist() == [["baseline", "a+b", 100.0, 1]]
    assert "linear" not in set(found.differences()["arm"])
    taught = study(tmp_path, arms=["no_kd", "um_kd"])
    (level,) = taught.summary(metric="accuracy").query("arm == 'linear'")["mean"]
    dotted = [
        [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"]
        for one in (taught, found)
        for ax in one.plot().axes
    ]
    assert dotted[:3] == [[], [pytest.approx(level)], []]  # among students, and in no difference
    assert not any(dotted[3:])
    assert "linear" not in [text.get_text() for text in found.plot().axes[0].get_yticklabels()]
