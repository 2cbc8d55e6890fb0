"""U-Nets: shapes, the two fusions of maps, the split into features and head, and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.distill import METHODS, Context, Distillation, labels_only
from mmkd_lab.models import HEAD, NetSpec, View, Zeros, build
from mmkd_lab.models.layers import watched
from mmkd_lab.models.rows import split_views, view_rows
from mmkd_lab.models.shared_parts import can_share, features_of_views, with_removed
from mmkd_lab.training import Recipe, Replicas, fit, teacher_outputs
from mmkd_lab.training.inputs import fill_vocabulary
from mmkd_lab.training.pruning import prunable_range
from tests.training.toy import DOUBLE, toy

ADAM = Recipe(steps=6, batch_size=8, lr=1e-2, select="last", **DOUBLE)


def net(fusion="late", sides=(9, 13), **more):
    spec = NetSpec("unet", width=4, features=6, fusion=fusion, **more)
    return build(spec, {"depth": (1, *sides), "rgb": (3, *sides)}, 5, seed=0).double()


def batch(n, sides=(9, 13)):
    generator = torch.Generator().manual_seed(1)
    shapes = {"rgb": (3, *sides), "depth": (1, *sides)}
    return {
        name: torch.randn(n, *one, generator=generator, dtype=torch.float64) for name, one in shapes.items()
    }


def scenes(n=24, sides=(16, 16)):
    """Each pixel's class is the sign of the sum of both pictures; a corner has none."""
    x = {name: values.float() for name, values in batch(n, sides).items()}
    target = (x["rgb"].sum(1) + x["depth"][:, 0] > 0).long()
    target[:, 0, 0] = -1
    where = torch.arange(n)
    splits = {"train": where[:12], "val": where[12:18], "test": where[18:]}
    return PairedData("scenes", x, target, splits, ("low", "high"), Task.DENSE)


@pytest.mark.parametrize("fusion", ["late", "mid"])
@pytest.mark.parametrize("sides", [(8, 8), (9, 13), (15, 40), (16, 16), (17, 33), (31, 47)])
def test_every_pixel_has_an_answer_that_is_linear_in_its_features(fusion, sides):
    one, x = net(fusion, sides), batch(3, sides)
    features = one.features(x)
    assert features.shape == (3, 12 if fusion == "late" else 6, *sides)
    wanted = torch.einsum("bfhw,kf->bkhw", features, one.head.weight) + one.head.bias[:, None, None]
    torch.testing.assert_close(one(x), wanted)


