"""Raters as teachers: their divergence is a cross-entropy with the votes, clip by clip."""

from __future__ import annotations

import pytest
import torch

from mmkd_lab import data
from mmkd_lab.core.check import LabError
from mmkd_lab.data.datasets.crema_votes import SENSES, soft_labels
from mmkd_lab.distill import kd_divergence
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.study import crowd_students, crowd_teacher
from mmkd_lab.training.recipe import Recipe


@pytest.fixture(scope="module")
def votes(mirror):
    if not data.where("crema_votes", mirror)[0].exists:
        pytest.skip("no features/crema_votes.npz in or beside the mirror")
    return data.load("crema_votes", mirror=str(mirror))


@pytest.mark.parametrize("sense", SENSES)
def test_divergence_is_cross_entropy_with_the_votes_less_their_entropy(sense, votes, mirror):
    at = votes.positions("val")[:300].flip(0)
    shares = soft_labels(votes.sample_index[at], smoothing=0.5, mirror=mirror)[:, SENSES.index(sense)]
    teacher = crowd_teacher(votes, sense, mirror=mirror).rows(votes.sample_index[at])
    student = torch.randn(1, 300, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    crossed = -(shares * student.log_softmax(-1)[0]).sum(-1).mean()
    entropy = -(shares * shares.log()).sum(-1).mean()
    divergence = kd_divergence(student, teacher.logits)[0]
    assert divergence.item() == pytest.approx((crossed - entropy).item(), abs=1e-5)
    gradients = [torch.autograd.grad(one, student, retain_graph=True)[0] for one in (divergence, crossed)]
    assert torch.allclose(*gradients, atol=1e-7)
    assert torch.allclose(gradients[0][0], (student.softmax(-1)[0] - shares) / 300, atol=1e-7)


def test_clips_of_any_order_get_their_own_votes(votes, mirror):
    part = votes.select(votes.positions("test").flip(0))
    found = crowd_teacher(part, "face", mirror=mirror)
    assert torch.isin(part.sample_index[part.positions("test")], found.index).all()
    shares = part.modalities["face"]
    # smoothing moves no clip past another emotion
    assert torch.equal(found.rows(part.sample_index).logits[0].argmax(-1), shares.argmax(-1))


def test_crowds_are_scored_on_the_clips_of_the_test_actors(votes, mirror, tmp_path):
    recipe = Recipe(epochs=1, batch_size=512, lr=3e-3)
    store = ResultStore(tmp_path)
    asked = {"seeds": [0, 1], "recipe": recipe, "mirror": mirror, "store": store}
    found = crowd_students(**asked)
    rows = found.table[(found.table["role"] == "teacher") & (found.table["seed"] == 0)]
    at = votes.positions("test")
    for arm, sense in (("um_kd", "voice"), ("cm_kd", "face"), ("mm_kd", "audiovisual")):
        shares = soft_labels(votes.sample_index[at], mirror=mirror)[:, SENSES.index(sense)]
        right = 100 * (shares.argmax(-1) == votes.target[at]).double().mean().item()
        mine = rows[rows["arm"] == arm].set_index("metric")["value"]
        assert mine["accuracy"] == pytest.approx(right, abs=1e-6)
        assert (mine["divergence"] < 1e-6) == (sense == "audiovisual")
    students = found.table[found.table["role"] == "student"]
    assert set(students["arm"]) == {"no_kd", "um_kd", "cm_kd", "mm_kd"}
    told = {"accuracy", "balanced_accuracy", "macro_f1", "nll", "divergence"}
    assert set(students["metric"]) == told
    assert "2 splits of the actors" in found.verdict
    assert found.table.equals(crowd_students(**asked).table)
    assert found.plot().png()[:4] == b"\x89PNG"


def test_wrong_questions_are_refused(votes, mirror):
    with pytest.raises(LabError, match="sense = 'smell'"):
        crowd_teacher(votes, "smell", mirror=mirror)
    with pytest.raises(LabError, match="smoothing = 0"):
        crowd_teacher(votes, smoothing=0.0, mirror=mirror)
    with pytest.raises(LabError, match=r"data.classes = .*must be the emotions"):
        crowd_teacher(data.load("av_digits", n_train=50, n_val=50, n_test=50), mirror=mirror)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"student": "audiovisual"}, "student = 'audiovisual'"),
        ({"seeds": []}, "seeds"),
        ({"store": "here"}, "store = 'here'"),
    ],
    ids=["student", "seeds", "store"],
)
def test_wrong_students_are_refused(asked, expected):
    with pytest.raises(LabError, match=expected):
        crowd_students(**asked)
