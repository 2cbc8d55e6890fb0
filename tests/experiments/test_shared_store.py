"""Stores as they are met: full, closed, shared, with strange things in the places of files."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mmkd_lab.core.check import DamagedFile, LabError, UnreadableFile
from mmkd_lab.experiments.runner import Runner
from mmkd_lab.experiments.store import ResultStore, _digest, key
from tests.experiments.work import jobs
from tests.strangers import as_another_user, full_disk, shared_folder

pytestmark = pytest.mark.skipif(os.name == "nt", reason="permissions and pipes are those of POSIX")

KEY, OTHER = key(arm="no_kd", seed=0), key(arm="um_kd", seed=0)
LOGITS = {"logits": np.arange(5000.0)}


def _store(root, **options):
    store = ResultStore(root, **options)
    store.put(KEY, {"accuracy": 71.25}, LOGITS)
    return store


def _tensors(store):
    return next(store.path(KEY).parent.glob("*.safetensors"))


@pytest.mark.parametrize("which", ["path", "tensors"])
def test_an_entry_of_another_user_that_is_closed_is_never_to_be_deleted(which):
    with shared_folder() as folder:
        store = _store(folder / "store")
        file = store.path(KEY) if which == "path" else _tensors(store)
        file.chmod(0)
        for damaged in ("refuse", "recompute"):
            theirs = ResultStore(store.root, damaged=damaged)
            for ask in (theirs.get, lambda one, s=theirs: s.put(one, {"accuracy": 0.0}, LOGITS)):
                with as_another_user(), pytest.raises(UnreadableFile, match="Permission denied") as raised:
                    ask(KEY)
                assert str(file) in str(raised.value)
                assert "elete" not in str(raised.value)
        file.chmod(0o644)
        assert store.get(KEY).metrics["accuracy"] == 71.25


def test_a_store_that_others_may_only_read_gives_what_it_has_and_refuses_before_any_work():
    with shared_folder() as folder:
        store = _store(folder / "store")
        for place in [store.root, *store.root.iterdir()]:
            place.chmod(0o555)
        with as_another_user():
            assert store.get(KEY).metrics["accuracy"] == 71.25
            with store.claim(KEY) as mine:
                assert mine
            told = []
            with pytest.raises(LabError, match=r"root = .*can be written: Permission denied") as raised:
                Runner(store, 1, lambda *one: told.append(one)).run(jobs(2))
        assert told == []
        assert "elete" not in str(raised.value)


def test_a_full_disk_is_said_and_nothing_half_written_is_left(tmp_path):
    store = _store(tmp_path)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    with full_disk(1000), pytest.raises(LabError, match=r"root = .*can be written: File too large"):
        store.put(OTHER, {"accuracy": 1.0}, LOGITS)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before
    assert store.put(OTHER, {"accuracy": 1.0}, LOGITS).metrics["accuracy"] == 1.0


def test_a_stopped_process_holds_up_nobody(tmp_path):
    code = (
        "import sys, time; from mmkd_lab.experiments.store import ResultStore, key\n"
        "with ResultStore(sys.argv[1]).claim(key(role='square', number=0)): print('mine', flush=True); "
        "time.sleep(100)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "mine\n"
        holder.send_signal(signal.SIGSTOP)
        assert [one.metrics["square"] for one in Runner(ResultStore(tmp_path), 1).run(jobs(2))] == [0, 1]
    finally:
        holder.kill()
        holder.communicate()


@pytest.mark.parametrize("name", [".claims", ".lock"])
def test_what_stands_in_the_place_of_a_lock_is_left_alone(tmp_path, name):
    outside = tmp_path / "outside"
    makes = {
        "folder": lambda path: path.mkdir(),
        "link": lambda path: path.symlink_to(outside),
        "pipe": os.mkfifo,
    }
    for kind, make in makes.items():
        store = ResultStore(tmp_path / kind)
        store.root.mkdir()
        make(store.root / name)
        with store.claim(KEY) as mine:
            assert mine
            store.put(KEY, {"accuracy": 1.0}, LOGITS)
        assert store.get(KEY).metrics["accuracy"] == 1.0
    assert not outside.exists()


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), os.mkfifo], ids=["folder", "pipe"])
@pytest.mark.parametrize("which", ["entry", "tensors"])
def test_what_is_no_file_is_named_or_moved_out_of_the_way(tmp_path, make, which):
    store = _store(tmp_path)
    place = store.path(KEY) if which == "entry" else _tensors(store)
    place.unlink()
    make(place)
    with pytest.raises(DamagedFile, match="is no file") as raised:
        store.get(KEY)
    assert raised.value.argument == str(place)
    if place.is_dir():
        (place / "somebody's").touch()
    again = ResultStore(tmp_path, damaged="recompute").put(KEY, {"accuracy": 60.0}, LOGITS)
    assert (again.metrics["accuracy"], store.get(KEY).metrics["accuracy"]) == (60.0, 60.0)
    kept = [path.name for path in tmp_path.rglob("somebody's")]
    assert kept == (["somebody's"] if make is not os.mkfifo else [])


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    store = ResultStore(tmp_path)
    store.path(KEY).parent.write_text("in the way")
    with pytest.raises(LabError, match=r"root = .*File exists"):
        store.ready([KEY])
    with pytest.raises(UnreadableFile, match="Not a directory"):
        store.get(KEY)


SIGNED = {
    "no key": lambda body: body.pop("key"),
    "no tensors": lambda body: body.pop("tensors"),
    "metrics of another kind": lambda body: body.update(metrics=[1]),
    "tensors of another kind": lambda body: body.update(tensors="x"),
    "a digest that is none": lambda body: body["tensors"].update(sha256=3),
    "a digest that is a path": lambda body: body["tensors"].update(sha256="../../x"),
}


@pytest.mark.parametrize("how", SIGNED)
def test_an_entry_with_another_form_and_a_digest_that_fits_is_damaged(tmp_path, how):
    store = _store(tmp_path)
    body = json.loads(store.path(KEY).read_text())
    del body["sha256"]
    SIGNED[how](body)
    store.path(KEY).write_text(json.dumps({**body, "sha256": _digest(body)}))
    with pytest.raises(DamagedFile, match="recompute"):
        store.get(KEY)
    assert ResultStore(tmp_path, damaged="recompute").get(KEY) is None


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 99, b"\x07" + bytes(7) + b"{'x':1}"])
def test_tensors_that_are_none_under_a_digest_that_fits_are_damaged(tmp_path, content):
    store = _store(tmp_path)
    body, found = json.loads(store.path(KEY).read_text()), hashlib.sha256(content).hexdigest()
    del body["sha256"]
    body["tensors"]["sha256"] = found
    store.path(KEY).with_name(f"{KEY.digest}-{found[:16]}.safetensors").write_bytes(content)
    store.path(KEY).write_text(json.dumps({**body, "sha256": _digest(body)}))
    with pytest.raises(DamagedFile, match=found[:16]):
        store.get(KEY)


def test_what_killed_writers_left_is_removed_by_the_next(tmp_path):
    store = _store(tmp_path)
    folder = store.path(KEY).parent
    old, new = (folder / f".{letter * 32}.partial" for letter in "ab")
    for file in (old, new):
        file.touch()
    os.utime(old, (time.time() - 7200,) * 2)
    store.path(KEY).unlink()
    store.put(KEY, {"accuracy": 1.0}, LOGITS)
    assert [file.exists() for file in (old, new)] == [False, True]
