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
from mmkd_lab.training.checkpoint import FORMAT
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
    with pytest.raises(LabError, match="path = None"):
        load(None)


def damage(path, how):
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[:-7])
    elif how == "header cut":
        path.write_bytes(content[:20])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "pickle":
        torch.save({"a": torch.zeros(2)}, path)
    elif how == "missing":
        path.unlink()
    elif how == "foreign":
        save_file({"a": torch.zeros(2)}, str(path))
    else:
        tensors = load_file(str(path))
        from safetensors import safe_open

        with safe_open(str(path), framework="pt") as file:
            meta = json.loads(file.metadata()["mmkd_lab"])
        if how == "wrong shape":
            tensors["parameter/head.weight"] = tensors["parameter/head.weight"][:, :, :2].contiguous()
        elif how == "tensor gone":
            del tensors["parameter/head.bias"]
        elif how == "wrong seeds":
            meta["seeds"] = [1]
        elif how == "seeds of text":
            meta["seeds"] = ["a", "b"]
        elif how == "a lone number":
            tensors["parameter/head.bias"] = torch.tensor(1.0)
        elif how == "numbers of another type":
            tensors["parameter/head.bias"] = tensors["parameter/head.bias"].long()
        elif how == "shapes out of bounds":
            meta["shapes"]["speech"] = [10**30]
        elif how == "unknown field":
            meta["spec"]["layers"] = 3
        elif how == "no shapes":
            del meta["shapes"]
        save_file(tensors, str(path), metadata={"mmkd_lab": json.dumps(meta)})


@pytest.mark.parametrize(
    "how",
    [
        "truncated",
        "header cut",
        "empty",
        "pickle",
        "missing",
        "foreign",
        "wrong shape",
        "tensor gone",
        "wrong seeds",
        "seeds of text",
        "a lone number",
        "numbers of another type",
        "shapes out of bounds",
        "unknown field",
        "no shapes",
    ],
)
def test_a_damaged_file_is_refused_and_named(how, replicas, tmp_path):
    path = save(replicas, tmp_path / "nets.safetensors")
    damage(path, how)
    with pytest.raises(DamagedFile) as caught:
        load(path, device="cpu")
    assert str(path) in str(caught.value)
    assert "Train again" in str(caught.value)
