"""Replicas on disk: safetensors, with everything needed to build them again in the file's own JSON header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from mmkd_lab import __version__
from mmkd_lab.core.atomic import write_with
from mmkd_lab.core.check import DamagedFile, LabError, of_type, require
from mmkd_lab.core.check import path as checked_path
from mmkd_lab.models.network import MultimodalNet, build
from mmkd_lab.models.spec import NetSpec
from mmkd_lab.training.replicas import Replicas

FORMAT = "mmkd_lab replicas 1"
_REMEDY = "Train again, or fetch the file again"


def save(replicas: Replicas, path: str | Path) -> Path:
    """Write replicas to `path`, atomically: a crash leaves the old file or the new one, never half of one.

    Networks built from a spec can be loaded by path alone; for your own modules `load` needs one to fill.
    """
    from safetensors.torch import save_file

    of_type("replicas", replicas, Replicas, "Replicas", "See Replicas.build and Replicas.of.")
    path = checked_path("path", path)
    require(not path.is_dir(), "path", str(path), "must be a file, and is a folder")
    spec = replicas.spec
    meta: dict[str, object] = {
        "format": FORMAT,
        "version": __version__,
        "seeds": list(replicas.seeds),
        "spec": None if spec is None else spec.as_dict(),
    }
    if isinstance(replicas.net, MultimodalNet):
        meta["shapes"] = {name: list(shape) for name, shape in replicas.net.shapes.items()}
        meta["num_outputs"] = replicas.net.num_outputs
    tensors = {f"parameter/{name}": value for name, value in replicas.parameters.items()}
    tensors |= {f"buffer/{name}": value for name, value in replicas.buffers.items()}
    ready = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    header = {"mmkd_lab": json.dumps(meta, sort_keys=True)}
    return write_with(path, lambda partial: save_file(ready, str(partial), metadata=header))


def load(
    path: str | Path, *, module: nn.Module | None = None, device: str | torch.device = "auto"
) -> Replicas:
    """Read what `save` wrote.

    Args:
        path: the file.
        module: for replicas of your own modules, one of the same architecture (as given to `Replicas.of`).
        device: where they go.

    Raises:
        DamagedFile: no such file, a truncated or foreign one, or one whose tensors do not fit its own header.
        LabError: replicas of your own modules, and no `module` to fill, or one that does not fit.
    """
    path = checked_path("path", path)
    meta, tensors = _read(path)
    parameters = _part(tensors, "parameter/")
    buffers = _part(tensors, "buffer/")
    seeds = meta.get("seeds")
    if not _are_seeds(seeds) or not all(value.shape[:1] == (len(seeds),) for value in tensors.values()):
        raise DamagedFile(str(path), seeds, "its seeds do not go with its tensors", _REMEDY)
    net = _own(module, path) if meta.get("spec") is None else _net(meta, path)
    kinds = [value.dtype for value in parameters.values() if value.is_floating_point()]
    one = Replicas.of([net], device="cpu", dtype=kinds[0] if kinds else None)
    here, there = _kinds({**one.parameters, **one.buffers}), _kinds({**parameters, **buffers})
    if here != there:
        odd = sorted(name for name in {*here, *there} if here.get(name) != there.get(name))
        if module is not None:
            raise LabError("module", type(module).__name__, f"does not fit the file's tensors {odd}")
        raise DamagedFile(str(path), odd, "its tensors do not fit the network that its header names", _REMEDY)
    # In the network's own order: the file has its tensors by name.
    return one.with_state({**parameters, **buffers}, seeds=seeds).to(device)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise DamagedFile(str(path), "missing", "there is no such file", _REMEDY)
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        meta = json.loads(header.get("mmkd_lab", "null"))
    except (SafetensorError, OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DamagedFile(str(path), str(error), "is truncated or no safetensors file", _REMEDY) from error
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise DamagedFile(str(path), meta, f"is not a file of format {FORMAT!r}", _REMEDY)
    return meta, tensors


def _net(meta: dict[str, Any], path: Path) -> MultimodalNet:
    try:
        shapes = {name: tuple(shape) for name, shape in meta["shapes"].items()}
        return build(NetSpec.from_dict(meta["spec"]), shapes, meta["num_outputs"], seed=0)
    except (KeyError, TypeError, AttributeError, RuntimeError, LabError) as error:
        raise DamagedFile(str(path), str(error), "its header does not describe a network", _REMEDY) from error


def _own(module: nn.Module | None, path: Path) -> nn.Module:
    if module is None:
        raise LabError("module", None, f"{path} holds replicas of a module of your own", "Give one to fill.")
    return module


def _are_seeds(seeds: object) -> TypeGuard[list[int]]:
    return (
        isinstance(seeds, list) and len(seeds) > 0 and all(type(seed) is int and seed >= 0 for seed in seeds)
    )


def _kinds(tensors: dict[str, Tensor]) -> dict[str, tuple[object, ...]]:
    """The type of each tensor's numbers and the shape of one replica's."""
    return {name: (value.dtype, *value.shape[1:]) for name, value in tensors.items()}


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
