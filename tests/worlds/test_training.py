"""The fast paths give the networks of the plain loop, equal runs are trained once, threads change nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.datasets.gaussian import FIGURE2, FIGURE3, World, worlds
from mmkd_lab.training.descent import WorldsRecipe, batched, compiled
from mmkd_lab.training.device import default_dtype
from mmkd_lab.training.linear_kernel import by_feature, descend
from mmkd_lab.training.worlds import _layer, fit_worlds
from tests.worlds.plain import fit_plainly

EVERY_ARM = ("no_kd", "um_kd", "cm_kd", "mm_kd", "kl_only")
#: The largest difference of a weight: roundings of 1e-16 or 6e-8 a step, over up to a thousand steps.
FAR = {"64-true": 1e-12, "32-true": 5e-6}
DRAWN = worlds(FIGURE2[0], [0])
ONCE = np.array([[1.0, 0.0]])  # the weights of a probability: at temperature 1, and at the recipe's


def assert_same_networks(fit, teachers, students, *, atol):
    for found, wanted in ((fit.teachers, teachers), (fit.students, students)):
        assert found.keys() == wanted.keys()
        for name, weights in wanted.items():
            np.testing.assert_allclose(found[name], weights, atol=atol, rtol=0, err_msg=name)


@pytest.mark.parametrize(("convention", "temperature"), [("released", 1.0), ("kl", 1.0), ("kl", 2.5)])
def test_every_arm_equals_the_plain_loop(convention, temperature):
    drawn = worlds([World(n_train=70, n_test=50), World(3, 2, 1, hidden=1, n_train=70, n_test=50)], [0])
    settings = {"ce": 0.7, "kd": 1.8, "convention": convention, "steps": 150, "lr": 0.2}
    settings["temperature"] = temperature
    plain = fit_plainly(drawn, EVERY_ARM, WorldsRecipe(**settings))
    for precision, atol in FAR.items():
        fit = fit_worlds(drawn, arms=EVERY_ARM, recipe=WorldsRecipe(**settings, precision=precision))
        assert_same_networks(fit, *plain, atol=atol)


def test_the_published_protocol_equals_the_plain_loop_at_its_last_step():
    drawn, recipe = worlds(FIGURE2[5], [3]), WorldsRecipe(precision="64-true")
    fit = fit_worlds(drawn, recipe=recipe)
    assert_same_networks(fit, *fit_plainly(drawn, ("no_kd", "cm_kd"), recipe), atol=FAR["64-true"])
    quick = fit_worlds(drawn)
    assert_same_networks(quick, fit.teachers, fit.students, atol=FAR["32-true"])


@pytest.mark.parametrize(("samples", "width"), [(1, 1), (33, 16), (200, 26), (203, 101)])
def test_both_paths_agree_at_any_shape(samples, width):
    """Eleven runs on three inputs."""
    random = np.random.default_rng(samples * 1000 + width)
    x = random.standard_normal((3, samples, width))
    members = [np.array([0]), np.array([1, 5, 9]), np.array([2, 3, 4, 6, 7, 8, 10])]
    weights, starts = random.uniform(0.5, 2, (11, 2)), random.uniform(-1, 1, (11, width + 1))
    runs = random.random((11, samples)), weights, starts
    recipe = WorldsRecipe(steps=40, temperature=3.0, precision="64-true")
    one = compiled(x, members, runs, recipe, 1)
    np.testing.assert_allclose(one, batched(x, members, runs, recipe, torch.device("cpu")), atol=1e-12)


@pytest.mark.parametrize(("dtype", "far"), [(np.float64, 1e-14), (np.float32, 2e-6)])
def test_the_compiled_sigmoid(dtype, far):
    """One step from w = 1, b = 0 on a single sample z moves the bias by -sigmoid(z)."""
    for z in [*np.linspace(-45, 45, 361), -1e4, -0.0, 1e-8, 1e4]:
        w = np.array([[1.0, 0.0, 0.0, 0.0]], dtype)
        x, once = by_feature(np.array([[z]]), dtype), ONCE.astype(dtype)
        descend(x, w, np.zeros((1, 1), dtype), once, 1.0, 1.0, 1)
        assert abs(-w[0, 1] - 0.5 * (1 + np.tanh(0.5 * z))) < far


def test_threads_change_nothing():
    drawn = worlds(FIGURE3[:3], [0, 1])
    one, four = (fit_worlds(drawn, recipe=WorldsRecipe(steps=100), threads=n) for n in (1, 4))
    assert np.array_equal(one.students["cm_kd"], four.students["cm_kd"])
    assert np.array_equal(one.teachers["a"], four.teachers["a"])


def test_equal_runs_are_trained_once_and_others_are_kept_apart():
    drawn = worlds(FIGURE2, range(2))
    fit = fit_worlds(drawn, recipe=WorldsRecipe(steps=5))
    assert fit.asked == 12 + 12 + 12
    assert fit.trained == 12 + 2 + 12  # no_kd is one run per seed
    for seed in range(2):
        of_seed = fit.students["no_kd"][seed::2]
        assert np.array_equal(of_seed, np.broadcast_to(of_seed[0], of_seed.shape))
    for w in range(len(drawn)):
        alone = fit_worlds(worlds(drawn.specs[w], [drawn.seeds[w]]), recipe=WorldsRecipe(steps=5))
        assert np.array_equal(alone.students["cm_kd"][0], fit.students["cm_kd"][w])


def test_arms_of_a_seed_start_alike_and_a_teacher_does_not():
    fit = fit_worlds(worlds(FIGURE3, [6]), arms=EVERY_ARM, recipe=WorldsRecipe(steps=1, lr=1e-12))
    for arm in EVERY_ARM:
        assert np.allclose(fit.students[arm], fit.students["no_kd"], atol=1e-9)
    assert not np.allclose(fit.teachers["b"], fit.students["um_kd"], atol=1e-3)


def test_starts_are_torchs_default():
    stream = torch.Generator().manual_seed(11)
    torch.manual_seed(11)
    for width in (25, 50):
        layer = torch.nn.Linear(width, 2)
        found = torch.from_numpy(_layer(width, stream))
        assert torch.equal(found[:, :-1], layer.weight.double())
        assert torch.equal(found[:, -1], layer.bias.double())


def test_kd_of_weight_zero_is_no_kd():
    fit = fit_worlds(worlds(FIGURE2[1], [0]), recipe=WorldsRecipe(kd=0.0, steps=50, precision="64-true"))
    np.testing.assert_allclose(fit.students["cm_kd"], fit.students["no_kd"], atol=1e-14)


def test_a_column_of_zeros_teaches_nothing():
    """Masking columns is training without them, up to the start."""
    drawn = worlds(FIGURE3[2], [0]).only("a", "shared")
    kept = [*drawn.specs[0].columns("a", "shared"), 50]
    x, y = drawn.a[0, :200], drawn.target[:1, :200].astype(float)
    found = []
    for columns in (x, x[:, kept[:-1]]):
        packed = by_feature(columns)
        w = np.zeros((1, len(packed)))
        descend(packed, w, y, ONCE, 1.0, 0.2, 200)
        found.append(w[0, : columns.shape[1] + 1])
    np.testing.assert_allclose(found[0][kept], found[1], atol=1e-13)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_equals_cpu():
    drawn, recipe = worlds(FIGURE2[:3], [0, 1]), WorldsRecipe(precision="64-true")
    cpu = fit_worlds(drawn, recipe=recipe)
    assert_same_networks(
        fit_worlds(drawn, recipe=recipe, device="cuda"), cpu.teachers, cpu.students, atol=1e-11
    )


@pytest.mark.parametrize(
    ("build", "parts"),
    [
        (lambda: WorldsRecipe(ce=-1), ("ce = -1", "0")),
        (lambda: WorldsRecipe(kd=float("nan")), ("kd = nan", "finite")),
        (lambda: WorldsRecipe(convention="mean"), ("convention = 'mean'", "'kl' or 'released'")),
        (lambda: WorldsRecipe(steps=0), ("steps = 0", "1")),
        (lambda: WorldsRecipe(lr=0), ("lr = 0", "above 0")),
        (lambda: fit_worlds("figure2"), ("worlds = 'figure2'",)),
        (lambda: fit_worlds(DRAWN, recipe=0), ("recipe = 0",)),
        (lambda: fit_worlds(DRAWN, arms=("no_kdd",)), ("arms = 'no_kdd'", "Did you mean 'no_kd'?")),
        (lambda: fit_worlds(DRAWN, arms=()), ("arms = ()", "at least one arm")),
        (lambda: fit_worlds(DRAWN, device="cpuu"), ("device = 'cpuu'", "torch device")),
        (lambda: fit_worlds(DRAWN, threads=0), ("threads = 0", "at least 1")),
        (
            lambda: fit_worlds(DRAWN, arms=("kl_only",), recipe=WorldsRecipe(kd=0)),
            ("kd = 0", "'kl_only' nothing to learn"),
        ),
        (
            lambda: fit_worlds(DRAWN, recipe=WorldsRecipe(lr=3e38, steps=20)),
            ("lr = 3e+38", "converge", "Lower it"),
        ),
        (lambda: FIT.accuracy("um_kd"), ("arm = 'um_kd'", "'no_kd' or 'cm_kd'")),
        (lambda: FIT.accuracy("no_kd", role="teacher"), ("arm = 'no_kd'", "has no teacher")),
        (lambda: FIT.accuracy("cm_kd", role="pupil"), ("role = 'pupil'", "'student' or 'teacher'")),
        (lambda: FIT.accuracy("cm_kd", split="val"), ("split = 'val'", "'train' or 'test'")),
    ],
)
def test_wrong_arguments_are_named(build, parts):
    with pytest.raises(LabError) as caught:
        build()
    for part in parts:
        assert part in str(caught.value)


FIT = fit_worlds(DRAWN, recipe=WorldsRecipe(steps=1))


def test_another_thread_that_computes_in_double_changes_no_start():
    drawn = worlds(FIGURE2[0], [0, 1])
    plain = fit_worlds(drawn, arms=("no_kd", "cm_kd"))
    with default_dtype(torch.float64):  # as Lightning Fabric does, for the whole process
        other = fit_worlds(drawn, arms=("no_kd", "cm_kd"))
    for arm in ("no_kd", "cm_kd"):
        assert np.array_equal(plain.students[arm], other.students[arm])
    assert np.array_equal(plain.teachers["a"], other.teachers["a"])
