"""Modalities that stay on disk: what is read is what is there, and a file that is no longer what it was."""

import os
import pickle

import numpy as np
import pytest
import torch

from mmkd_lab import data
from mmkd_lab.core.check import DamagedFile, LabError
from mmkd_lab.data import PairedData, on_demand
from mmkd_lab.data.on_demand import MappedFile, OnDemand, fetch

N = 60
RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (N, 3, 8, 8), dtype=np.uint8)
VECTORS = RNG.normal(size=(N, 5))
TARGET = np.arange(N) % 3
SPLITS = {"train": np.arange(30), "val": np.arange(30, 45), "test": np.arange(45, N)}


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "pictures.npy", PICTURES)
    np.save(tmp_path / "vectors.npy", VECTORS)
    return tmp_path


def opened(folder, name="vectors", mode="r"):
    return np.load(folder / f"{name}.npy", mmap_mode=mode, allow_pickle=False)


def paired(a, b):
    return PairedData("mapped", {"a": a, "b": b}, TARGET, SPLITS, ("x", "y", "z"))


def both(folder):
    return paired(opened(folder, "pictures"), opened(folder)), paired(PICTURES, VECTORS)


@pytest.mark.parametrize("positions", [[[3, 4, 5], [59, 2, 1]], [[0]], [[7, 7, 6]], [[]]], ids=str)
def test_a_batch_is_that_of_the_same_data_in_memory(folder, positions):
    mapped, held = both(folder)
    at = torch.tensor(positions, dtype=torch.int64)
    for dtype in (torch.float32, torch.float64):
        found, wanted = mapped.batch(at, dtype=dtype), held.batch(at, dtype=dtype)
        assert all(torch.equal(found[name], wanted[name]) for name in ("a", "b"))
    assert mapped.shapes == held.shapes


def test_bytes_are_kept_and_go_from_0_to_1_in_a_batch(folder):
    mapped, _ = both(folder)
    assert mapped.modalities["a"].dtype == torch.uint8
    found = mapped.batch(torch.tensor([4]), dtype=torch.float64)["a"]
    assert torch.equal(found, torch.from_numpy(PICTURES[4:5]).double() / 255)


