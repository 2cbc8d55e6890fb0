"""Hints, relations between samples (RKD, SP, TelME) and between modalities (Gram), each by hand."""

from __future__ import annotations

from math import sqrt

import pytest
import torch

from mmkd_lab.data.task import Task
from mmkd_lab.distill.distance import Distance
from mmkd_lab.distill.losses.gram import ModalityGram, gram_relation
from mmkd_lab.distill.losses.hints import Hints, hint_loss
from mmkd_lab.distill.losses.rkd import RKD, angle_relation, distance_relation
from mmkd_lab.distill.losses.sp import similarity_relation
from mmkd_lab.distill.losses.telme import Telme, feature_relation
from mmkd_lab.distill.method import HEAD, Needs, Outputs
from mmkd_lab.distill.operands import regress
from mmkd_lab.models import View
from tests.distill.samples import draw, rotation

PAIRS = [hint_loss, distance_relation, angle_relation, similarity_relation, feature_relation, gram_relation]
NO_TARGET = torch.zeros(2, 5, dtype=torch.int64)
IMAGE, SPEECH = View.only("image"), View.only("speech")


@pytest.mark.parametrize("relation", PAIRS)
def test_every_relation_is_zero_for_equal_features_stacks_and_spares_the_teacher(relation):
    student, teacher = draw(3, 2, 5, 4)  # for the Gram matrix: 2 samples of 5 views
    stacked = relation(student, teacher)
    alone = torch.stack([relation(student[r], teacher[r]) for r in range(3)])
    torch.testing.assert_close(stacked, alone)
    assert stacked.shape == ((3,) if relation is gram_relation else (3, 2))
    assert relation(student, student).abs().max() < 1e-12
    assert (stacked > 0).all()
    teacher.requires_grad_(True)
    relation(student.requires_grad_(True), teacher).sum().backward()
    assert teacher.grad is None
    assert student.grad.abs().max() > 0


@pytest.mark.parametrize("relation", PAIRS)
def test_gradients_by_finite_differences(relation):
    student, teacher = draw(2, 4, 3)
    assert torch.autograd.gradcheck(
        lambda s: relation(s, teacher), student.clone().requires_grad_(True), atol=1e-4
    )


@pytest.mark.parametrize("relation", [distance_relation, angle_relation, similarity_relation])
def test_relations_do_not_mind_scale_rotation_or_width(relation):
    student, teacher = draw(2, 6, 4)
    plain = relation(student, teacher)
    wide = torch.cat([teacher @ rotation(4), torch.zeros(2, 6, 3, dtype=torch.float64)], dim=-1)
    torch.testing.assert_close(relation(5 * student, wide), plain)
    torch.testing.assert_close(relation(1e-15 * student, 1e-30 * wide), plain)
    shifted = relation(student + 7, teacher)
    assert torch.allclose(shifted, plain) == (relation is not similarity_relation)


