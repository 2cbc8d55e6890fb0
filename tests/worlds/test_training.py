"""The three paths give the same networks; equal runs are trained once; the compiled parts are exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.datasets.gaussian import FIGURE2, FIGURE3, World, worlds
from mmkd_lab.distill import ARMS
from mmkd_lab.training import worlds_bmm, worlds_kernel, worlds_loop
from mmkd_lab.training.worlds import WorldsRecipe, _layer, fit_worlds
from mmkd_lab.training.worlds_machine import Machine, Tile
from mmkd_lab.training.worlds_runs import Lesson, merge

EVERY_ARM = tuple(ARMS)


def assert_same_networks(fast, plain, *, atol=1e-5):
    for found, wanted in ((fast.teachers, plain.teachers), (fast.students, plain.students)):
        assert found.keys() == wanted.keys()
        for name, weights in wanted.items():
            np.testing.assert_allclose(found[name], weights, atol=atol, rtol=0, err_msg=name)


def assert_same_accuracies(fast, plain):
    for arm in plain.students:
        for role in ("student",) if arm == "no_kd" else ("student", "teacher"):
            difference = np.abs(fast.accuracy(arm, role=role) - plain.accuracy(arm, role=role))
            assert difference.max() <= 0.1 + 1e-9  # one borderline sample of 1,000


@pytest.mark.parametrize("path", ["kernel", "bmm"])
def test_fast_paths_equal_the_plain_loop_under_the_published_protocol(path, plain_published):
    drawn, plain = plain_published
    fast = fit_worlds(drawn, path=path)
    assert_same_networks(fast, plain)
    assert_same_accuracies(fast, plain)


@pytest.fixture(scope="module")
def plain_published():
    drawn = worlds([FIGURE2[0], FIGURE2[5]], [3])
    return drawn, fit_worlds(drawn, path="loop")


@pytest.mark.parametrize("convention", ["released", "kl"])
def test_fast_paths_equal_the_plain_loop_for_every_arm(convention):
    drawn = worlds([World(n_train=70, n_test=50), World(3, 2, 1, hidden=1, n_train=70, n_test=50)], [0])
    recipe = WorldsRecipe(ce=0.7, kd=1.8, convention=convention, steps=150, lr=0.2)
    plain, kernel, bmm = (
        fit_worlds(drawn, arms=EVERY_ARM, recipe=recipe, path=path) for path in ("loop", "kernel", "bmm")
    )
    assert_same_networks(kernel, plain)
    assert_same_networks(bmm, plain)


@pytest.mark.parametrize(
    ("lanes", "samples", "width"), [(4, 7, 3), (8, 33, 16), (16, 1, 1), (16, 200, 26), (16, 500, 101)]
)
def test_the_kernel_at_any_shape_and_on_any_vector_unit(lanes, samples, width):
    """Eleven runs on three inputs, cut for three processors, against the batched path."""
    unit = {4: Machine(4, 16, 4), 8: Machine(8, 16, 6), 16: Machine(16, 32, 8)}[lanes]
    runs, _ = merge(random_lessons(samples, width, per_input=(1, 3, 7)))
    fast = worlds_kernel.train(runs, steps=40, lr=0.1, unit=unit)
    slow = worlds_bmm.train(runs, steps=40, lr=0.1)
    np.testing.assert_allclose(fast, slow, atol=2e-6, rtol=2e-6)


def random_lessons(samples, width, *, per_input):
    random = np.random.default_rng(samples * 1000 + width)
    lessons = []
    for count in per_input:
        x = random.standard_normal((samples, width)).astype(np.float32)
        for _ in range(count):
            y = random.integers(0, 2, samples)
            start = random.uniform(-1, 1, (2, width + 1)).astype(np.float32)
            teacher = random.normal(0, 3, samples).astype(np.float32)
            lessons.append(Lesson(x, y, start, teacher=teacher, kd=float(random.uniform(0.1, 2))))
    return lessons


def test_the_compiled_sigmoid_is_exact_to_float32():
    """One step from w = 1, b = 0 on a single sample z moves the bias by -sigmoid(z)."""
    z = np.concatenate([np.linspace(-20, 20, 1500), [-1e4, -90, -87.5, -0.0, 1e-8, 87.5, 90, 1e4]])
    start = np.array([[0, 0], [1, 0]], dtype=np.float32)
    lessons = [Lesson(np.array([[v]], np.float32), np.zeros(1, np.int64), start) for v in z]
    runs, answer = merge(lessons)
    found = -worlds_kernel.train(runs, steps=1, lr=0.5)[answer, 1]
    wanted = 0.5 * (1 + np.tanh(0.5 * np.float32(z).astype(np.float64)))
    assert np.abs(found - wanted).max() < 2e-7


def test_tiles_cover_the_input_exactly():
    for unit in (Machine(4, 16, 4), Machine(8, 16, 6), Machine(16, 32, 8)):
        for runs in range(1, unit.most_runs + 1):
            for size in range(1, 70):
                tile = Tile.fit(unit, runs=runs, blocks=size, features=size)
                assert runs * tile.features <= unit.lanes
                assert runs * tile.samples <= unit.registers - 2
                for part in (tile.samples, tile.features):
                    count = -(-size // part)
                    large = size - count * (part - 1)
                    assert 0 <= large <= count
                    assert large * part + (count - large) * (part - 1) == size


def test_equal_runs_are_trained_once():
    drawn = worlds(FIGURE2, range(2))
    fit = fit_worlds(drawn, recipe=WorldsRecipe(steps=5))
    assert fit.asked == 12 + 12 + 12
    assert fit.trained == 12 + 2 + 12  # no_kd is one run per seed
    for seed in range(2):
        of_seed = fit.students["no_kd"][seed::2]
        assert np.array_equal(of_seed, np.broadcast_to(of_seed[0], of_seed.shape))
    loop = fit_worlds(worlds(FIGURE2[:2], [0]), recipe=WorldsRecipe(steps=1), path="loop")
    assert loop.asked == loop.trained == 6


@pytest.mark.parametrize("change", ["x", "y", "teacher", "kd", "start"])
def test_runs_that_differ_in_one_bit_are_kept_apart(change):
    lesson = random_lessons(20, 4, per_input=(1,))[0]
    other = {
        "x": lambda: replace(lesson, x=np.nextafter(lesson.x, np.float32(9))),
        "y": lambda: replace(lesson, y=1 - lesson.y),
        "teacher": lambda: replace(lesson, teacher=lesson.teacher + np.float32(1e-3)),
        "kd": lambda: replace(lesson, kd=lesson.kd + 1e-3),
        "start": lambda: replace(lesson, start=lesson.start * np.array([[1], [1.01]], np.float32)),
    }[change]()
    runs, answer = merge([lesson, other, lesson])
    assert answer.tolist() == [0, 1, 0]
    assert len(runs.x) == (2 if change == "x" else 1)


def test_arms_of_a_seed_start_alike_and_a_teacher_does_not():
    drawn = worlds(FIGURE3, [6])
    fit = fit_worlds(drawn, arms=EVERY_ARM, recipe=WorldsRecipe(steps=1, lr=1e-12))
    for arm in EVERY_ARM:
        assert np.allclose(fit.students[arm], fit.students["no_kd"], atol=1e-9)
    assert not np.allclose(fit.teachers["b"], fit.students["um_kd"], atol=1e-3)


def test_starts_are_torchs_default():
    stream = torch.Generator().manual_seed(11)
    torch.manual_seed(11)
    for width in (25, 50):
        layer = torch.nn.Linear(width, 2)
        found = torch.from_numpy(_layer(width, stream))
        assert torch.equal(found[:, :-1], layer.weight)
        assert torch.equal(found[:, -1], layer.bias)


def test_the_released_convention_is_half_the_weight():
    drawn = worlds(FIGURE2[2], [1])
    released = fit_worlds(drawn, recipe=WorldsRecipe(kd=1.0, convention="released", steps=50))
    true = fit_worlds(drawn, recipe=WorldsRecipe(kd=0.5, convention="kl", steps=50))
    assert np.array_equal(released.students["cm_kd"], true.students["cm_kd"])


def test_kd_of_weight_zero_is_no_kd():
    fit = fit_worlds(worlds(FIGURE2[1], [0]), recipe=WorldsRecipe(kd=0.0, steps=50))
    np.testing.assert_allclose(fit.students["cm_kd"], fit.students["no_kd"], atol=1e-7)


def test_a_column_of_zeros_teaches_nothing():
    """Masking columns is training without them, up to the start."""
    drawn = worlds(FIGURE3[2], [0]).only("a", "shared")
    kept = drawn.specs[0].columns("a", "shared")
    x, y = drawn.a[0, :200], drawn.target[0, :200]
    zeros = np.zeros((2, 51), np.float32)
    masked, narrow = (
        worlds_kernel.train(merge([lesson])[0], steps=200, lr=0.1)[0]
        for lesson in (Lesson(x, y, zeros), Lesson(np.ascontiguousarray(x[:, kept]), y, zeros[:, :11]))
    )
    np.testing.assert_allclose(masked[[*kept, 50]], narrow, atol=1e-6)


def test_the_loop_measures_every_step():
    drawn = worlds(FIGURE2[0], [0])
    train, test = drawn.rows("train"), drawn.rows("test")
    start = _layer(50, torch.Generator().manual_seed(0))
    lesson = Lesson(drawn.b[0, train], drawn.target[0, train], start)
    watch = (drawn.b[0, test], drawn.target[0, test])
    _, curve = worlds_loop.train_one(lesson, steps=30, lr=0.1, watch=watch)
    assert curve.shape == (30, 2)
    weights = worlds_kernel.train(merge([lesson])[0], steps=30, lr=0.1)[0]
    logits = watch[0] @ weights[:-1] + weights[-1]
    assert curve[-1, 1] == pytest.approx(100 * np.mean((logits > 0) == watch[1]), abs=0.11)
    assert worlds_loop.train_one(lesson, steps=2, lr=0.1)[1].shape == (0, 2)


def test_training_is_deterministic():
    drawn = worlds(FIGURE3[:2], [0])
    first, second = (fit_worlds(drawn, recipe=WorldsRecipe(steps=100)) for _ in range(2))
    assert np.array_equal(first.students["cm_kd"], second.students["cm_kd"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_equals_cpu():
    drawn = worlds(FIGURE2[:3], [0, 1])
    assert_same_networks(fit_worlds(drawn, path="bmm", device="cuda"), fit_worlds(drawn))


DRAWN = worlds(FIGURE2[0], [0])


@pytest.mark.parametrize(
    ("build", "parts"),
    [
        (lambda: WorldsRecipe(ce=-1), ("ce = -1", "at least 0")),
        (lambda: WorldsRecipe(kd=float("nan")), ("kd = nan", "finite")),
        (lambda: WorldsRecipe(convention="mean"), ("convention = 'mean'", "'kl' or 'released'")),
        (lambda: WorldsRecipe(steps=0), ("steps = 0", "at least 1")),
        (lambda: WorldsRecipe(lr=0), ("lr = 0", "above 0")),
        (lambda: fit_worlds(DRAWN, arms=("no_kdd",)), ("arms = 'no_kdd'", "Did you mean 'no_kd'?")),
        (lambda: fit_worlds(DRAWN, arms=()), ("arms = ()", "at least one arm")),
        (lambda: fit_worlds(DRAWN, path="kernle"), ("path = 'kernle'", "Did you mean 'kernel'?")),
        (lambda: fit_worlds(DRAWN, device="cpuu"), ("device = 'cpuu'", "torch device")),
        (
            lambda: fit_worlds(DRAWN, arms=("kl_only",), recipe=WorldsRecipe(kd=0)),
            ("kd = 0", "'kl_only' nothing to learn"),
        ),
        (
            lambda: fit_worlds(DRAWN, recipe=WorldsRecipe(lr=3e38, steps=20)),
            ("lr = 3e+38", "converge", "Lower it"),
        ),
    ],
)
def test_wrong_arguments_are_named(build, parts):
    with pytest.raises(LabError) as caught:
        build()
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ({"arm": "um_kd"}, ("arm = 'um_kd'", "'no_kd' or 'cm_kd'")),
        ({"arm": "no_kd", "role": "teacher"}, ("arm = 'no_kd'", "has no teacher")),
        ({"arm": "cm_kd", "role": "pupil"}, ("role = 'pupil'", "'student' or 'teacher'")),
        ({"arm": "cm_kd", "split": "val"}, ("split = 'val'", "'train' or 'test'")),
    ],
)
def test_wrong_questions_to_a_fit_are_named(arguments, parts):
    fit = fit_worlds(DRAWN, recipe=WorldsRecipe(steps=1))
    with pytest.raises(LabError) as caught:
        fit.accuracy(arguments.pop("arm"), **arguments)
    for part in parts:
        assert part in str(caught.value)
