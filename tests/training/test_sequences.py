"""What is no picture: every channel has a scale of its own, and the lab's default network keeps up with plain
classifiers on it.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill import labels_only
from mmkd_lab.models import NetSpec
from mmkd_lab.training import Recipe, Replicas, evaluate, fit
from tests.training.toy import DOUBLE

N, STEPS = 240, 32


def waves(classes, generator):
    """Targets, and of each sample a wave whose frequency is its class's and whose phase is nearly known."""
    target = np.arange(2 * N) % classes
    phase = generator.uniform(-0.5, 0.5, size=(2 * N, 1))
    return target, np.sin((1 + target)[:, None] * 2 * np.pi * np.arange(STEPS) / STEPS + phase)


def joints():
    """20 joints in metres, far from zero; the classes are in how they move by centimetres."""
    generator = np.random.default_rng(0)
    target, wave = waves(3, generator)
    place = np.array([3.0, -40.0, 1200.0]) + generator.normal(size=(20, 3))
    way = 0.02 * generator.normal(size=(3, 20, 3))[target]
    x = place + wave[:, :, None, None] * way[:, None]
    return x + 0.13 * generator.normal(size=x.shape), target


def sensors():
    """An accelerometer in g that tells the classes, beside a gyroscope in degrees a second that does not."""
    generator = np.random.default_rng(0)
    target, wave = waves(4, generator)
    x = np.random.default_rng(1).normal(size=(2 * N, STEPS, 6))
    x[..., :3] = 3.0 * x[..., :3] + wave[:, :, None] * generator.normal(size=(4, 3))[target][:, None]
    return np.array([0, 0, 1.0, 0, 0, 0]) + np.array([0.02] * 3 + [100.0] * 3) * x, target


def paired(x, target):
    where = np.arange(2 * N)
    classes = tuple(map(str, range(target.max() + 1)))
    return PairedData("made", {"m": x}, target, {"train": where[:N], "val": where[N:]}, classes)


@pytest.mark.parametrize("make", [joints, sensors])
def test_the_default_network_keeps_up_with_plain_classifiers(make):
    x, target = make()
    flat, plain = x.reshape(2 * N, -1), [LogisticRegression(max_iter=2000), SVC()]
    fitted = [make_pipeline(StandardScaler(), one).fit(flat[:N], target[:N]) for one in plain]
    best = max(100 * one.score(flat[N:], target[N:]) for one in fitted)
    data = paired(x, target)
    start = Replicas.build(NetSpec(), data, seeds=[0, 1], device="cpu", dtype=torch.float64)
    found = fit(start, data, labels_only(), Recipe(**DOUBLE), progress=False).replicas
    assert 85 < best < 99
    assert evaluate(found, data, split="val")["accuracy"].mean() > best - 3


def moments(spec, x):
    data = paired(x, np.arange(2 * N) % 2)
    buffers = Replicas.build(spec, data, seeds=[0], device="cpu", dtype=torch.float64).buffers
    return [buffers[name][0].numpy() for name in ("shift_0", "scale_0")]


@pytest.mark.parametrize(
    ("shape", "time", "axes"),
    [
        ((5,), None, (0,)),
        ((1, 8, 9), None, (0, 1, 2, 3)),
        ((3, 8, 9), None, (0, 1, 2, 3)),
        ((9, 4), None, (0, 1)),
        ((2, 9), None, (0, 1)),
        ((2, 9), 1, (0, 2)),
        ((10, 9, 3), None, (0, 1)),
        ((3, 10, 9), 1, (0, 2)),
        ((9, 8, 8), None, (0, 1)),
        ((3, 6, 4, 2), 1, (0, 2)),
    ],
)
def test_what_is_scaled_alike_goes_by_the_axes(shape, time, axes):
    x = np.random.default_rng(0).normal(size=(2 * N, *shape)) + np.arange(np.prod(shape)).reshape(shape)
    mean, scale = moments(NetSpec("linear", time=None if time is None else {"m": time}), x)
    np.testing.assert_allclose(np.squeeze(mean), np.squeeze(x[:N].mean(axes)), rtol=1e-12)
    np.testing.assert_allclose(np.squeeze(scale), np.squeeze(1 / x[:N].std(axes)), rtol=1e-12)
    both = np.broadcast_shapes(mean.shape, scale.shape, shape)
    assert both == shape  # each number meets the values that it was made of
    alone = [i for i in range(len(shape)) if i + 1 not in axes]
    assert np.squeeze(mean).shape == tuple(shape[i] for i in alone)


@pytest.mark.parametrize("size", [1e-15, 1e-30, 1e30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_size_of_the_numbers_is_lost_and_what_never_varies_stays(size, dtype):
    x = np.random.default_rng(0).normal(size=(2 * N, 3))
    spec, target = NetSpec("linear"), np.arange(2 * N) % 2
    never = np.array([[0.1, 1e30, 0.0]]).repeat(2 * N, 0)
    read = []
    for numbers in (x, size * x, never):
        data = paired(numbers, target)
        nets = Replicas.build(spec, data, seeds=[0], device="cpu", dtype=dtype)
        read.append(nets.features(data)[0].double())
    torch.testing.assert_close(read[1], read[0], atol=1e-5, rtol=1e-5)
    assert float((read[0][:N].std(0, correction=0) - 1).abs().max()) < 1e-5
    assert float((read[2] / torch.tensor([0.1, 1e30, 1.0])).abs().max()) < 1e-6
