"""Teacher outputs come back by sample index, whatever the order of the batches."""

from __future__ import annotations

import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill import TeacherCache


def _cache(r=2, n=20, k=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    index = torch.randperm(1000, generator=generator)[:n]
    return TeacherCache(index, torch.randn(r, n, k, generator=generator)), index


def _data(classes=3, index=None):
    n = 12
    return PairedData(
        name="tiny",
        modalities={"a": torch.zeros(n, 2)},
        target=torch.arange(n) % classes,
        splits={"train": torch.arange(6), "test": torch.arange(6, 12)},
        classes=tuple("xyzuvw"[:classes]),
        index=index,
    )


def test_any_order_of_batches_gives_the_same_rows():
    index, logits = torch.tensor([7, 3, 900, 12]), torch.randn(2, 4, 3)
    cache = TeacherCache(index, logits)
    order = torch.tensor([2, 0, 3, 1, 1])
    assert torch.equal(cache.rows(index[order]), logits[:, order])


def test_each_replica_may_ask_for_its_own_samples():
    cache, index = _cache()
    orders = torch.stack([torch.randperm(20, generator=torch.Generator().manual_seed(s)) for s in (1, 2)])
    rows = cache.rows(index[orders])
    for r in range(2):
        assert torch.equal(rows[r], cache.rows(index[orders[r]])[r])


def test_the_order_in_which_the_teacher_was_run_does_not_matter():
    cache, index = _cache()
    order = torch.randperm(20, generator=torch.Generator().manual_seed(3))
    shuffled = TeacherCache(index[order], cache.rows(index[order]))
    assert torch.equal(shuffled.rows(index), cache.rows(index))


def test_one_teacher_of_many_and_stacking_them_back():
    cache, index = _cache(r=3)
    stacked = TeacherCache.stack([cache[2], cache[0]])
    assert torch.equal(stacked.rows(index), cache.rows(index)[[2, 0]])
    assert (len(stacked), stacked.num_classes) == (2, 3)


def test_dense_outputs_keep_their_positions():
    index, logits = torch.tensor([5, 2]), torch.randn(1, 2, 3, 4, 4)
    assert torch.equal(TeacherCache(index, logits).rows(torch.tensor([2, 5])), logits[:, [1, 0]])


def test_a_subset_of_the_data_keeps_its_teacher():
    data = _data(index=torch.arange(100, 112))
    logits = torch.randn(1, 12, 3)
    cache = TeacherCache(data.sample_index, logits)
    part = data.select(torch.tensor([8, 6, 0, 1, 7, 2]))
    assert torch.equal(cache.rows(part.sample_index), logits[:, [8, 6, 0, 1, 7, 2]])
    cache.require_fits(part)


def test_unknown_samples_are_refused_by_number():
    cache = TeacherCache(torch.tensor([1, 5, 9]), torch.zeros(1, 3, 2))
    for unknown in (0, 4, 10):
        with pytest.raises(LabError, match=f"sample_index = '1 unknown, first {unknown}'"):
            cache.rows(torch.tensor([5, unknown]))


def test_a_teacher_that_does_not_fit_the_data_is_refused():
    cache = TeacherCache(torch.arange(12), torch.zeros(1, 12, 3))
    cache.require_fits(_data())
    with pytest.raises(LabError, match="teacher = '3 classes': must have the 2 classes of tiny"):
        cache.require_fits(_data(classes=2))
    with pytest.raises(LabError, match="teacher = \"1 samples of 'train' not cached, first 5\""):
        TeacherCache(torch.arange(5), torch.zeros(1, 5, 3)).require_fits(_data())


@pytest.mark.parametrize(
    ("index", "logits", "words"),
    [
        (torch.tensor([1, 1, 2]), torch.zeros(1, 3, 2), ["index", "2 distinct numbers for 3 rows", "twice"]),
        (torch.tensor([1.0, 2.0]), torch.zeros(1, 2, 2), ["index", "float32", "int64"]),
        (torch.tensor([1, 2, 3]), torch.zeros(1, 2, 2), ["logits = (1, 2, 2)", "3 by the index"]),
        (torch.tensor([1, 2]), torch.zeros(2, 2), ["logits", "(R, N, K)"]),
        (torch.tensor([1, 2]), torch.zeros(1, 2, 2, dtype=torch.int64), ["logits", "floating"]),
        (torch.tensor([1, 2]), torch.full((1, 2, 2), float("nan")), ["logits", "NaN", "finite"]),
        (torch.empty(0, dtype=torch.int64), torch.zeros(1, 0, 2), ["index", "at least one sample"]),
    ],
)
def test_bad_caches_are_named(index, logits, words):
    with pytest.raises(LabError) as raised:
        TeacherCache(index, logits)
    for word in words:
        assert word in str(raised.value)


def test_wrong_shapes_of_requests_are_named():
    cache, index = _cache(r=2)
    with pytest.raises(LabError, match=r"sample_index = '.*\(3, 4\)': must be int64, \(B,\) or \(2, B\)"):
        cache.rows(index[:12].reshape(3, 4))
    with pytest.raises(LabError, match="r = 2: must be a teacher"):
        cache[2]
    with pytest.raises(LabError, match=r"caches = \[\]: must be a list of at least one"):
        TeacherCache.stack([])
    with pytest.raises(LabError, match="must hold the same samples"):
        TeacherCache.stack([cache, TeacherCache(index[:5], torch.zeros(1, 5, 3))])
    with pytest.raises(LabError, match="must have the same classes"):
        TeacherCache.stack([cache, TeacherCache(index, torch.zeros(1, 20, 4))])


def test_teachers_come_one_by_one():
    cache, _ = _cache(r=2)
    assert [torch.equal(one.logits[0], cache.logits[r]) for r, one in enumerate(cache)] == [True, True]


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda c: TeacherCache([0, 1], torch.zeros(1, 2, 2)), "index = [0, 1]"),
        (lambda c: TeacherCache(torch.arange(2), None), "logits = None"),
        (lambda c: c.rows([0]), "sample_index = [0]"),
        (lambda c: c.rows(torch.tensor([0.5])), "sample_index = 'torch.float32 (1,)'"),
        (lambda c: c["0"], "r = '0'"),
        (lambda c: TeacherCache.stack(None), "caches = None"),
        (lambda c: TeacherCache.stack([3]), "caches = 3"),
        (lambda c: c.require_fits("av_digits"), "data = 'av_digits'"),
    ],
)
def test_things_of_another_kind_are_named(call, word):
    with pytest.raises(LabError) as raised:
        call(_cache(r=2)[0])
    assert word in str(raised.value)
