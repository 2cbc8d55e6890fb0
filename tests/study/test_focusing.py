"""Repaired teachers: which channels go, what the teacher says without them, and the study around it."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmkd_lab.study.channels import Editor, Joint, aligned_pair, kept_channels
from mmkd_lab.study.repair_verdict import retold, sentence, title
from mmkd_lab.study.report import file_name

from mmkd_lab.attribution import Alignment, by_channel
from mmkd_lab.attribution.layers import Cut
from mmkd_lab.core.check import LabError
from mmkd_lab.data.datasets.gaussian import World
from mmkd_lab.data.datasets.gaussian import load as gaussian
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.distill.arms import WHOLE
from mmkd_lab.experiments import Study
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.experiments.summary import COLUMNS, differences
from mmkd_lab.models import NetSpec
from mmkd_lab.study import failure_cases
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.replicas import Replicas
from tests.study.tiny import RECIPE, SPEC, TEACHER, paired, repair

EDITED = ("mg_kd", "ms_kd", "random_kd", "weight_kd", "oracle_kd")


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    root = tmp_path_factory.mktemp("repair")
    return root, repair(root)


def values(table, arm, role="student", metric="nll", split="test", ratio=0.25, loss="ce + kd"):
    part = table.query("arm == @arm and role == @role and metric == @metric and split == @split")
    part = part.query("ratio == @ratio and loss == @loss")
    return part.sort_values("seed")["value"].to_numpy()


def pair(data, stream=0, epochs=3):
    return aligned_pair(
        data,
        TEACHER.on("a"),
        SPEC.on("b"),
        joint=Joint(epochs=epochs, batch_size=16),
        streams=(stream, stream + 1),
        device=torch.device("cpu"),
    )


@pytest.fixture(scope="module")
def editor():
    data = paired()
    teacher, student = pair(data)
    saliency = by_channel(teacher, student, data)
    return Editor(teacher, data, Cut(teacher, saliency.layer, saliency.side)), saliency


# What a teacher says without some channels


def test_with_every_channel_the_teacher_says_what_it_says(editor):
    edit, saliency = editor
    plain = Replicas.of([edit.net], device="cpu")
    for channels in (None, np.arange(len(saliency))):
        logits, kept = edit.keeping(channels, features=["val"])
        for split in ("train", "val", "test"):
            torch.testing.assert_close(logits[split], plain.predict(edit.data, split=split)[0])
        np.testing.assert_allclose(
            kept["features/val"], plain.features(edit.data, split="val")[0].numpy(), rtol=1e-6
        )


@pytest.mark.parametrize("replace", ["mean", "zeros"])
def test_a_removed_channel_is_its_training_mean_or_zero_by_hand(editor, replace):
    edit, saliency = editor
    kept = saliency.top(3)
    plain = Replicas.of([edit.net], device="cpu")
    train = plain.features(edit.data, split="train")[0]
    features = plain.features(edit.data, split="test")[0].clone()
    gone = np.setdiff1d(np.arange(8), kept)
    features[:, gone] = train.mean(0)[gone] if replace == "mean" else 0.0
    expected = edit.net.head(features).detach()
    logits, found = edit.keeping(kept, replace=replace, features=["test"])
    torch.testing.assert_close(logits["test"], expected)
    np.testing.assert_allclose(found["features/test"], features.numpy(), rtol=1e-6)


def test_a_removed_channel_does_not_depend_on_the_batch(editor):
    edit, _ = editor
    few = Editor(
        edit.net,
        edit.data.select(torch.cat([edit.data.positions("train"), edit.data.positions("test")[:9]])),
        edit.cut,
    )
    channels = np.array([1, 2])
    torch.testing.assert_close(few.keeping(channels)[0]["test"], edit.keeping(channels)[0]["test"][:9])


def test_a_deeper_layer_is_replaced_where_it_is(editor):
    edit, _ = editor
    deeper = Editor(edit.net, edit.data, Cut(edit.net, "fusion.encoders.0.hidden", "output"))
    channels = np.arange(20)  # of 32
    logits, _ = deeper.keeping(channels, replace="zeros")
    net = copy.deepcopy(edit.net)
    hidden = net.get_submodule("fusion.encoders.0.hidden")
    with torch.no_grad():
        hidden.weight[20:], hidden.bias[20:] = 0.0, 0.0
        expected = net(edit.data.batch(edit.data.positions("test"), ["a"]))
    torch.testing.assert_close(logits["test"], expected)


def test_maps_lose_whole_channels():
    data = paired("images")
    teacher, _ = pair(data, epochs=1)
    layer = next(name for name, module in teacher.named_modules() if isinstance(module, torch.nn.Conv2d))
    edit = Editor(teacher, data, Cut(teacher, layer, "output"))
    logits, _ = edit.keeping(np.array([0]), replace="zeros")
    net = copy.deepcopy(teacher)
    conv = net.get_submodule(layer)
    hook = conv.register_forward_hook(lambda _m, _x, out: torch.cat([out[:, :1], 0 * out[:, 1:]], dim=1))
    with torch.no_grad():
        expected = net(data.batch(data.positions("val"), ["a"]))
    hook.remove()
    torch.testing.assert_close(logits["val"], expected)
    assert not torch.equal(logits["val"], edit.keeping(None)[0]["val"])


@pytest.mark.parametrize(
    ("axis", "shape"), [(1, (4,)), (-1, (4,)), (1, (4, 3, 3)), (-1, (3, 4)), (2, (3, 4, 2))]
)
def test_channels_are_removed_along_any_axis(editor, axis, shape):
    edit = Editor(editor[0].net, editor[0].data, editor[0].cut, axis)
    passed = torch.zeros(5, *shape)
    gone = torch.where(edit._gone(np.array([0, 3]), passed), 1.0, passed)
    each = gone.movedim(axis, 0).flatten(1)
    assert each.amin(1).tolist() == each.amax(1).tolist() == [0.0, 1.0, 1.0, 0.0]


def test_a_retrained_head_reads_the_kept_channels_alone_and_has_learnt(editor):
    edit, saliency = editor
    kept = saliency.top(4)
    recipe = Recipe(epochs=40, batch_size=None, lr=0.1)
    logits, found = edit.retrained(kept, recipe=recipe, stream=3, features=["val"])
    assert found["features/val"].shape == (24, 4)
    assert found["head"].shape == (3, 4)
    full = edit.keeping(None, features=["val"])[1]["features/val"]
    np.testing.assert_array_equal(found["features/val"], full[:, kept])
    shown = found["features/val"] @ found["head"].T
    offset = logits["val"].numpy() - shown
    np.testing.assert_allclose(offset, np.broadcast_to(offset[0], offset.shape), atol=1e-5)  # the bias
    target = edit.data.target[edit.data.positions("train")]
    loss = torch.nn.functional.cross_entropy
    assert loss(logits["train"], target) < loss(edit.keeping(kept)[0]["train"], target)


# Which channels


def test_general_and_specific_channels_are_the_two_ends_of_the_ranking(editor):
    saliency = editor[1]
    ask = {"ratio": 0.25, "seed": 0}
    order = saliency.order.tolist()
    assert kept_channels("mg_kd", saliency, **ask).tolist() == sorted(order[:6])
    assert kept_channels("ms_kd", saliency, **ask).tolist() == sorted(order[2:])
    heavy = np.argsort(-saliency.magnitude)[:6]
    assert kept_channels("weight_kd", saliency, **ask).tolist() == sorted(heavy.tolist())
    truth = np.array([1, 4])
    assert kept_channels("oracle_kd", saliency, truth=truth, **ask).tolist() == [1, 4]


def test_the_number_removed_is_int_of_r_d(editor):
    saliency = editor[1]
    left = {r: len(kept_channels("mg_kd", saliency, ratio=r, seed=0)) for r in (0.0, 0.1, 0.125, 0.375, 0.99)}
    assert left == {0.0: 8, 0.1: 8, 0.125: 7, 0.375: 5, 0.99: 1}


def test_random_channels_differ_by_draw_and_seed_and_are_nested_in_the_ratio(editor):
    saliency = editor[1]
    drawn = {
        (s, k): kept_channels("random_kd", saliency, ratio=0.5, seed=s, draw=k).tolist()
        for s in range(4)
        for k in range(3)
    }
    assert len({tuple(one) for one in drawn.values()}) > 6
    fewer = kept_channels("random_kd", saliency, ratio=0.75, seed=0, draw=1)
    assert set(fewer) < set(drawn[0, 1])
    assert kept_channels("random_kd", saliency, ratio=0.5, seed=0, draw=1).tolist() == drawn[0, 1]


def test_in_a_gaussian_world_algorithm_1_finds_the_declared_channels():
    data = gaussian(
        shared=5,
        specific_a=5,
        specific_b=0,
        hidden=0,
        width_a=20,
        width_b=20,
        hyperplane="ones",
        n_train=1500,
    )
    linear = NetSpec(encoder="linear", standardise=False)
    teacher, student = aligned_pair(
        data,
        linear.on("a"),
        linear.on("b"),
        joint=Joint(epochs=20),
        streams=(1, 2),
        device=torch.device("cpu"),
    )
    saliency = by_channel(teacher, student, data)
    truth = World(5, 5, 0, hidden=0, width_a=20, width_b=20).columns("a", "shared")
    assert kept_channels("mg_kd", saliency, ratio=0.75, seed=0).tolist() == truth.tolist()


# The study


def test_the_table_is_tidy_and_every_arm_has_its_controls_beside_it(once):
    table = once[1].table
    assert list(table.columns) == [*COLUMNS, "ratio", "loss"]
    assert not table.duplicated(subset=[c for c in table.columns if c != "value"]).any()
    arms = ["no_kd", "cm_kd", *WHOLE, *EDITED]
    assert list(dict.fromkeys(table["arm"])) == arms
    per_network = 2 * 3 * 2  # seeds, splits, metrics
    assert len(table) == (len(arms) + len(arms) - 1) * 2 * 2 * per_network
    found = differences(table, against=("no_kd", "cm_kd"))
    assert len(found) == 2 * 2 * 2 * (len(arms) - 1)


def test_arms_without_a_ratio_stand_at_each_of_them(once):
    table = once[1].table
    for arm in ("no_kd", "cm_kd", *WHOLE, "oracle_kd"):
        assert values(table, arm).tolist() == values(table, arm, ratio=0.5).tolist()
    for arm in ("mg_kd", "ms_kd", "random_kd", "weight_kd"):
        assert values(table, arm).tolist() != values(table, arm, ratio=0.5).tolist()
    assert values(table, "no_kd").tolist() == values(table, "no_kd", loss="kd alone").tolist()
    assert values(table, "mg_kd").tolist() != values(table, "mg_kd", loss="kd alone").tolist()


def test_regular_and_plain_students_are_those_of_the_failure_study(once, tmp_path):
    settings = {
        "student_spec": SPEC,
        "teacher_spec": TEACHER,
        "recipe": RECIPE,
        "device": "cpu",
        "progress": False,
    }
    other = failure_cases(
        paired(), student="b", seeds=range(2), store=ResultStore(tmp_path), **settings
    ).table
    for arm in ("no_kd", "cm_kd"):
        for role in ("student", "teacher")[: 1 + (arm == "cm_kd")]:
            expected = other.query("arm == @arm and role == @role and metric == 'nll' and split == 'test'")
            found = values(once[1].table, arm, role)
            np.testing.assert_allclose(found, expected.sort_values("seed")["value"], rtol=1e-5)
    expected = other.query("arm == 'kl_only' and role == 'student' and metric == 'nll' and split == 'test'")
    np.testing.assert_allclose(
        values(once[1].table, "cm_kd", loss="kd alone"), expected.sort_values("seed")["value"], rtol=1e-5
    )


def test_teachers_are_the_aligned_one_without_its_channels(once):
    study = once[1]
    data = paired()
    kept = study.provenance["channels"]["mg_kd, 0.5, 0"]
    assert [len(one) for one in kept] == [4, 4]
    assert (
        values(study.table, "mg_kd", "teacher", ratio=0.5).tolist()
        != values(study.table, "aligned_kd", "teacher").tolist()
    )
    general, specific = (set(study.provenance["channels"][f"{arm}, 0.5, 0"][0]) for arm in ("mg_kd", "ms_kd"))
    assert not general & specific  # half and half of eight channels
    assert study.provenance["channels"]["oracle_kd, None, 0"] == [[0, 5], [0, 5]]
    assert data.fingerprint == study.provenance["fingerprint"]


def test_the_living_channels_that_went_are_counted(once):
    study = once[1]
    for seed in range(2):
        dead = set(np.flatnonzero(study.pairs[seed].saliency.constant).tolist())
        for name, kept in study.provenance["channels"].items():
            gone = set(range(8)) - set(kept[seed]) - dead
            assert study.provenance["living_removed"][name][seed] == len(gone), name


def test_random_channels_are_the_mean_of_their_draws(once):
    study = once[1]
    each = [
        run for run in study.runs if run.arm == "random_kd" and run.ratio == 0.5 and run.loss == "ce + kd"
    ]
    assert len(each) == 4  # two seeds, two draws
    gains = np.array([[run.gain for run in each if run.seed == seed] for seed in range(2)]).mean(1)
    accuracy = {arm: values(study.table, arm, metric="accuracy", ratio=0.5) for arm in ("random_kd", "no_kd")}
    np.testing.assert_allclose(gains, accuracy["random_kd"] - accuracy["no_kd"], atol=1e-5)


def test_pairs_hold_the_ranking_that_the_channels_were_kept_by(once):
    root, study = once
    for seed in range(2):
        kept = study.provenance["channels"]["mg_kd, 0.5, 0"][seed]
        assert study.pairs[seed].saliency.top(4).tolist() == kept
    again = repair(root)  # from the store alone
    for name in ("values", "magnitude"):
        np.testing.assert_array_equal(
            getattr(again.pairs[1].saliency, name), getattr(study.pairs[1].saliency, name)
        )


def test_runs_hold_the_untaught_student_and_their_own_teacher(once):
    study = once[1]
    assert len(study.runs) == 2 * 2 * (
        1 + 2 + 1 + 2 * (1 + 1 + 2 + 1)
    )  # seeds, losses, (cm, whole, oracle, ratios)
    run = next(r for r in study.runs if r.arm == "mg_kd" and r.ratio == 0.5 and r.seed == 1)
    kept = study.provenance["channels"]["mg_kd, 0.5, 0"][1]
    still = np.flatnonzero(np.ptp(run.teacher_features, axis=0) == 0)
    assert set(range(8)) - set(kept) <= set(still)
    assert run.split == "val"
    assert run.teacher_features.shape == (24, 8)
    assert run.student_features.shape == (24, 4)
    said = run.teacher_features @ run.head.T
    offset = run.teacher_logits - said
    np.testing.assert_allclose(offset, np.broadcast_to(offset[0], offset.shape), atol=1e-5)


def test_a_second_run_trains_nothing_and_a_removed_entry_is_made_again(once):
    root, first = once
    again = repair(root)
    assert again.provenance["networks"] == {"stored": first.provenance["networks"]["trained"], "trained": 0}
    assert again.table.equals(first.table)
    victims = sorted(ResultStore(root).root.glob("??/*.json"))[::7]
    for path in victims:
        path.unlink()
    third = repair(root)
    assert 0 < third.provenance["networks"]["trained"] <= len(victims)
    assert third.table.equals(first.table)


def test_more_ratios_reuse_the_pairs_and_what_they_share(once):
    root, _ = once
    study = repair(root, ratios=(0.25, 0.75), arms=["no_kd", "mg_kd", "aligned_kd"], losses=["ce + kd"])
    assert study.provenance["networks"]["trained"] >= 2 * 2  # new teachers and their students
    assert study.provenance["networks"]["stored"] >= 2 * 2  # aligned teachers and the first ratio's


def test_the_unaligned_teacher_is_the_aligned_one_without_the_agreement(once, tmp_path):
    joint = Joint(epochs=3, batch_size=16, objective=Alignment(agreement=0.0))
    study = repair(tmp_path, joint=joint, ratios=[0.5], arms=["no_kd", *WHOLE], losses=["ce + kd"])
    for role in ("teacher", "student"):
        apart = values(once[1].table, "unaligned_kd", role)
        for arm in WHOLE:
            np.testing.assert_allclose(values(study.table, arm, role, ratio=0.5), apart, rtol=1e-5)
        assert np.abs(values(once[1].table, "aligned_kd", role) - apart).min() > 1e-3


def test_with_new_heads_a_whole_teacher_gets_one_too(tmp_path):
    """So that removing nothing is removing nothing."""
    arms = ["no_kd", "aligned_kd", "mg_kd"]
    study = repair(tmp_path, replace="retrain", ratios=[0.0], arms=arms, losses=["ce + kd"])
    for role in ("teacher", "student"):
        whole, edited = (values(study.table, arm, role, ratio=0.0) for arm in ("aligned_kd", "mg_kd"))
        assert whole.tolist() == edited.tolist()


def test_zeros_change_edited_teachers_alone(once, tmp_path):
    arms = ["no_kd", "aligned_kd", "mg_kd"]
    study = repair(tmp_path, replace="zeros", ratios=[0.5], arms=arms, losses=["ce + kd"])
    before = once[1].table
    assert (
        values(study.table, "mg_kd", "teacher", ratio=0.5).tolist()
        != values(before, "mg_kd", "teacher", ratio=0.5).tolist()
    )
    np.testing.assert_allclose(
        values(study.table, "aligned_kd", "teacher", ratio=0.5),
        values(before, "aligned_kd", "teacher"),
        rtol=1e-6,
    )


def test_without_validation_samples_training_ones_are_the_probe(tmp_path):
    recipe = Recipe(epochs=2, batch_size=16, lr=0.01, select="last")
    study = repair(tmp_path, paired(without=("val",)), recipe=recipe, ratios=[0.5], arms=["no_kd", "mg_kd"])
    assert {run.split for run in study.runs} == {"train"}
    assert study.runs[0].teacher_features.shape[0] == 60


def test_any_layer_can_be_repaired(tmp_path):
    study = repair(
        tmp_path,
        paired("images"),
        layer="fusion.encoders.0",
        arms=["no_kd", "mg_kd"],
        ratios=[0.5],
        losses=["kd alone"],
    )
    assert study.provenance["layer"] == "fusion.encoders.0"
    assert study.options["loss"] == "kd alone"
    assert study.options["reference"] == "no_kd"


def test_saved_it_loads_with_its_figure_and_has_no_runs(once, tmp_path):
    study = once[1]
    again = Study.load(study.save(tmp_path))
    assert repr(again) == study.verdict == repr(study)
    assert again.options == study.options
    assert study.name == f"repair_{file_name('tiny_vectors')}_b"


def test_told_anew_it_is_what_it_was(once):
    study = replace(once[1], title="old", verdict="old")
    again = retold(study)
    assert (again.title, again.verdict) == (once[1].title, once[1].verdict)
    assert again.table.equals(study.table)


@pytest.mark.parametrize(
    ("shift", "word"), [(5.0, "beats"), (-5.0, "falls short of"), (0.0, "is not shown to differ from")]
)
def test_title_and_verdict_follow_the_numbers(once, shift, word):
    table = once[1].table.copy()
    part = (table["role"] == "student") & (table["metric"] == "accuracy") & (table["arm"] == "cm_kd")
    mine = (table["role"] == "student") & (table["metric"] == "accuracy") & (table["arm"] == "mg_kd")
    wobble = table.loc[part, "seed"].to_numpy() * (1.0 if shift == 0 else 0.01)
    table.loc[mine, "value"] = table.loc[part, "value"].to_numpy() + shift + wobble - wobble.mean()
    assert f"modality-general KD {word} crossmodal KD at 50% removed" in title(table, student="b")
    said = sentence(table, student="b", teacher="a")
    says = {"beats": "is better than", "falls short of": "is worse than"}.get(word, word)
    shown = f"{shift:+.2f}".replace("-", "−")
    assert f"{says} crossmodal KD ({shown} [" in said
    assert "2 paired seeds" in said


def relabelled(task):
    data = paired()
    target = torch.nn.functional.one_hot(data.target, 3).float()
    return PairedData(
        name="many",
        modalities=data.modalities,
        target=target,
        splits=data.splits,
        classes=data.classes,
        task=task,
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"layer": "fusion.encoder"}, ["layer = 'fusion.encoder'", "'fusion.encoders.0'", "'head'"]),
        ({"layer": ""}, ["layer = ''", "'head'"]),
        ({"ratios": (0.5, 1.0)}, ["ratios = 1.0", "no channel is left"]),
        ({"ratios": (-0.1,)}, ["ratios = -0.1", "at least 0"]),
        ({"ratios": ()}, ["ratios = ()", "at least one"]),
        ({"ratios": 0.5}, ["ratios = 0.5", "list"]),
        ({"ratios": (0.5, 0.5)}, ["ratios = [0.5, 0.5]", "twice"]),
        ({"arms": ["no_kd", "oracle_kd"], "truth": None}, ["truth = None", "'oracle_kd'"]),
        ({"truth": [8]}, ["truth = 8", "0 to 7"]),
        ({"truth": []}, ["truth = []", "at least one"]),
        ({"truth": [1, 1]}, ["truth = [1, 1]", "twice"]),
        ({"arms": ["cm_kd", "mg_kd"]}, ["arms = ('cm_kd', 'mg_kd')", "'no_kd'"]),
        ({"arms": ["no_kd", "mm_kd"]}, ["arms = 'mm_kd'", "'mg_kd'"]),
        ({"arms": ["no_kd", "mg_kdd"]}, ["arms = 'mg_kdd'", "Did you mean 'mg_kd'?"]),
        ({"losses": ["kl"]}, ["losses = 'kl'", "'kd alone'"]),
        ({"losses": []}, ["losses = []", "at least one"]),
        ({"losses": ["ce + kd", "ce + kd"]}, ["losses", "twice"]),
        ({"replace": "median"}, ["replace = 'median'", "'mean'"]),
        ({"replace": "retrain", "layer": "fusion"}, ["layer = 'fusion'", "'retrain'", "layer=None"]),
        ({"draws": 0}, ["draws = 0", "at least 1"]),
        ({"ratios": [0.5, 0.1]}, ["ratios = 0.1", "none of the 8 channels", "at least 0.125"]),
        ({"side": "left"}, ["side = 'left'", "'output'"]),
        ({"axis": 2, "layer": "fusion"}, ["axis = 2"]),
        (
            {"layer": "fusion.encoders.0.hidden", "arms": ["no_kd", "weight_kd"]},
            ["layer", "'weight_kd'", "linear head"],
        ),
        ({"joint": 3}, ["joint = 3", "Joint"]),
        ({"store": "here"}, ["store = 'here'", "ResultStore"]),
        ({"student": "c"}, ["student = 'c'", "'a' or 'b'"]),
        ({"seeds": [0, 0]}, ["seeds = [0, 0]", "twice"]),
    ],
)
def test_bad_settings_are_named_before_anything_is_trained(tmp_path, given, words):
    with pytest.raises(LabError) as raised:
        repair(tmp_path, **given)
    for word in words:
        assert word in str(raised.value)
    assert len(ResultStore(tmp_path)) == 0


def test_one_modality_is_refused(tmp_path):
    with pytest.raises(LabError, match=r"dataset = \['b'\].*at least two modalities"):
        repair(tmp_path, paired(modalities=("b",)))


def test_many_labels_are_refused(tmp_path):
    with pytest.raises(LabError, match=r"dataset = 'multi-label': must be single-label"):
        repair(tmp_path, relabelled(Task.MULTI_LABEL))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"epochs": 0}, "epochs = 0"),
        ({"lr": 0.0}, "lr = 0.0"),
        ({"momentum": 2.0}, "momentum = 2.0"),
        ({"batch_size": 0}, "batch_size = 0"),
    ],
)
def test_a_bad_alignment_is_named(given, words):
    with pytest.raises(LabError, match=words):
        Joint(**given)
