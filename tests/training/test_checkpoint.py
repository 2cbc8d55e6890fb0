"""Checkpoints: what is written is what is read, and nothing damaged is read at all."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from mmkd_lab.core.check import DamagedFile, LabError
from mmkd_lab.models import NetSpec
from mmkd_lab.training import Replicas, load, save
from mmkd_lab.training.checkpoint import FORMAT, _digest
from tests.training.toy import toy


def built(dtype=torch.float32):
    spec = NetSpec(fusion="attention", width=2, features=4)
    return Replicas.build(spec, toy(), seeds=[3, 8], device="cpu", dtype=dtype)


@pytest.fixture
def replicas():
    return built()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_round_trip(dtype, tmp_path):
    replicas = built(dtype)
    path = save(replicas, tmp_path / "deep" / "nets.safetensors")
    again = load(path, device="cpu")
    assert (again.seeds, again.spec, again.name) == (replicas.seeds, replicas.spec, replicas.name)
    assert again.dtype == dtype
    for kind in ("parameters", "buffers"):
        ours, theirs = getattr(replicas, kind), getattr(again, kind)
        assert list(ours) == list(theirs)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    data = toy()
    assert torch.equal(again.predict(data), replicas.predict(data))
    assert [one.name for one in tmp_path.glob("deep/*")] == ["nets.safetensors"]


def test_the_header_is_readable_json(replicas, tmp_path):
    from safetensors import safe_open

    with safe_open(str(save(replicas, tmp_path / "nets.safetensors")), framework="pt") as file:
        meta = json.loads(file.metadata()["mmkd_lab"])
    assert meta["format"] == FORMAT
    assert meta["seeds"] == [3, 8]
    assert meta["shapes"] == {"image": [1, 8, 8], "speech": [6]}
    assert NetSpec.from_dict(meta["spec"]) == replicas.spec


def test_saving_again_replaces_the_file_whole(replicas, tmp_path):
    path = tmp_path / "nets.safetensors"
    save(replicas, path)
    save(replicas[1], path)
    assert load(path, device="cpu").seeds == (8,)


def test_own_modules_need_one_to_fill(tmp_path):
    own = Replicas.of([nn.Sequential(nn.Linear(2, 2)) for _ in range(2)], device="cpu")
    path = save(own, tmp_path / "own.safetensors")
    again = load(path, module=nn.Sequential(nn.Linear(2, 2)), device="cpu")
    assert torch.equal(again.parameters["module.0.weight"], own.parameters["module.0.weight"])
    with pytest.raises(LabError, match="module = None"):
        load(path)
    with pytest.raises(LabError, match=r"module = 'Sequential'.*module\.0\.weight"):
        load(path, module=nn.Sequential(nn.Linear(3, 2)))


def test_loading_draws_nothing_from_the_global_stream(replicas, tmp_path):
    path = save(replicas, tmp_path / "nets.safetensors")
    before = torch.get_rng_state()
    load(path, device="cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_wrong_arguments_are_named(replicas, tmp_path):
    with pytest.raises(LabError, match=r"replicas = MultimodalNet.*Replicas.build"):
        save(replicas.module(), tmp_path / "nets.safetensors")
    with pytest.raises(LabError, match=r"path = .*is a folder"):
        save(replicas, tmp_path)


def rewrite(path, change, *, signed=True):
    """The file with other tensors or another header: `change` is given both, to change in place."""
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as file:
        meta = json.loads(file.metadata()["mmkd_lab"])
    tensors = load_file(str(path))
    change(tensors, meta)
    if signed:
        meta.pop("digest")
        meta["digest"] = _digest(meta, tensors)
    save_file(tensors, str(path), metadata={"mmkd_lab": json.dumps(meta)})


HEAD, BIAS = "parameter/head.weight", "parameter/head.bias"
BROKEN = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "header cut": lambda path: path.write_bytes(path.read_bytes()[:20]),
    "empty": lambda path: path.write_bytes(b""),
    "pickle": lambda path: torch.save({"a": torch.zeros(2)}, path),
    "missing": lambda path: path.unlink(),
    "foreign": lambda path: save_file({"a": torch.zeros(2)}, str(path)),
}
CHANGED = {
    "wrong shape": lambda tensors, _: tensors.update({HEAD: tensors[HEAD][:, :, :2].contiguous()}),
    "tensor gone": lambda tensors, _: tensors.pop(BIAS),
    "a lone number": lambda tensors, _: tensors.update({BIAS: torch.tensor(1.0)}),
    "numbers of another type": lambda tensors, _: tensors.update({BIAS: tensors[BIAS].long()}),
    "wrong seeds": lambda _, meta: meta.update(seeds=[1]),
    "seeds of text": lambda _, meta: meta.update(seeds=["a", "b"]),
    "shapes out of bounds": lambda _, meta: meta["shapes"].update(speech=[10**30]),
    "unknown field": lambda _, meta: meta["spec"].update(layers=3),
    "no shapes": lambda _, meta: meta.pop("shapes"),
}


@pytest.mark.parametrize("how", [*BROKEN, *CHANGED])
def test_a_damaged_file_is_refused_and_named(how, replicas, tmp_path):
    path = save(replicas, tmp_path / "nets.safetensors")
    if how in BROKEN:
        BROKEN[how](path)
    else:
        rewrite(path, CHANGED[how])
    with pytest.raises(DamagedFile) as caught:
        load(path, device="cpu")
    assert str(path) in str(caught.value)
    assert "Train again" in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [lambda tensors, _: tensors[BIAS].add_(1e-7), lambda _, meta: meta.update(seeds=[3, 9])],
    ids=["a weight", "a seed"],
)
def test_what_was_altered_after_it_was_saved_is_refused(change, replicas, tmp_path):
    path = save(replicas, tmp_path / "nets.safetensors")
    rewrite(path, change, signed=False)
    with pytest.raises(DamagedFile, match="must be that of what the file holds"):
        load(path, device="cpu")