@pytest.mark.parametrize("fusion", ["late", "mid"])
def test_a_scene_does_not_depend_on_its_batch_and_all_of_the_network_learns(fusion):
    one, x = net(fusion, joint=7 if fusion == "late" else 0), batch(4)
    alone = torch.cat([one({name: value[i : i + 1] for name, value in x.items()}) for i in range(4)])
    torch.testing.assert_close(one(x), alone)
    one(x).square().sum().backward()
    assert [name for name, p in one.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_every_pixel_sees_far():
    """The corner's logits depend on a pixel in the middle of a scene of 16 by 16."""
    x = batch(1, (16, 16))
    x["rgb"].requires_grad_(True)
    net(sides=(16, 16))(x)[0, :, 0, 0].sum().backward()
    assert bool((x["rgb"].grad[0, :, 8, 8] != 0).all())


def test_mid_fusion_adds_the_maps_of_both_modalities():
    """Where one modality's way down gives zeros, the answer is that of the other's maps alone."""
    one, x = net("mid"), batch(2)
    with torch.no_grad():
        for parameter in one.fusion.down[0].parameters():
            parameter.zero_()
    other = {**x, "depth": torch.randn_like(x["depth"])}
    torch.testing.assert_close(one(x), one(other))
    torch.testing.assert_close(one.features(x), one.fusion.up(one.fusion.down[1](x["rgb"])))


@pytest.mark.parametrize("fusion", ["late", "mid"])
def test_views_that_share_their_parts_are_views_one_by_one(fusion):
    one, x, removal = net(fusion), batch(3), Zeros()
    views = (View(frozenset(x)), View.only("rgb"), View.only("depth"))
    assert can_share(one, removal, x)
    together = one.head(features_of_views(one, *with_removed(x, views, removal)))
    torch.testing.assert_close(together, one(view_rows(x, views, removal, axis=0)))
    assert len(split_views(together, 3, axis=0)) == 3


@pytest.mark.parametrize("fusion", ["late", "mid"])
def test_stacked_is_looped(fusion):
    data, spec = scenes(), NetSpec(width=2, features=4, fusion=fusion)
    fits = []
    for mode in ("stacked", "looped"):
        replicas = Replicas.build(spec, data, seeds=[0, 1, 2], device="cpu")
        fits.append(fit(replicas, data, recipe=ADAM, loss=labels_only(Task.DENSE), mode=mode, progress=False))
    stacked, looped = (one.replicas.predict(data) for one in fits)
    assert stacked.shape == (3, 24, 2, 16, 16)
    torch.testing.assert_close(stacked, looped, atol=1e-9, rtol=0)
    assert np.array_equal(fits[0].best_epoch, fits[1].best_epoch)
    untrained = Replicas.build(spec, data, seeds=[0, 1, 2], device="cpu").predict(data)
    assert not torch.allclose(stacked.float(), untrained, atol=1e-3)


def test_auto_is_a_unet_where_every_position_has_a_class():
    assert fill_vocabulary(NetSpec(), scenes()) == NetSpec("unet")
    assert fill_vocabulary(NetSpec({"rgb": "unet"}), scenes()) == NetSpec("unet")
    assert Replicas.build(NetSpec(width=2), scenes(), seeds=[0]).name == "unet"


REFUSED = {
    "another encoder": (
        lambda: fill_vocabulary(NetSpec("mlp"), scenes()),
        "reads 'depth', and the task is dense",
    ),
    "another task": (lambda: fill_vocabulary(NetSpec("unet"), toy()), "the task is single label"),
    "a stream": (
        lambda: fill_vocabulary(NetSpec.single_stream("student"), scenes()),
        "a dense task has one for every position",
    ),
    "attention": (lambda: net("attention"), "fusion of U-Nets"),
    "a vector": (lambda: build(NetSpec("unet"), {"a": (7,)}, 2, seed=0), "reads .channels, height, width."),
    "too small": (lambda: build(NetSpec("unet"), {"a": (1, 7, 9)}, 2, seed=0), "sides of at least 8"),
    "a mixture": (
        lambda: build(NetSpec({"a": "unet", "b": "mlp"}), {"a": (1, 8, 8), "b": (3,)}, 2, seed=0),
        "for all or none of 'a' or 'b'",
    ),
    "two sizes": (
        lambda: build(NetSpec("unet"), {"a": (1, 8, 8), "b": (1, 8, 9)}, 2, seed=0),
        "must be of one size",
    ),
    "pruning": (lambda: prunable_range(net()), "cannot go one by one"),
    "pruning of one way up": (lambda: prunable_range(net("mid")), "cannot go one by one"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused(case):
    call, told = REFUSED[case]
    with pytest.raises(LabError, match=told):
        call()


def test_what_the_head_reads_of_maps_is_given_as_a_grid():
    one, x = net(sides=(16, 16)), batch(3, (16, 16))
    grid = one.features(x).unflatten(2, (4, 4)).unflatten(4, (4, 4)).mean((3, 5))
    with watched(one, [HEAD, "fusion.encoders.0.down.stem"]) as seen:
        one(x)
    torch.testing.assert_close(seen[HEAD], grid.flatten(1))
    assert seen["fusion.encoders.0.down.stem"].shape == (3, 4 * 8 * 8)


@pytest.mark.parametrize("method", ["hints", "rkd", "sp", "dist"])
@pytest.mark.parametrize("mode", ["stacked", "looped"])
def test_hints_and_relations_teach_maps(method, mode):
    """A student that learns from the method alone comes nearer to what it measures."""
    data, spec = scenes(), NetSpec(width=2, features=4, modalities=("rgb",))
    context = Context(task=Task.DENSE, modalities=("depth", "rgb"), temperature=1.0)
    loss = Distillation(((1.0, METHODS[method]().bind(context)),))
    teacher = Replicas.build(NetSpec(width=3, features=6), data, seeds=[7, 8], device="cpu")
    said = teacher_outputs(teacher, data, layers=loss.needs.teacher_layers)
    student = Replicas.build(spec, data, seeds=[0, 1], device="cpu")
    found = fit(student, data, loss, replace(ADAM, steps=30), teacher=said, mode=mode, progress=False)
    course = found.history.query("split == 'train' and metric == 'loss'").groupby("epoch")["value"].mean()
    assert course.iloc[-1] < 0.95 * course.iloc[0]
