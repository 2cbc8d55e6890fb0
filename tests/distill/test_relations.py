"""Hints, relations between samples (RKD, SP, TelME) and between modalities (Gram), each by hand."""

from __future__ import annotations

from math import exp, log, sqrt

import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.task import Task
from mmkd_lab.distill.distance import Distance
from mmkd_lab.distill.losses.gram import ModalityGram, gram_relation
from mmkd_lab.distill.losses.hints import Hints, hint_loss
from mmkd_lab.distill.losses.rkd import RKD, angle_relation, distance_relation
from mmkd_lab.distill.losses.sp import SimilarityPreserving, similarity_relation
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
    shifted = relation(student + 7, teacher)
    assert torch.allclose(shifted, plain) == (relation is not similarity_relation)


@pytest.mark.parametrize("relation", [distance_relation, angle_relation, similarity_relation])
def test_relations_follow_the_samples_wherever_they_stand(relation):
    student, teacher = draw(2, 6, 4)
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    torch.testing.assert_close(relation(student[:, order], teacher[:, order]), relation(student, teacher))


def test_distances_by_hand():
    # Student at 0, 1, 3: distances 1, 3, 2 over their mean 2. Teacher: an equilateral triangle, all 1.
    student = torch.tensor([[0.0], [1.0], [3.0]]).double()
    teacher = torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, sqrt(3)]], dtype=torch.float64)
    expected = (0.5**2 / 2 + 0.5**2 / 2 + 0.0) / 3
    assert float(distance_relation(student, teacher)) == pytest.approx(expected, rel=1e-12)


def test_a_large_difference_of_distances_counts_linearly():
    # Distances of 5 samples, four at one point: 4 pairs of 1, 6 of 0; mean 0.4, so 2.5 and 0; teacher at 1.
    student = torch.tensor([[1.0], [0.0], [0.0], [0.0], [0.0]]).double()
    teacher = torch.eye(5).double()
    expected = (4 * (1.5 - 0.5) + 6 * 0.5) / 10
    assert float(distance_relation(student, teacher)) == pytest.approx(expected, rel=1e-12)


def test_angles_by_hand():
    # Student: a right isosceles triangle, cosines 0, 1/sqrt 2, 1/sqrt 2. Teacher equilateral: all 1/2.
    student = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]).double()
    teacher = torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, sqrt(3)]], dtype=torch.float64)
    expected = (0.5**2 + 2 * (1 / sqrt(2) - 0.5) ** 2) / 2 / 3
    assert float(angle_relation(student, teacher)) == pytest.approx(expected, rel=1e-12)


def test_similarities_by_hand():
    # Student's rows (1, 0), (0, 1): G is the identity. Teacher's rows are equal: every entry 1/sqrt 2.
    student, teacher = torch.eye(2).double(), torch.ones(2, 3).double()
    expected = (2 * (1 - 1 / sqrt(2)) ** 2 + 2 * 0.5) / 4
    assert float(similarity_relation(student, teacher)) == pytest.approx(expected, rel=1e-12)


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


def test_too_small_a_batch_has_no_relation():
    student, teacher = draw(2, 4)
    assert float(angle_relation(student, teacher)) == 0.0
    assert float(distance_relation(student[:1], teacher[:1])) == 0.0


def test_rkd_weighs_its_two_terms():
    student, teacher = (Outputs(torch.zeros(2, 5, 3), features={HEAD: x}) for x in draw(2, 5, 4))
    terms = RKD(distance=2.0, angle=3.0)(student, NO_TARGET, teacher, {})
    torch.testing.assert_close(terms["rkd"], 2 * terms["rkd/distance"] + 3 * terms["rkd/angle"])
    torch.testing.assert_close(terms["rkd/angle"], angle_relation(student.at(), teacher.at()))
    torch.testing.assert_close(terms["rkd/distance"], distance_relation(student.at(), teacher.at()))
    alone = RKD(distance=2.0, angle=0.0)(student, NO_TARGET, teacher, {})
    assert set(alone) == {"rkd", "rkd/distance"}
    torch.testing.assert_close(alone["rkd"], 2 * terms["rkd/distance"])


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


def test_similarity_preserving_reads_features():
    student, teacher = (Outputs(torch.zeros(2, 5, 3), features={HEAD: x}) for x in draw(2, 5, 4))
    found = SimilarityPreserving()(student, NO_TARGET, teacher, {})
    assert set(found) == {"sp"}
    torch.testing.assert_close(found["sp"], similarity_relation(student.at(), teacher.at()))


def test_hints_by_hand():
    student, teacher = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[0.0, 1.0, 5.0]]])
    parameters = {"weight": torch.tensor([[[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]]), "bias": torch.ones(1, 3)}
    # Mapped: (1, 2, 3) + 1 = (2, 3, 4), so that the differences are 2, 2 and -1.
    terms = Hints()(
        Outputs(torch.zeros(1, 1, 2), features={HEAD: student}),
        NO_TARGET,
        Outputs(torch.zeros(1, 1, 2), features={HEAD: teacher}),
        parameters,
    )
    assert terms["hints"].tolist() == [3.0]


def test_the_regressor_learns_a_linear_map_and_is_drawn_per_seed():
    parameters = Hints().parameters({HEAD: 4}, {HEAD: 3}, seeds=[5, 6])
    assert {name: tuple(v.shape) for name, v in parameters.items()} == {"weight": (2, 4, 3), "bias": (2, 3)}
    alone = Hints().parameters({HEAD: 4}, {HEAD: 3}, seeds=[6])
    assert torch.equal(alone["weight"][0], parameters["weight"][1])
    assert not torch.equal(parameters["weight"][0], parameters["weight"][1])
    assert parameters["weight"].abs().max() <= 0.5
    student, wanted = draw(2, 20, 4, count=1)[0], draw(2, 4, 3, seed=1, count=1)[0]
    learnt = {name: value.double().requires_grad_(True) for name, value in parameters.items()}
    optimiser = torch.optim.LBFGS(list(learnt.values()), max_iter=500, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        loss = hint_loss(regress(student, learnt), student @ wanted + 1.0).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    assert float(closure().detach()) < 1e-6
    torch.testing.assert_close(learnt["bias"].detach().float(), torch.ones(2, 3), atol=1e-2, rtol=0)


def test_telme_features_by_hand():
    # Teacher's samples are orthogonal; the student has them swapped. T = 1: rows (e, 1) against (1, e).
    teacher, student = torch.eye(2).double(), torch.tensor([[0.0, 3.0], [2.0, 0.0]]).double()
    p = exp(1) / (exp(1) + 1)
    expected = (2 * p - 1) * log(p / (1 - p))
    assert float(feature_relation(student, teacher)) == pytest.approx(expected, rel=1e-12)
    assert float(feature_relation(7 * teacher, teacher)) == pytest.approx(0.0, abs=1e-12)


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


@pytest.mark.parametrize(
    "method",
    [Hints(), RKD(), SimilarityPreserving(), Telme(1.0, task=Task.SINGLE_LABEL)],
    ids=lambda m: m.name,
)
def test_methods_on_features_say_so(method):
    assert method.needs == Needs(student_layers=(HEAD,), teacher_layers=(HEAD,))
    with pytest.raises(LabError, match="layer = 'head input'"):
        method(Outputs(torch.zeros(2, 5, 3)), NO_TARGET, Outputs(torch.ones(2, 5, 3)), {})
