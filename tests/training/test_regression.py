"""Numbers as targets: closed forms of the losses, units that change nothing, least squares."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from torch import nn
from torch.distributions import Normal, kl_divergence

from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.distill import Distillation
from mmkd_lab.distill.distance import Distance
from mmkd_lab.distill.losses.ce import CrossEntropy, cross_entropy
from mmkd_lab.distill.losses.kd import KD, kd_divergence
from mmkd_lab.distill.saliency import difference
from mmkd_lab.models import NetSpec
from mmkd_lab.study import failure_cases
from mmkd_lab.training import checkpoint, fit, teacher_outputs
from mmkd_lab.training.metrics import evaluate, score
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.replicas import Replicas
from mmkd_lab.training.sources import source_of
from tests.study import tiny

NUMBERS = Task.REGRESSION
RECIPE = Recipe(epochs=25, batch_size=16, lr=0.02, precision="64-true")
LINEAR = NetSpec(encoder="linear")


def numbers(*, scale=1.0, shift=0.0, outputs=1, n=120, seed=0):
    """b tells two of the three factors behind the target, a tells all of them more clearly."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    a = z + 0.3 * torch.randn(n, 3, generator=generator, dtype=torch.float64)
    b = z[:, :2] + 0.3 * torch.randn(n, 2, generator=generator, dtype=torch.float64)
    y = z @ torch.tensor([[1.0, 0.5], [0.5, -1.0], [0.7, 0.2]], dtype=torch.float64)[:, :outputs]
    splits = {"train": range(n // 2), "val": range(n // 2, 3 * n // 4), "test": range(3 * n // 4, n)}
    target = y * scale + shift
    return PairedData(
        "numbers",
        {"a": a, "b": b},
        target if outputs > 1 else target[:, 0],
        splits,
        tuple("yz"[:outputs]),
        NUMBERS,
    )


def trained(data, spec=LINEAR, loss=None, teacher=None, **more):
    untrained = Replicas.build(spec, data, seeds=[0, 1], dtype=torch.float64)
    loss = loss or Distillation(((1.0, CrossEntropy(NUMBERS)),))
    return fit(untrained, data, loss, RECIPE, teacher=teacher, progress=False, **more).replicas


def test_labels_and_teachers_in_closed_form():
    draw = torch.Generator().manual_seed(0)
    s, t, y = (torch.randn(2, 5, 3, generator=draw, dtype=torch.float64) for _ in range(3))
    nats = -Normal(s, 1.0).log_prob(y).sum(-1).mean(-1)
    constant = 3 * np.log(2 * np.pi) / 2
    torch.testing.assert_close(cross_entropy(s, y, task=NUMBERS), nats - constant)
    for temperature in (1.0, 2.5, 10.0):
        law = kl_divergence(Normal(t, temperature), Normal(s, temperature)).sum(-1).mean(-1) * temperature**2
        torch.testing.assert_close(kd_divergence(s, t, temperature=temperature, task=NUMBERS), law)
        each = Distance("kl", temperature=temperature, task=NUMBERS).each(s, t)
        torch.testing.assert_close(each.mean(-1), law)
    torch.testing.assert_close(difference(t, s, task=NUMBERS), ((t - s) ** 2).sum(-1).float() / 2)
    overlap = difference(t[..., :1], s[..., :1], delta="tv", task=NUMBERS)
    half = Normal(0.0, 1.0).cdf((t - s).abs()[..., 0] / 2)
    torch.testing.assert_close(overlap, (2 * half - 1).float())


def test_kd_beside_labels_fits_their_mixture():
    """(1 - rho) (s - y)² + rho (s - t)² has the gradient of (s - (1 - rho) y - rho t)²."""
    draw = torch.Generator().manual_seed(1)
    s, t, y = (torch.randn(1, 6, 2, generator=draw, dtype=torch.float64) for _ in range(3))
    s.requires_grad_()
    both = 0.7 * cross_entropy(s, y, task=NUMBERS) + 0.3 * kd_divergence(s, t, temperature=4.0, task=NUMBERS)
    mixed = cross_entropy(s, 0.7 * y + 0.3 * t, task=NUMBERS)
    torch.testing.assert_close(*(torch.autograd.grad(one.sum(), s)[0] for one in (both, mixed)))


def test_metrics_are_those_of_scikit_learn():
    draw = torch.Generator().manual_seed(2)
    said, target = torch.randn(3, 40, 2, generator=draw), torch.randn(40, 2, generator=draw)
    found = score(said, target, task=NUMBERS)
    assert list(found) == ["r2", "rmse", "mae"]
    for r in range(3):
        one, true = said[r].numpy(), target.numpy()
        assert float(found["r2"][r]) == pytest.approx(100 * r2_score(true, one), abs=1e-4)
        assert float(found["rmse"][r]) == pytest.approx(root_mean_squared_error(true, one), rel=1e-6)
        assert float(found["mae"][r]) == pytest.approx(mean_absolute_error(true, one), rel=1e-6)


def own():
    return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))


