"""Intervals over subjects, and the check that sums hold at whatever scale the logits have."""

import numpy as np
import pytest
import torch
from torch import nn

from mmkd_lab.attribution import IntegratedGradients, Intervals, by_modality, within_modality
from mmkd_lab.attribution.tables import Means
from mmkd_lab.core.check import LabError
from mmkd_lab.core.stats import mean_interval
from mmkd_lab.data.paired import PairedData
from mmkd_lab.models import NetSpec, build
from tests.attribution.tiny import Additive, draw


class Scaled(nn.Module):
    def __init__(self, net, factor):
        super().__init__()
        self.net, self.factor = net, factor

    def forward(self, x):
        return self.factor * self.net(x)


def ends(found):
    return found.overall[["low", "high"]].to_numpy()


def test_without_subjects_the_interval_is_students():
    each = np.random.default_rng(0).normal(size=30)
    found = Means("t", 0.9, 0, np.arange(30))(each, np.ones(30, dtype=bool))
    wanted = mean_interval(each, level=0.9)
    assert (found.mean, found.n) == (pytest.approx(wanted.mean), 30)
    assert (found.low, found.high) == (pytest.approx(wanted.low), pytest.approx(wanted.high))


@pytest.mark.parametrize("kind", ["t", "bootstrap"])
def test_repeating_every_sample_for_its_subject_changes_nothing(kind):
    net, x = Additive(), draw(12, a=(3,), b=(2,))
    once = by_modality(net, x, intervals=Intervals(kind))
    again = {name: values.repeat_interleave(4, dim=0) for name, values in x.items()}
    who = torch.arange(12).repeat_interleave(4)
    found = by_modality(net, again, intervals=Intervals(kind, subjects=who))
    np.testing.assert_allclose(ends(found), ends(once), rtol=1e-6)
    naive = ends(by_modality(net, again, intervals=Intervals(kind)))
    assert (np.diff(naive) < 0.6 * np.diff(ends(found))).all()
    assert (found.overall.n == 48).all()


def test_intervals_over_subjects_cover_and_those_over_samples_do_not():
    draw_, hits = np.random.default_rng(1), np.zeros(2)
    who, each = np.repeat(np.arange(12), 10), np.ones(120, dtype=bool)
    for _ in range(300):
        values = draw_.normal(size=12)[who] + draw_.normal(size=120)
        for k, subjects in enumerate((who, np.arange(120))):
            found = Means("t", 0.95, 0, subjects)(values, each)
            hits[k] += found.low <= 0 <= found.high
    assert abs(hits[0] / 300 - 0.95) < 0.035
    assert hits[1] / 300 < 0.7


def test_data_bring_their_groups():
    x = draw(24, a=(3,), b=(2,))
    group = torch.arange(24) // 3
    splits = {"train": torch.arange(12), "test": torch.arange(12, 24)}
    given = {"modalities": x, "target": torch.arange(24) % 2, "classes": ("no", "yes"), "splits": splits}
    plain, grouped = (PairedData(name="tiny", group=g, **given) for g in (None, group))
    net, held = Additive(), {name: values[12:] for name, values in x.items()}
    wanted = by_modality(net, held, intervals=Intervals(subjects=group[12:]), target=1)
    np.testing.assert_allclose(ends(by_modality(net, grouped, target=1)), ends(wanted))
    assert not np.allclose(ends(by_modality(net, plain, target=1)), ends(wanted))


def test_the_sum_is_checked_relative_to_what_is_summed():
    x = draw(20, image=(1, 12, 12), v=(6,))
    net = build(NetSpec(width=4, features=8), {k: v.shape[1:] for k, v in x.items()}, 3, seed=0)
    for factor in (1e-3, 1e3):
        rough = by_modality(Scaled(net, factor), x, methods=IntegratedGradients(steps=2))
        with pytest.raises(LabError, match="Raise steps"):
            rough.check()
        assert "raise steps" in repr(rough)
        fine = by_modality(Scaled(net, factor), x, methods=("shapley", IntegratedGradients(steps=512)))
        fine.check()
        assert "raise steps" not in repr(fine)


def test_maps_say_when_they_do_not_add_up():
    x = draw(20, image=(1, 12, 12), v=(6,))
    net = build(NetSpec(width=4, features=8), {k: v.shape[1:] for k, v in x.items()}, 3, seed=0)
    rough, fine = (
        within_modality(net, x, modality="image", method=IntegratedGradients(steps)) for steps in (2, 512)
    )
    assert "raise steps" in repr(rough)
    assert "raise steps" not in repr(fine)
    half = {name: values.bfloat16() for name, values in x.items()}
    found = within_modality(net.bfloat16(), half, modality="v", method="ablation")
    assert (found.inputs.dtype, found.values.dtype) == (np.float32, np.float64)