@pytest.mark.parametrize(
    "part",
    [
        np.s_[:],
        np.s_[20:],
        np.s_[3:50:4],
        np.s_[10:40, :],
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", ["r", "r+"])
def test_parts_of_a_mapped_array_are_found_in_its_file(folder, part, mode):
    file = MappedFile.of(opened(folder, mode=mode)[part])
    assert torch.equal(OnDemand(file, file.name).cpu(), torch.from_numpy(VECTORS[part].copy()))


def test_raw_files_begin_where_they_are_told_to(tmp_path):
    (tmp_path / "raw").write_bytes(b"x" * 8000 + VECTORS.tobytes())
    file = MappedFile.of(np.memmap(tmp_path / "raw", VECTORS.dtype, "r", 8000, VECTORS.shape))
    assert file.offset == 8000
    assert torch.equal(OnDemand(file, "raw")[-1], torch.from_numpy(VECTORS[-1]))


def test_what_is_not_rows_of_numbers_in_a_file_is_held_as_ever(folder):
    columns = np.asfortranarray(VECTORS)
    np.save(folder / "columns.npy", columns)
    np.save(folder / "ids.npy", np.ones((N, 4), dtype=np.int64))
    one = opened(folder, mode="c")
    for array in (VECTORS, opened(folder, "columns"), opened(folder, "ids"), one, one[[1, 2]], one[:, ::2]):
        assert MappedFile.of(array) is None
    one[0] = 7.0  # in memory alone
    assert paired(one, one).batch(torch.tensor([0]))["a"][0, 0] == 7.0


def test_only_what_is_read_is_held(folder):
    values = both(folder)[0].modalities["b"]
    assert isinstance(values, OnDemand)
    assert len(pickle.dumps(values)) < 2000 < VECTORS.nbytes


def test_selected_rows_are_selected_again(folder):
    mapped, held = both(folder)
    first, second = torch.arange(0, N, 2), torch.tensor([5, 3, 4, 0, 1, 2, 16, 15, 17, 24, 25, 26])
    one, other = (each.select(first).select(second) for each in (mapped, held))
    every = torch.arange(len(second))
    assert torch.equal(one.batch(every)["a"], other.batch(every)["a"])
    assert len({mapped.fingerprint, one.fingerprint, mapped.select(second).fingerprint}) == 3


def test_a_copy_in_another_process_is_the_same_data(folder):
    mapped, _ = both(folder)
    copy = pickle.loads(pickle.dumps(mapped))
    assert copy.fingerprint == copy._digest() == mapped.fingerprint
    assert len(pickle.dumps(mapped)) < PICTURES.nbytes


def test_the_fingerprint_changes_with_a_value_and_with_the_type(folder):
    seen = {both(folder)[0].fingerprint}
    changed = PICTURES.copy()
    changed[59, 2, 7, 7] += 1
    for name, values in (("one", changed), ("two", PICTURES.view(np.int8)), ("three", PICTURES[:, ::-1])):
        np.save(folder / f"{name}.npy", np.ascontiguousarray(values))
        seen.add(paired(opened(folder, name), opened(folder)).fingerprint)
    assert len(seen) == 4


def test_rows_with_nan_are_named_with_their_file(folder):
    bad = VECTORS.copy()
    bad[[17, 40], 2] = np.nan, np.inf
    np.save(folder / "bad.npy", bad)
    with pytest.raises(LabError, match=r"bad\.npy = '2 rows with NaN or infinite values, first row 17'"):
        paired(opened(folder, "bad"), VECTORS)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: os.truncate(path, 1000), "1,000 bytes, and 2,528 then"),
        (lambda path: path.unlink(), "No such file"),
        (lambda path: np.save(path, VECTORS + 1), "2,528 bytes, and 2,528 then"),
    ],
    ids=["shrunk", "gone", "written anew"],
)
def test_a_file_that_changed_is_refused_by_name(folder, damage, says):
    mapped, _ = both(folder)
    os.utime(folder / "vectors.npy", ns=(0, 0))
    mapped = paired(opened(folder, "pictures"), opened(folder))
    damage(folder / "vectors.npy")
    for ask in (lambda: mapped.batch(torch.tensor([3])), lambda: mapped.fingerprint, lambda: mapped.identity):
        with pytest.raises(DamagedFile, match=says) as caught:
            ask()
        assert caught.value.argument.endswith("vectors.npy")


def test_all_of_it_at_once_is_refused_where_it_is_too_much(folder, monkeypatch):
    values = both(folder)[0].modalities["a"]
    assert torch.equal(values.cpu(), torch.from_numpy(PICTURES))
    monkeypatch.setattr(on_demand, "MOST", 1000)
    with pytest.raises(LabError, match=r"modality 'pictures\.npy' = '0\.0 GiB': is read row by row"):
        values.cpu()


@pytest.mark.parametrize("position", [-1, N])
def test_positions_that_are_not_there_are_not_read(folder, position):
    values = both(folder)[0].modalities["b"]
    with pytest.raises(IndexError, match="between 0 and 59"):
        fetch({"b": values}, ["b"], torch.tensor([0, position]))


def test_another_number_of_rows_is_refused(folder):
    with pytest.raises(LabError, match="must hold one row per sample"):
        paired(opened(folder, "pictures")[:59], VECTORS)


def test_from_arrays_keeps_a_mapped_array_and_turns_its_pictures(folder):
    last = np.moveaxis(PICTURES, 1, 3)
    np.save(folder / "last.npy", np.ascontiguousarray(last))
    np.save(folder / "grey.npy", PICTURES[:, 0].copy())
    given = {"rgb": opened(folder, "last"), "grey": opened(folder, "grey"), "b": opened(folder)}
    found = data.from_arrays(given, TARGET)
    assert all(isinstance(values, OnDemand) for values in found.modalities.values())
    assert found.shapes == {"rgb": (3, 8, 8), "grey": (1, 8, 8), "b": (5,)}
    held = data.from_arrays({"rgb": last, "grey": PICTURES[:, 0], "b": VECTORS}, TARGET)
    at = torch.tensor([3, 9])
    for name, values in found.batch(at, dtype=torch.float32).items():
        torch.testing.assert_close(values, held.batch(at)[name], rtol=1e-6, atol=0)
    assert "stays in last.npy, and read as pictures (3, 8, 8)" in repr(found)