@pytest.mark.parametrize("made", [LINEAR, own], ids=["spec", "function"])
def test_the_unit_of_the_target_changes_nothing(made):
    """Training, R2 and predictions taken back into units are the same in whatever the target is measured."""
    found = []
    for scale, shift in ((1.0, 0.0), (1000.0, -5e4)):
        data = numbers(scale=scale, shift=shift)
        teacher = teacher_outputs(trained(data)[0], data)
        start = source_of(made, argument="student_model", data=data, modalities=["b"])
        loss = Distillation(((0.5, CrossEntropy(NUMBERS)), (0.5, KD(4.0, "kl", NUMBERS))))
        net = fit(start.replicas([3], recipe=RECIPE), data, loss, RECIPE, teacher=teacher, progress=False)
        said = net.replicas.predict(data, split="test").double()
        found.append(((said - shift) / scale, evaluate(net.replicas, data, split="test")))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(found[0][1]["r2"], found[1][1]["r2"], rtol=1e-7)
    np.testing.assert_allclose(1000 * found[0][1]["rmse"], found[1][1]["rmse"], rtol=1e-7)
    assert found[0][1]["r2"][0] > 30


def test_several_datasets_at_once_and_one_by_one():
    sets = [numbers(scale=one, shift=one, seed=int(one)) for one in (1.0, 20.0)]
    untrained = Replicas.join([Replicas.build(LINEAR, one, seeds=[0], dtype=torch.float64) for one in sets])
    loss = Distillation(((1.0, CrossEntropy(NUMBERS)),))
    both = [fit(untrained, sets, loss, RECIPE, mode=mode, progress=False) for mode in ("stacked", "looped")]
    alone = fit(untrained[1], sets[1], loss, RECIPE, progress=False).replicas
    for one in both:
        torch.testing.assert_close(
            one.replicas[1].predict(sets[1]), alone.predict(sets[1]), rtol=1e-8, atol=1e-8
        )


def test_a_network_on_disk_keeps_its_unit(tmp_path):
    data = numbers(scale=50.0, shift=7.0)
    net = trained(data)
    again = checkpoint.load(checkpoint.save(net, tmp_path / "net.safetensors"))
    torch.testing.assert_close(again.predict(data), net.predict(data), rtol=0, atol=0)


def test_least_squares_is_what_a_linear_student_comes_to():
    data = numbers(outputs=2)
    recipe = Recipe(epochs=300, batch_size=None, lr=0.05, precision="64-true", select="last")
    spec = NetSpec(encoder="linear", modalities=("b",))
    start = Replicas.build(spec, data, seeds=[0], dtype=torch.float64)
    net = fit(start, data, Distillation(((1.0, CrossEntropy(NUMBERS)),)), recipe, progress=False).replicas
    train = data.positions("train")
    x = torch.cat([data.modalities["b"], torch.ones(len(data), 1, dtype=torch.float64)], 1)
    best = torch.linalg.lstsq(x[train], data.target[train]).solution
    torch.testing.assert_close(net.predict(data)[0], x @ best, rtol=0, atol=1e-3)


@pytest.mark.long
def test_failure_cases_of_numbers(tmp_path):
    study = tiny.study(tmp_path, data=numbers(scale=30.0), recipe=RECIPE)
    assert "test R² in percent), in points." in study.verdict
    linear = study.table[(study.table["role"] == "baseline") & (study.table["metric"] == "r2")]
    assert (linear["value"] > 40).all()
    assert set(study.table["metric"]) == {"r2", "rmse", "mae"}
    other = tiny.study(tmp_path, data=numbers(scale=30.0), recipe=RECIPE, metric="rmse")
    assert "test rmse), in units of the target." in other.verdict
    stronger = "the a teacher is stronger than the b teacher (−"
    assert (
        stronger in tiny.study(tmp_path, data=numbers(), recipe=RECIPE, metric="mae", seeds=range(3)).verdict
    )
    study.plot()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": torch.full((120,), 2.0)}, "must vary in every split"),
        ({"target": torch.arange(120.0) / torch.arange(120.0)}, "NaN or infinite"),
        ({"target": torch.rand(120, 3)}, "regression"),
        ({"classes": ()}, "at least one output"),
    ],
)
def test_wrong_targets(change, message):
    data = numbers()
    given = {"modalities": dict(data.modalities), "target": data.target, "classes": data.classes} | change
    with pytest.raises(LabError, match=message):
        PairedData("numbers", splits=dict(data.splits), task=NUMBERS, **given)


def test_what_numbers_cannot_have(tmp_path):
    with pytest.raises(LabError, match="metric"):
        failure_cases(numbers(), student="b", metric="accuracy")
    with pytest.raises(LabError, match="laws over classes"):
        Distance("dist", task=NUMBERS)
    with pytest.raises(LabError, match="no closed form"):
        difference(torch.zeros(1, 2, 1), torch.ones(1, 2, 1), delta="js", task=NUMBERS)
