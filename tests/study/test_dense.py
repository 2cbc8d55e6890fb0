"""Dense tasks through the studies: scored by mean IoU, taught pixel by pixel, selected on validation."""

from __future__ import annotations

import pytest
import torch

from mmkd_lab.attribution import Joint
from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import Task
from mmkd_lab.experiments.table import densities, metrics
from mmkd_lab.study import failure_cases, kd_vs_msd, repair_teachers, rival_hypotheses
from tests.study.scenes import scenes, settings


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    return failure_cases(scenes(), **settings(tmp_path_factory.mktemp("store"), teacher=("rgb", "depth")))


def test_failure_case_2_is_told_in_mean_iou(once):
    assert once.options["metric"] == "miou"
    assert "On rooms (rgb student, 2 seeds, test mean IoU)" in once.verdict
    assert set(once.table["metric"]) == {"miou", "pixel_accuracy", "nll"}
    assert set(once.table["arm"]) == {"no_kd", "um_kd", "cm_kd", "kl_only"}
    assert once.table["value"].between(0, 100).all()


def test_it_is_stored_and_found_again(once, tmp_path):
    first = failure_cases(scenes(), **settings(tmp_path, arms=["no_kd"], seeds=[0]))
    again = failure_cases(scenes(), **settings(tmp_path, arms=["no_kd"], seeds=[0]))
    assert first.table.equals(again.table)
    mine = once.table.query("arm == 'no_kd' and seed == 0").reset_index(drop=True)
    assert mine.equals(first.table.query("role == 'student'").reset_index(drop=True))


def test_repaired_teachers_of_scenes(tmp_path):
    study = repair_teachers(
        scenes(),
        **settings(tmp_path, teacher=("rgb", "depth"), seeds=[0], ratios=[0.5], draws=1, losses=["ce + kd"]),
        arms=["no_kd", "um_kd", "aligned_kd", "mg_kd"],
        joint=Joint(epochs=2, batch_size=8),
    )
    assert set(study.table.query("role == 'teacher'")["arm"]) == {"um_kd", "aligned_kd", "mg_kd"}
    assert {len(kept) for kept in study.provenance["channels"]["mg_kd, 0.5, 0"]} == {4}
    ranking = study.rankings[0]
    assert (ranking.method, ranking.layer, len(ranking)) == ("closed_form", "head", 8)
    scores = study.table.query("metric == 'miou' and role == 'teacher' and split == 'test'").set_index("arm")[
        "value"
    ]
    assert scores["mg_kd"] != scores["aligned_kd"]
    with pytest.raises(LabError, match="of a dense task has no runs"):
        rival_hypotheses(study.runs)


@pytest.mark.filterwarnings("ignore::mmkd_lab.distill.reliability.UnreliableTeacher")
def test_views_of_scenes_teach_too(tmp_path):
    how = {name: one for name, one in settings(tmp_path).items() if name != "student"}
    study = kd_vs_msd(
        scenes(), **{**how, "seeds": [0]}, arms=["kd", "msd_uniform", "msd_instance"], tune=False
    )
    found = study.table.query("split == 'test' and metric == 'miou'")
    assert set(found["view"]) == {"depth+rgb", "depth", "rgb"}
    assert study.provenance["left_out"] == {}
    assert {"js", "agreement", "w1", "ece", "pixel_accuracy"} <= set(study.table["metric"])


def test_numbers_beside_the_score_are_over_positions():
    z = torch.randn(3, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    target = torch.arange(75).reshape(3, 5, 5) % 5 - 1
    found = metrics(z, target, Task.DENSE, -z)
    same = (z.argmax(1) == z.argmin(1)).double().mean()
    assert found["agreement"] == pytest.approx(100 * float(same))
    p = z.double().softmax(1).movedim(1, -1)[target >= 0]
    wanted = p[torch.arange(len(p)), target[target >= 0]]
    torch.testing.assert_close(densities(z, target, Task.DENSE), wanted)
    torch.testing.assert_close(
        densities(torch.stack([z, z]), target, Task.DENSE), torch.stack([wanted, wanted])
    )
