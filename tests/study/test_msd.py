"""KD against MSD: what is trained, what is measured, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import Task
from mmkd_lab.distill import ARMS as REGISTRY
from mmkd_lab.distill import UnreliableTeacher, Weighting
from mmkd_lab.experiments import Study
from mmkd_lab.experiments.experiment import strengths_of
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.experiments.summary import COLUMNS
from mmkd_lab.experiments.table import densities, metrics
from mmkd_lab.experiments.tuning import STUDENT_RATE, TEACHER_RATE, Tried, at_the_end, best
from mmkd_lab.study import kd_vs_msd
from mmkd_lab.study.msd import ARMS
from tests.study.tiny import RECIPE, SPEC, paired
from tests.study.tiny_msd import FEW, compare, values, with_text

PLAIN = ("accuracy", "balanced_accuracy", "macro_f1", "nll")


@pytest.fixture(scope="module")
def once(shared):
    return shared, compare(shared)


# What is in the table


def test_every_arm_is_there_under_every_view_with_every_metric(once):
    table = once[1].table
    assert list(table.columns) == [*COLUMNS, "view"]
    assert set(table["arm"]) == {"teacher", "linear", *ARMS}
    test = table[table["split"] == "test"]
    assert set(test["view"]) == {"a+b", "a", "b"}
    per = test[test["role"] == "student"].groupby(["arm", "seed", "view"])["metric"].agg(set)
    assert set(map(frozenset, per)) == {frozenset({*PLAIN, "ece", "js", "agreement", "w1"})}
    assert len(per) == len(ARMS) * 2 * 3
    own = test[test["role"] == "teacher"]
    assert set(own["metric"]) == {*PLAIN, "ece"}


def test_training_is_timed_and_kd_takes_as_long_as_itself(once):
    assert values(once[1], "kd", "steps_of_kd", split="train") == pytest.approx([1.0, 1.0])
    assert (values(once[1], "msd_learned", "seconds_per_step", split="train") > 0).all()


def test_the_mean_weight_is_one_for_every_scheme(once):
    for arm in (name for name in ARMS if name.startswith("msd_")):
        a, b = (values(once[1], arm, "weight", view=view, split="train") for view in ("a", "b"))
        assert (a + b) / 2 == pytest.approx([1.0, 1.0], abs=1e-5)
    assert values(once[1], "msd_uniform", "ess", view="a", split="train") == pytest.approx([1.0, 1.0])
    assert (values(once[1], "msd_instance", "ess", view="a", split="train") < 1.0).all()


def test_controls_keep_the_weights_and_break_their_meaning(once):
    for view, other in (("a", "b"), ("b", "a")):
        mine = values(once[1], "msd_instance", "weight", view=view, split="train")
        assert values(once[1], "msd_shuffled", "weight", view=view, split="train") == pytest.approx(
            mine, abs=1e-5
        )
        assert values(once[1], "msd_wrong", "weight", view=other, split="train") == pytest.approx(
            mine, abs=1e-5
        )


def test_a_second_run_comes_from_the_store_and_is_the_same(once):
    again = compare(once[0])
    assert "trained" not in again.provenance["networks"]
    assert again.table.equals(once[1].table)


# What arms have in common


def test_without_a_factor_msd_is_kd_and_without_rho_kd_is_no_kd(shared):
    found = compare(shared, arms=FEW, tune=False, kd_weight=0.0, msd_weight=0.0)
    for view in ("a+b", "a", "b"):
        for arm in ("kd", "msd_uniform", "msd_instance"):
            assert values(found, arm, view=view) == pytest.approx(values(found, "no_kd", view=view), abs=1e-4)


def test_all_arms_learn_from_the_same_samples_which_are_not_those_of_meta(once):
    samples = once[1].provenance["samples"]
    assert samples["train"] + samples["meta"] == 60
    assert samples["meta"] == 12


def test_strengths_are_the_best_on_validation_and_every_method_had_five_candidates(once):
    tuning, strengths = once[1].provenance["tuning"], once[1].provenance["strengths"]
    for name, chosen in strengths.items():
        seen = [one for one in tuning if one["choice"] == name]
        assert [one["n"] for one in seen] == [3] * 5
        best = min(seen, key=lambda one: (-one["val"], one["nll"]))
        assert chosen == best["value"]
    assert set(strengths) == {one.name for one in strengths_of([REGISTRY[arm] for arm in ARMS])}


def test_rates_are_those_that_learn_best_from_labels_alone(shared):
    slow = compare(shared, arms=["kd"], seeds=[0], tune=False, rates=[1e-5, RECIPE.lr])
    plain = compare(shared, arms=["kd"], seeds=[0], tune=False)
    tried = slow.provenance["tuning"]
    assert [(one["choice"], one["value"]) for one in tried] == [
        (choice, rate) for choice in (STUDENT_RATE, TEACHER_RATE) for rate in (1e-5, RECIPE.lr)
    ]
    assert all(one["val"] < other["val"] for one, other in (tried[:2], tried[2:]))
    assert slow.provenance["student_recipe"]["lr"] == slow.provenance["teacher_recipe"]["lr"] == RECIPE.lr
    assert torch.equal(slow.outputs["kd"]["a+b"], plain.outputs["kd"]["a+b"])
    assert "rate" in " ".join(slow.provenance["notes"])
    assert not plain.provenance["tuning"]


def test_ties_go_to_the_lower_nll_and_ends_are_told():
    some = [
        Tried("kd", v, "accuracy", val, nll, 3)
        for v, val, nll in ((0.1, 50, 2), (0.5, 60, 1.5), (0.9, 60, 1))
    ]
    assert best(some) == 0.9
    assert at_the_end(some) == {"kd": 0.9}
    assert at_the_end([*some, Tried("kd", 2.0, "accuracy", 40, 1, 3)]) == {}
    assert at_the_end(some[:1]) == {}


def test_the_test_split_chooses_nothing(shared):
    data = paired()
    where = data.positions("test")
    target = data.target.clone()
    target[where] = target[where].roll(1)
    plain = compare(shared, data, arms=FEW)
    other = compare(shared, replace(data, target=target), arms=FEW)
    assert plain.provenance["strengths"] == other.provenance["strengths"]
    for arm in FEW:
        for view, logits in plain.outputs[arm].items():
            assert torch.equal(logits, other.outputs[arm][view])


def test_a_gate_lowers_the_weights_of_views_the_teacher_knows_less_of(shared):
    found = compare(shared, arms=["kd", "msd_uniform"], tune=False, gate=True)
    for view in ("a", "b"):
        known, full = (
            found.reliability.query("view == @one")[["accuracy", "chance"]].to_numpy()
            for one in (view, "a+b")
        )
        share = (known[:, 0] - known[:, 1]) / (full[:, 0] - full[:, 1])
        got = values(found, "msd_uniform", "weight", view=view, split="train")
        assert got == pytest.approx(np.clip(share, 0, 1), abs=1e-5)


def test_dropout_makes_another_teacher(once, shared):
    found = compare(shared, arms=["kd"], tune=False, teacher_dropout=0.4)
    assert found.provenance["teacher_recipe"]["modality_dropout"] == 0.4
    assert values(found, "teacher", view="b").tolist() != values(once[1], "teacher", view="b").tolist()


def test_an_unreliable_teacher_is_said_once_and_kept(shared):
    data = paired()
    noise = torch.randn(data.modalities["b"].shape, generator=torch.Generator().manual_seed(5))
    blind = replace(data, modalities={**data.modalities, "b": noise})
    options = {
        "seeds": [0],
        "student_model": SPEC,
        "teacher_model": SPEC,
        "recipe": RECIPE,
        "meta_share": 0.2,
    }
    with pytest.warns(UnreliableTeacher, match=r"Seeing b only.*teacher_dropout=0.3, .*gate=True") as caught:
        found = kd_vs_msd(
            blind,
            arms=["kd"],
            tune=False,
            store=ResultStore(shared),
            device="cpu",
            progress=False,
            **options,
        )
    assert len([one for one in caught if one.category is UnreliableTeacher]) == 1
    assert caught[0].filename == __file__
    assert any("Seeing b only" in said for said in found.provenance["unreliable"])


# Other data


def test_three_modalities_have_views_that_keep_one_and_views_that_drop_one(shared):
    data = paired(modalities=("a", "b", "c"))
    found = compare(shared, data, arms=["kd", "msd_instance"], aux="drop", tune=False, seeds=[0])
    assert set(found.table["view"]) == {"a+b+c", "a", "b", "c", "a+b", "a+c", "b+c"}
    weighed = found.table.query("metric == 'weight'")
    assert set(weighed["view"]) == {"a+b", "a+c", "b+c"}
    assert weighed["value"].mean() == pytest.approx(1.0, abs=1e-5)


def test_multi_label_targets_are_scored_by_f1_and_leave_dkd_out(shared):
    data = paired()
    labels = torch.nn.functional.one_hot(data.target, 3).float()
    labels[:, 0] = torch.maximum(labels[:, 0], labels[:, 2])
    many = replace(data, target=labels, task=Task.MULTI_LABEL)
    found = compare(shared, many, arms=[*FEW, "dist", "multi_teacher", "msd_learned"], seeds=[0], tune=False)
    assert found.options["metric"] == "macro_f1"
    assert {"macro_f1", "micro_f1", "js"} <= set(found.table["metric"])
    with pytest.raises(LabError, match=r"arms = 'dkd'.*multi-label"):
        compare(shared, many, arms=["kd", "dkd"])


# Metrics by hand


def test_a_student_that_says_what_its_teacher_says_is_at_distance_zero():
    logits = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    found = metrics(logits, torch.arange(20) % 3, Task.SINGLE_LABEL, logits + 5.0)
    assert (found["js"], found["w1"]) == pytest.approx((0.0, 0.0), abs=1e-6)
    assert found["agreement"] == 100.0


def test_wasserstein_is_the_mean_gap_of_sorted_scores():
    def said(p):
        return torch.tensor([[0.0, np.log(x / (1 - x))] for x in p])

    target = torch.zeros(3, dtype=torch.int64)
    found = metrics(said([0.2, 0.5, 0.9]), target, Task.SINGLE_LABEL, said([0.6, 0.1, 0.3]))
    assert found["w1"] == pytest.approx((0.1 + 0.2 + 0.3) / 3, abs=1e-6)
    # second above a half: no, tie, yes against yes, no, no
    assert found["agreement"] == pytest.approx(100 / 3)


def test_the_score_is_the_second_class_of_two_and_the_true_class_of_more():
    two = torch.log(torch.tensor([[0.3, 0.7]]))
    three = torch.log(torch.tensor([[0.2, 0.3, 0.5]]))
    assert densities(two, torch.tensor([0]), Task.SINGLE_LABEL).item() == pytest.approx(0.7)
    assert densities(three, torch.tensor([1]), Task.SINGLE_LABEL).item() == pytest.approx(0.3)
    both = densities(torch.zeros(4, 5), torch.zeros(4, 5), Task.MULTI_LABEL)
    assert both.shape == (4, 5)
    assert both.unique().tolist() == [0.5]


# The study as an object


def test_saved_and_loaded_it_has_the_same_table_figure_and_words(once, tmp_path):
    few = compare(once[0], arms=["kd", "msd_instance"])
    few.save(tmp_path)
    back = Study.load(tmp_path / few.name)
    assert back.table.equals(few.table)
    assert back.verdict == few.verdict
    assert back.plot().png(dpi=30) == few.plot().png(dpi=30)


def test_scores_are_one_row_per_sample_seed_and_view(once):
    found = once[1].scores("teacher", "kd")
    assert len(found) == 2 * 3 * 2 * 30
    assert found["score"].between(0, 1).all()
    with pytest.raises(LabError, match=r"arm = 'kdd'.*Did you mean 'kd'"):
        once[1].scores("kdd")
    empty = replace(once[1], outputs={})
    with pytest.raises(LabError, match="has no outputs"):
        empty.scores()


def test_learned_weights_are_kept_over_time_and_those_by_instance_for_every_sample(once):
    time = once[1].weights_over_time
    assert set(time["arm"]) == {"msd_global", "msd_learned"}
    assert time.groupby(["arm", "seed", "step"])["value"].sum().to_numpy() == pytest.approx(2.0, abs=1e-5)
    each = once[1].weights_by_sample
    assert each.groupby("arm").size().to_dict() == dict.fromkeys(("msd_instance", "msd_learned"), 2 * 2 * 48)
    sums = each.groupby(["arm", "seed", "sample"])["value"].sum()
    assert sums.to_numpy() == pytest.approx(2.0, abs=1e-5)
    learned = each.query("arm == 'msd_learned'")
    assert (learned.groupby(["seed", "view"])["value"].std() > 0).all()


def test_the_table_has_the_mean_and_the_effective_share_of_learned_weights(once):
    each = once[1].weights_by_sample
    for view in ("a", "b"):
        means, shares = (
            values(once[1], "msd_learned", metric, view=view, split="train") for metric in ("weight", "ess")
        )
        for seed in (0, 1):
            mine = each.query("arm == 'msd_learned' and seed == @seed and view == @view")["value"]
            assert means[seed] == pytest.approx(mine.mean(), abs=1e-6)
            assert shares[seed] == pytest.approx(mine.sum() ** 2 / (mine**2).sum() / len(mine), abs=1e-6)
        assert (shares < 1.0).all()
        assert values(once[1], "msd_global", "ess", view=view, split="train") == pytest.approx([1.0, 1.0])
        time = once[1].weights_over_time.query("arm == 'msd_global' and view == @view")
        last = time.sort_values("step").groupby("seed")["value"].last().to_numpy()
        found = values(once[1], "msd_global", "weight", view=view, split="train")
        assert found == pytest.approx(last, abs=1e-5)


def test_a_gate_lowers_learned_weights_too(shared):
    found = compare(shared, arms=["kd", "msd_uniform", "msd_learned"], seeds=[0], tune=False, gate=True)
    for view in ("a", "b"):
        gate = values(found, "msd_uniform", "weight", view=view, split="train")
        each = found.weights_by_sample.query("view == @view")["value"]
        assert values(found, "msd_learned", "weight", view=view, split="train") == pytest.approx(each.mean())
        assert each.max() <= 2 * gate[0] + 1e-6


def test_differences_are_from_kd_under_each_view(once):
    found = once[1].differences()
    assert set(found["against"]) == {"kd"}
    assert len(found) == 3 * (len(ARMS) - 1)
    row = found.query("arm == 'no_kd' and view == 'a'").iloc[0]
    by_hand = values(once[1], "no_kd", "accuracy", "a") - values(once[1], "kd", "accuracy", "a")
    assert row["mean"] == pytest.approx(by_hand.mean())


# What is refused


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"arms": ["no_kd", "msd_uniform"]}, ["arms", "must hold 'kd'"]),
        ({"arms": ["kd", "msd_uniformly"]}, ["msd_uniformly", "Did you mean 'msd_uniform'"]),
        ({"removal": "zeroes"}, ["removal = 'zeroes'", "Did you mean 'zeros'"]),
        ({"removal": "attention"}, ["removal = 'attention'", "cannot do it", "zeros"]),
        ({"removal": "permutation", "arms": ["kd", "kd_drop"]}, ["arms = 'kd_drop'", "permutation"]),
        ({"removal": "permutation", "teacher_dropout": 0.3}, ["teacher_dropout = 0.3", "permutation"]),
        ({"aux": "every"}, ["aux = 'every'"]),
        ({"temperature": 0}, ["temperature = 0"]),
        ({"kd_weight": 1.5}, ["kd_weight = 1.5"]),
        ({"msd_weight": -1}, ["msd_weight = -1"]),
        ({"drop": 0.0}, ["drop = 0"]),
        ({"meta_share": 0.0}, ["share = 0"]),
        ({"meta_share": 0.001, "data": "grouped"}, ["share"]),
        ({"teacher_dropout": 1.0}, ["teacher_dropout = 1"]),
        ({"seeds": [1, 1]}, ["seeds", "twice"]),
        ({"weighting": "normalised"}, ["weighting = 'normalised'", "Weighting"]),
        ({"weighting": Weighting("uniform")}, ["weighting.scheme = 'uniform'", "weigh", "msd_uniform"]),
        (
            {"weighting": Weighting("fixed", fixed={"a": 1.0, "b": 3.0})},
            ["weighting.scheme = 'fixed'", "distill.weigh"],
        ),
        ({"data": "one"}, ["dataset = ['a']", "at least two"]),
        ({"data": "no val"}, ["dataset", "must have a 'val' split"]),
        ({"data": "text", "removal": "mean"}, ["removal = 'mean'", "text"]),
        ({"dataset": 7}, ["dataset", "int"]),
    ],
    ids=str,
)
def test_bad_input_is_named_before_anything_is_trained(tmp_path, options, words):
    known = {
        "one": lambda: paired(modalities=("a",)),
        "no val": lambda: paired(without=("val",)),
        "text": with_text,
        "grouped": lambda: replace(
            paired(), group=torch.arange(3).repeat_interleave(torch.tensor([60, 24, 30]))
        ),
    }
    given = dict(options)
    data = known[given.pop("data")]() if "data" in given else given.pop("dataset", paired())
    with pytest.raises(LabError) as raised:
        compare(tmp_path, data, **given)
    for word in words:
        assert word in str(raised.value)
    assert len(ResultStore(tmp_path)) == 0