EQUILATERAL = [[0.0, 0.0], [2.0, 0.0], [1.0, sqrt(3)]]
BY_HAND = {
    # Student at 0, 1, 3: distances 1, 3, 2 over their mean 2. The teacher's are all 1.
    "distances": (distance_relation, [[0], [1], [3]], EQUILATERAL, (0.5**2 / 2 + 0.5**2 / 2) / 3),
    # Four of five at one point: 4 distances of 1, 6 of 0, mean 0.4, so 2.5 and 0; the teacher's are all 1.
    "far": (distance_relation, [[1], [0], [0], [0], [0]], torch.eye(5), (4 * (1.5 - 0.5) + 6 * 0.5) / 10),
    # A right isosceles triangle, cosines 0, 1/sqrt 2, 1/sqrt 2, against all 1/2.
    "angles": (
        angle_relation,
        [[0, 0], [1, 0], [0, 1]],
        EQUILATERAL,
        (0.5**2 + 2 * (1 / sqrt(2) - 0.5) ** 2) / 2 / 3,
    ),
    # G is the identity for the student; the teacher's rows are equal, so that every entry is 1/sqrt 2.
    "similarities": (
        similarity_relation,
        torch.eye(2),
        torch.ones(2, 3),
        (2 * (1 - 1 / sqrt(2)) ** 2 + 2 * 0.5) / 4,
    ),
    "no angle between two": (angle_relation, [[0, 0], [1, 0]], [[3, 0], [1, 5]], 0.0),
    "no distance of one": (distance_relation, [[1, 2]], [[3, 4]], 0.0),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_relations_by_hand(case):
    relation, student, teacher, expected = BY_HAND[case]
    found = relation(*(torch.as_tensor(x, dtype=torch.float64) for x in (student, teacher)))
    assert float(found) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("relation", [distance_relation, angle_relation, similarity_relation])
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_small_batches_and_coincident_samples_stay_finite(relation, batch):
    student = torch.zeros(batch, 4, requires_grad=True)
    found = relation(student, torch.randn(batch, 2, generator=torch.Generator().manual_seed(0)))
    found.backward()
    assert torch.isfinite(found)
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize("relation", [*PAIRS[1:]])
def test_a_vector_without_direction_pulls_no_harder_than_the_others(relation):
    """Divided by its length, a zero or a difference of equal samples has a gradient of 1e10."""
    student, teacher = draw(2, 6, 5, 4)
    student[:, :, 1] = 0.0
    student[:, :, 3] = student[:, :, 2]
    student.requires_grad_(True)
    relation(student, teacher).sum().backward()
    assert 0 < float(student.grad.abs().max()) < 10


def test_the_released_codes_count_the_diagonal_too():
    student, teacher = draw(2, 5, 4)
    pair = distance_relation(student, teacher), angle_relation(student, teacher)
    wide = (relation(student, teacher, diagonal=True) for relation in (distance_relation, angle_relation))
    for plain, found, share in zip(pair, wide, (4 / 5, 4 * 3 / 25), strict=True):
        torch.testing.assert_close(found, share * plain)
    # The released distance term: torch's own mean over all of both normalised matrices.
    norm = []
    for x in (student[0], teacher[0]):
        apart = torch.cdist(x, x)
        norm.append(apart / apart[apart > 0].mean())
    want = torch.nn.functional.smooth_l1_loss(*norm)
    torch.testing.assert_close(distance_relation(student, teacher, diagonal=True)[0], want)
    said = [Outputs(torch.zeros(2, 5, 3), features={HEAD: x}) for x in (student, teacher)]
    terms = RKD(diagonal=True)(said[0], NO_TARGET, said[1], {})
    torch.testing.assert_close(terms["rkd"], 25 * 4 / 5 * pair[0] + 50 * 12 / 25 * pair[1])
    alone = RKD(distance=2.0, angle=0.0)(said[0], NO_TARGET, said[1], {})
    assert set(alone) == {"rkd", "rkd/distance"}
    torch.testing.assert_close(alone["rkd"], 2 * alone["rkd/distance"])
    torch.testing.assert_close(alone["rkd/distance"], pair[0])


def test_hints_map_the_students_features_by_a_regressor_drawn_per_seed():
    parameters = Hints().parameters({HEAD: 4}, {HEAD: 3}, seeds=[5, 6])
    assert {name: tuple(v.shape) for name, v in parameters.items()} == {"weight": (2, 4, 3), "bias": (2, 3)}
    alone = Hints().parameters({HEAD: 4}, {HEAD: 3}, seeds=[6])
    assert torch.equal(alone["weight"][0], parameters["weight"][1])
    assert not torch.equal(parameters["weight"][0], parameters["weight"][1])
    assert parameters["weight"].abs().max() <= 0.5
    (x,), (y,) = draw(2, 5, 4, count=1), draw(2, 5, 3, seed=1, count=1)
    student, teacher = (Outputs(NO_TARGET, features={HEAD: values.float()}) for values in (x, y))
    found = Hints()(student, NO_TARGET, teacher, parameters)["hints"]
    for r in range(2):
        mapped = x[r] @ parameters["weight"][r].double() + parameters["bias"][r].double()
        torch.testing.assert_close(found[r].double(), (mapped - y[r]).square().mean(), rtol=1e-5, atol=0)


def test_telme_asks_where_a_teachers_sample_finds_the_students():
    student, teacher = draw(5, 3)
    unit = [[row / row.norm() for row in x] for x in (student, teacher)]
    total = 0.0
    for i in range(5):
        own, other = (
            torch.stack([unit[1][i] @ side[j] / 0.5 for j in range(5)]).softmax(0)
            for side in (unit[1], unit[0])
        )
        total += float((own * (own / other).log()).sum()) / 5
    assert float(feature_relation(student, teacher, temperature=0.5)) == pytest.approx(total)


def test_telme_adds_its_two_losses_and_maps_unequal_widths():
    logits, features = draw(2, 5, 4), draw(2, 5, 6, seed=1)
    student, teacher = (Outputs(a, features={HEAD: b}) for a, b in zip(logits, features, strict=True))
    telme = Telme(2.0, task=Task.SINGLE_LABEL)
    assert telme.parameters({HEAD: 6}, {HEAD: 6}, seeds=[0, 1]) == {}
    terms = telme(student, NO_TARGET, teacher, {})
    torch.testing.assert_close(terms["telme/logit"], Distance("dist", temperature=2.0)(*logits))
    torch.testing.assert_close(terms["telme/feature"], feature_relation(*features))
    torch.testing.assert_close(terms["telme"], terms["telme/logit"] + terms["telme/feature"])
    narrow = Outputs(logits[0], features={HEAD: features[0][..., :3]})
    parameters = telme.parameters({HEAD: 3}, {HEAD: 6}, seeds=[0, 1])
    mapped = telme(narrow, NO_TARGET, teacher, parameters)["telme/feature"]
    torch.testing.assert_close(mapped, feature_relation(regress(narrow.at(), parameters), teacher.at()))


def test_gram_by_hand_and_whatever_the_length_of_a_row():
    # Student finds its two views orthogonal, the teacher finds them equal: two of four entries differ by 1.
    student = torch.tensor([[[2.0, 0.0], [0.0, 5.0]]])
    teacher = torch.tensor([[[1.0, 1.0, 1.0], [3.0, 3.0, 3.0]]])
    assert float(gram_relation(student, teacher)) == pytest.approx(0.5)
    both = draw(3, 4, 5)
    turned = both[1] @ rotation(5) * 4
    torch.testing.assert_close(gram_relation(both[0], turned), gram_relation(*both))


@pytest.mark.parametrize("of", ["features", "logits"])
@pytest.mark.parametrize("full", [True, False])
def test_modality_gram_takes_the_views_it_names(of, full):
    logits, features = draw(2, 5, 4, count=6), draw(2, 5, 3, seed=1, count=6)
    said = [
        Outputs(
            logits[3 * i],
            {IMAGE: logits[3 * i + 1], SPEECH: logits[3 * i + 2]},
            {HEAD: features[3 * i]},
            {SPEECH: features[3 * i + 2], IMAGE: features[3 * i + 1]},
        )
        for i in range(2)
    ]
    method = ModalityGram((IMAGE, SPEECH), of=of, full=full)
    layers = (HEAD,) if of == "features" and full else ()
    assert method.needs == Needs((IMAGE, SPEECH), layers, layers, view_features=of == "features")
    source = features if of == "features" else [x - x.mean(-1, keepdim=True) for x in logits]
    rows = [torch.stack(source[3 * i + (not full) : 3 * i + 3], dim=2) for i in range(2)]
    found = method(said[0], NO_TARGET, said[1], {})["gram"]
    torch.testing.assert_close(found, gram_relation(*rows))
    swapped = ModalityGram((SPEECH, IMAGE), of=of, full=full)(said[0], NO_TARGET, said[1], {})["gram"]
    torch.testing.assert_close(swapped, found)
