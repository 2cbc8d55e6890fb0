"""The result store with real processes: killed at random moments, writing at once, and damaged on disk."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mmkd_lab import __version__
from mmkd_lab.core.check import DamagedFile, LabError
from mmkd_lab.experiments.store import ENVIRONMENT, ResultStore, default_root, key

REPOSITORY = Path(__file__).parents[2]

#: Puts entries 0, 1, 2, ... until it is killed or done; large enough to be caught half written.
_WRITER = """
import sys
from pathlib import Path
import numpy as np
from mmkd_lab.experiments.store import ResultStore, key
root, start = sys.argv[1], sys.argv[5]
first, last, writer = map(int, sys.argv[2:5])
store = ResultStore(root)
print("ready", flush=True)
while start and not Path(start).exists():
    pass
for i in range(first, last):
    logits = np.full(50_000, writer * 1000 + i, dtype="f4")
    stored = store.put(key(entry=i), {"writer": writer}, {"logits": logits})
    print(i, stored.metrics["writer"], flush=True)
"""


def _start(root, first, last, *, writer=0, start=""):
    command = [sys.executable, "-c", _WRITER, str(root), str(first), str(last), str(writer), str(start)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _assert_whole(store, i):
    found = store.get(key(entry=i))
    if found is not None:
        expected = np.full(50_000, found.metrics["writer"] * 1000 + i, dtype="f4")
        np.testing.assert_array_equal(found.tensors["logits"], expected)
    return found


def _store(tmp_path, **options):
    store = ResultStore(tmp_path, **options)
    store.put(key(arm="no_kd", seed=0), {"accuracy": 71.25}, {"logits": np.arange(12.0).reshape(3, 4)})
    return store, key(arm="no_kd", seed=0)


def test_an_entry_comes_back_as_it_was_put(tmp_path):
    store = ResultStore(tmp_path / "new" / "folder")
    name = key(dataset="f00d", arm="um_kd", seed=3, recipe={"lr": 0.1, "epochs": 20})
    assert store.get(name) is None
    arrays = {
        "logits": np.random.default_rng(0).normal(size=(2, 5, 3)).astype("f4"),
        "transposed": np.arange(6).reshape(2, 3).T,
        "nothing": np.zeros((0, 4), dtype="f4"),
    }
    store.put(name, {"accuracy": 0.1 + 0.2, "best_epoch": 4, "history": [{"loss": 1e-9}]}, arrays)
    found = ResultStore(tmp_path / "new" / "folder").get(name)
    assert found is not None
    assert dict(found.metrics) == {"accuracy": 0.1 + 0.2, "best_epoch": 4, "history": [{"loss": 1e-9}]}
    for label, values in arrays.items():
        np.testing.assert_array_equal(found.tensors[label], values)
        assert found.tensors[label].dtype == values.dtype
    assert found.key.payload["version"] == __version__
    assert found.key.payload["recipe"] == {"epochs": 20, "lr": 0.1}


def test_every_part_of_the_key_counts_and_their_order_does_not():
    base = {"dataset": "f00d", "arm": "no_kd", "seed": 0}
    digests = {key(**base).digest}
    for changed in ({"dataset": "beef"}, {"arm": "um_kd"}, {"seed": 1}, {"epochs": 3}):
        digests.add(key(**{**base, **changed}).digest)
    assert len(digests) == 5
    assert key(**dict(reversed(base.items()))) == key(**base)


def test_the_version_is_part_of_the_key(monkeypatch):
    before = key(seed=0)
    monkeypatch.setattr("mmkd_lab.experiments.store.__version__", "9.9.9")
    assert key(seed=0).digest != before.digest


def test_the_first_writer_of_a_key_wins(tmp_path):
    store = ResultStore(tmp_path)
    store.put(key(seed=0), {"accuracy": 70.0}, {"logits": np.zeros(3)})
    again = store.put(key(seed=0), {"accuracy": 80.0}, {"logits": np.ones(3)})
    assert again.metrics["accuracy"] == 70.0
    assert again.tensors["logits"].tolist() == [0.0, 0.0, 0.0]
    assert len(store) == 1


def test_the_root_comes_from_the_environment_or_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "named"))
    assert ResultStore().root == tmp_path / "named"
    monkeypatch.delenv(ENVIRONMENT)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_root().name == "results"
    assert default_root() == tmp_path / "cache" / "mmkd_lab" / "results"


def test_kill_9_at_random_moments_leaves_only_whole_entries(tmp_path):
    pauses = random.Random(0)
    first, killed_midway = 0, 0
    for attempt in range(8):
        writer = _start(tmp_path, first, 4000)
        if attempt % 2:  # half of the kills fall among the puts for certain, however slow the machine
            writer.stdout.readline()
        time.sleep(pauses.uniform(0.005, 0.12))
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        assert writer.returncode == -signal.SIGKILL
        store = ResultStore(tmp_path)
        whole = [i for i in range(first, 4000) if _assert_whole(store, i) is not None]
        assert whole == list(range(first, first + len(whole)))  # none is missing before the last
        killed_midway += len(whole) > 0
        first += len(whole)
    assert killed_midway >= 4
    assert len(store) == first


def test_a_killed_run_goes_on_where_it_stopped(tmp_path):
    writer = _start(tmp_path, 0, 4000)
    assert writer.stdout is not None
    for _ in range(5):
        writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    done = len(ResultStore(tmp_path))
    assert 5 <= done < 4000
    second = _start(tmp_path, 0, done + 3, writer=1)
    out, _ = second.communicate(timeout=60)
    writers = [line.split()[1] for line in out.splitlines()]
    assert writers == ["0"] * done + ["1"] * 3


def test_two_processes_at_once_do_not_mix_their_entries(tmp_path):
    gate = tmp_path / "go"
    ranges = [(0, 60), (20, 80)]  # 20 to 59 are written by both, with different content
    writers = [_start(tmp_path / "store", a, b, writer=w, start=gate) for w, (a, b) in enumerate(ranges)]
    gate.touch()
    seen = []
    for writer in writers:
        out, _ = writer.communicate(timeout=60)
        assert writer.returncode == 0
        seen.append({int(i): int(w) for i, w in (line.split() for line in out.splitlines())})
    store = ResultStore(tmp_path / "store")
    stored = {}
    for i in range(80):
        found = _assert_whole(store, i)
        assert found is not None
        stored[i] = found.metrics["writer"]
    assert all(stored[i] == 0 for i in range(20))
    assert all(stored[i] == 1 for i in range(60, 80))
    for told in seen:  # what put returned is what is stored, for the winner and for the other
        assert all(stored[i] == writer for i, writer in told.items())


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-7])


def _flip(path):
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [_truncate, _flip, Path.unlink])
def test_damaged_tensors_are_named_with_the_way_out(tmp_path, damage):
    store, name = _store(tmp_path)
    tensors = next(tmp_path.rglob("*.safetensors"))
    damage(tensors)
    with pytest.raises(DamagedFile) as raised:
        store.get(name)
    assert str(tensors) in str(raised.value)
    assert f"Delete {store.path(name).name}" in str(raised.value)
    with pytest.raises(DamagedFile):
        store.put(name, {"accuracy": 0.0})


@pytest.mark.parametrize(
    "damage",
    [
        _truncate,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("[]"),
        lambda path: path.write_text("[" * 100_000),
        lambda path: path.write_text(path.read_text().replace("71.25", "NaN")),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: path.write_text(path.read_text().replace("71.25", "91.25")),
        lambda path: path.write_text(path.read_text().replace('"format": 1', '"format": 7')),
    ],
)
def test_a_damaged_entry_is_named_with_the_way_out(tmp_path, damage):
    store, name = _store(tmp_path)
    damage(store.path(name))
    with pytest.raises(DamagedFile) as raised:
        store.get(name)
    assert str(store.path(name)) in str(raised.value)
    assert "Delete" in str(raised.value)
    assert "recompute" in str(raised.value)


def test_the_way_out_works(tmp_path):
    store, name = _store(tmp_path)
    _truncate(next(tmp_path.rglob("*.safetensors")))
    store.path(name).unlink()
    assert store.get(name) is None
    assert store.put(name, {"accuracy": 71.25}, {"logits": np.ones(2)}).tensors["logits"].tolist() == [
        1.0,
        1.0,
    ]


@pytest.mark.parametrize("target", ["*.json", "*.safetensors"])
def test_recompute_takes_a_damaged_entry_as_absent_and_replaces_it(tmp_path, target):
    _, name = _store(tmp_path)
    _truncate(next(tmp_path.rglob(target)))
    store = ResultStore(tmp_path, damaged="recompute")
    assert store.get(name) is None
    store.put(name, {"accuracy": 60.0}, {"logits": np.arange(12.0).reshape(3, 4)})
    found = ResultStore(tmp_path).get(name)
    assert found is not None
    assert found.metrics["accuracy"] == 60.0
    assert found.tensors["logits"][2, 3] == 11.0


def test_an_entry_moved_under_another_key_is_refused(tmp_path):
    store, name = _store(tmp_path)
    other = key(arm="um_kd", seed=0)
    store.path(other).parent.mkdir(exist_ok=True)
    store.path(name).rename(store.path(other))
    with pytest.raises(DamagedFile, match="under a key that is not its own"):
        store.get(other)


def test_an_entry_cannot_point_outside_its_folder(tmp_path):
    from mmkd_lab.experiments.store import _digest

    store, name = _store(tmp_path)
    body = json.loads(store.path(name).read_text())
    body.pop("sha256")
    outside = tmp_path / "outside.safetensors"
    next(tmp_path.rglob("*.safetensors")).rename(outside)
    body["tensors"]["file"] = "../outside.safetensors"
    store.path(name).write_text(json.dumps({**body, "sha256": _digest(body)}))
    with pytest.raises(DamagedFile, match="missing"):
        store.get(name)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda store: key(), ["parts = {}", "must name what determines"]),
        (lambda store: key(net=object()), ["parts", "object has no stable text"]),
        (lambda store: key(lr=float("nan")), ["parts", "stable text"]),
        (lambda store: store.put(key(a=1), {"nll": float("nan")}), ["metrics['nll'] = nan", "finite"]),
        (lambda store: store.put(key(a=1), {"net": {1, object()}}), ["metrics", "plain values"]),
        (lambda store: store.put(key(a=1), None), ["metrics = None", "mapping"]),
        (lambda store: store.put("a", {}), ["key = 'a'", "must be a Key"]),
        (lambda store: store.get(None), ["key = None", "must be a Key"]),
        (lambda store: store.put(key(a=1), {}, {"x": [1.0]}), ["tensors['x'] = [1.0]", "numpy array"]),
        (lambda store: store.put(key(a=1), {}, {"x": np.array(["a"])}), ["tensors['x']", "<U1"]),
        (lambda store: store.put(key(a=1), {}, {"x": np.array([{}])}), ["tensors['x']", "dtype('O')"]),
        (lambda store: store.put(key(a=1), {}, np.ones(2)), ["tensors = array", "mapping"]),
        (lambda store: ResultStore(None), ["root = None", "path"]),
        (lambda store: ResultStore(b"x"), ["root = b'x'", "path"]),
        (lambda store: ResultStore("x" * 5000), ["root = ", "File name too long"]),
        (lambda store: ResultStore(store.root, damaged="ignore"), ["damaged = 'ignore'", "'recompute'"]),
    ],
)
def test_bad_input_is_named(tmp_path, call, words):
    with pytest.raises(LabError) as raised:
        call(ResultStore(tmp_path))
    for word in words:
        assert word in str(raised.value)


def test_a_file_where_the_folder_should_be_is_named(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(LabError, match=r"root = .*taken"):
        ResultStore(tmp_path / "taken")


def test_arrays_come_back_with_their_shapes(tmp_path):
    arrays = {"one": np.array(2.5), "flags": np.array([True, False]), "big": np.arange(3, dtype=">f4")}
    found = ResultStore(tmp_path).put(key(a=1), {}, {**arrays, "turned": np.arange(6.0).reshape(2, 3).T})
    assert found.tensors["one"].shape == ()
    assert found.tensors["flags"].tolist() == [True, False]
    assert found.tensors["big"].tolist() == [0.0, 1.0, 2.0]
    assert found.tensors["turned"].tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
