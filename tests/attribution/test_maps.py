"""Networks that answer for every position: by modality, by channel, trained jointly, without channels."""

from __future__ import annotations

from functools import partial
from itertools import permutations

import numpy as np
import pytest
import torch
from torch import nn

from mmkd_lab import attribution
from mmkd_lab.attribution import Alignment, Joint, align, by_channel
from mmkd_lab.attribution.editing import Editor
from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.models import NetSpec
from mmkd_lab.training import Recipe, Replicas

DOUBLE = torch.float64
by_modality = partial(attribution.by_modality, split="train")
within_modality = partial(attribution.within_modality, split="train")


def maps(n=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = {name: torch.randn(n, c, 8, 8, generator=generator, dtype=DOUBLE) for name, c in (("a", 1), ("b", 2))}
    target = torch.randint(-1, 2, (n, 8, 8), generator=generator)
    return PairedData("maps", x, target, {"train": torch.arange(n)}, ("x", "y"), Task.DENSE)


class Sum(nn.Module):
    """The logits of a position are 0 and a weighted sum of what both modalities have there."""

    modalities = ("a", "b")

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, dtype=DOUBLE))

    def forward(self, x):
        here = self.weight * (2 * x["a"] + 3 * x["b"].sum(1, keepdim=True))
        return torch.cat([torch.zeros_like(here), here], dim=1)


def unet(data, *names, seed=0):
    spec = NetSpec(width=2, features=3, modalities=names or None)
    return Replicas.build(spec, data, seeds=[seed], device="cpu", dtype=DOUBLE).module()


def by_hand(data, known):
    """Of each sample the mean over known positions of what a and b add to the logit of the class 'y'."""
    parts = {"a": 2 * data.modalities["a"][:, 0], "b": 3 * data.modalities["b"].sum(1)}
    count = known.sum((1, 2))
    return {name: (part * known).sum((1, 2)) / count for name, part in parts.items()}


@pytest.mark.parametrize("method", ["shapley", "ablation", "integrated_gradients", "gradient_x_input"])
def test_modalities_count_by_the_mean_over_positions(method):
    data = maps()
    found = by_modality(Sum(), data, methods=method, target=1).table.query("sample != 'all'")
    wanted = by_hand(data, torch.ones_like(data.target))
    for name in ("a", "b"):
        mine = found.query("modality == @name")["value"].to_numpy()
        np.testing.assert_allclose(mine, wanted[name].numpy(), atol=1e-9)
    assert set(found["target"]) == {"map"}


def test_positions_without_a_class_are_left_out():
    data = maps()
    only = torch.where(data.target == 1, 1, -1)
    wanted = by_hand(data, only >= 0)
    # 'label' asks about both classes, and the logit of 'x' is 0: what is left is the part of 'y'.
    shares = (only >= 0).sum((1, 2)) / (data.target >= 0).sum((1, 2))
    for target, factor in ((only, torch.ones(len(data))), ("label", shares)):
        found = by_modality(Sum(), data, target=target).table.query("sample != 'all' and modality == 'b'")
        np.testing.assert_allclose(found["value"], (wanted["b"] * factor).numpy(), atol=1e-6)


def test_the_perceptual_score_is_pixel_accuracy_lost():
    data, net = maps(n=30), Sum()
    said = net(dict(data.modalities)).argmax(1)
    known = data.target >= 0
    before = 100 * ((said == data.target) & known).sum((1, 2)) / known.sum((1, 2))
    found = by_modality(net, data, methods="perceptual_score", draws=200)
    rows = found.table.query("sample != 'all' and modality == 'b'")
    # Labels are chance, so that permuting leaves an accuracy of one half.
    assert float(rows["value"].mean()) == pytest.approx(float(before.mean()) - 50, abs=3)
    assert rows["value"].nunique() > 20


def test_within_a_modality_gradients_add_up_over_positions():
    data = maps()
    found = within_modality(Sum(), data, modality="b", target=1)
    assert found.values.shape == (4, 2, 8, 8)
    wanted = 3 * data.modalities["b"] / 64
    np.testing.assert_allclose(found.values, wanted.numpy(), atol=1e-9)


def test_the_closed_form_is_the_mean_over_all_permutations():
    data = maps()
    teacher, student = unet(data), unet(data, "b", seed=1)
    every = torch.tensor(list(permutations(range(4))))
    closed = by_channel(teacher, student, data)
    drawn = by_channel(teacher, student, data, permutations=every)
    assert (closed.method, drawn.method) == ("closed_form", "permutation")
    np.testing.assert_allclose(closed.values, drawn.values, atol=1e-9)
    assert closed.start == pytest.approx(drawn.start)
    gap = teacher(dict(data.modalities)) - student(dict(data.modalities))
    assert closed.start == pytest.approx(float(gap.detach().square().mean()))
    inner = by_channel(teacher, student, data, layer="fusion.encoders.0.down.stem", permutations=3)
    assert (inner.method, len(inner)) == ("permutation", 2)


def test_joint_training_brings_the_logits_of_maps_together():
    data = maps(n=8)
    nets, ends = (unet(data), unet(data, "b", seed=1)), []
    for agreement in (0.0, 1.0):
        joint = Joint(epochs=20, batch_size=4, lr=0.1, objective=Alignment(agreement=agreement))
        pair = align(*nets, data, joint=joint)
        x = dict(data.modalities)
        ends.append(float((pair.teacher(x) - pair.student(x)).detach().square().mean()))
        losses = pair.history.query("metric == 'ce_teacher'")["value"].tolist()
        assert losses[-1] < losses[0]
    assert ends[1] < 0.5 * ends[0]


def test_the_objective_leaves_out_positions_without_a_class():
    z = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    target = torch.arange(40).reshape(2, 4, 5) % 4 - 1
    found = Alignment()(z, 2 * z, target)
    rows, known = z.movedim(1, -1).flatten(0, 2), target.flatten() >= 0
    wanted = nn.functional.cross_entropy(rows[known], target.flatten()[known])
    torch.testing.assert_close(found["ce_teacher"], wanted)
    torch.testing.assert_close(found["agreement"], z.square().mean())


def test_a_teacher_without_channels_has_their_mean_map_instead():
    data = maps()
    teacher = unet(data)
    saliency = by_channel(teacher, unet(data, "b", seed=1), data)
    editor = Editor.of(teacher, data, saliency)
    x = dict(data.modalities)
    torch.testing.assert_close(editor.keeping(None).logits["train"], teacher(x))
    features = teacher.features(x)
    kept = np.array([0, 4])
    mean = features.mean(0).expand_as(features).clone()
    mean[:, kept] = features[:, kept]
    torch.testing.assert_close(editor.keeping(kept).logits["train"], teacher.head(mean))


def test_what_maps_do_not_have_is_refused():
    data = maps()
    teacher, student = unet(data), unet(data, "b", seed=1)
    editor = Editor.of(teacher, data, by_channel(teacher, student, data))
    flat = torch.zeros(4, dtype=torch.int64)
    refused = {
        "one answer a sample": lambda: by_channel(teacher, student, data, distance="kl"),
        "one row of features a sample": lambda: editor.retrained(None, recipe=Recipe(epochs=1), stream=0),
        "must be .4, 8, 8. int64": lambda: by_modality(teacher, data, target=flat),
        "between 0 and 1": lambda: by_modality(teacher, data, target=torch.full((4, 8, 8), 2)),
    }
    for told, call in refused.items():
        with pytest.raises(LabError, match=told):
            call()
