"""Replicas on disk: safetensors, with everything needed to build them again in the file's own JSON header."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from mmkd_lab import __version__
from mmkd_lab.core.atomic import write_with
from mmkd_lab.core.check import DamagedFile, LabError, of_type, reading, require, writing
from mmkd_lab.core.check import path as checked_path
from mmkd_lab.core.fingerprint import canonical, digest_arrays
from mmkd_lab.models.adapter import ModelAdapter
from mmkd_lab.models.layers import Wrapper
from mmkd_lab.models.network import MultimodalNet, build
from mmkd_lab.models.spec import NetSpec
from mmkd_lab.training.replicas import Replicas
from mmkd_lab.training.stacking import known_seeds

FORMAT = "mmkd_lab replicas 2"
_REMEDY = "Train again, or fetch the file again"


def save(replicas: Replicas, path: str | Path) -> Path:
    """Write replicas to `path`, atomically: a crash leaves the old file or the new one, never half of one.

    Networks built from a spec can be loaded by path alone; for your own modules `load` needs one to fill.
    """
    of_type("replicas", replicas, Replicas, "Replicas", "See Replicas.build and Replicas.of.")
    tensors = {f"parameter/{name}": value for name, value in replicas.parameters.items()}
    tensors |= {f"buffer/{name}": value for name, value in replicas.buffers.items()}
    return write(path, {"format": FORMAT, "version": __version__, **described(replicas)}, tensors)


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
    meta, stored = read(path, FORMAT)
    tensors = {name.partition("/")[2]: values for name, values in stored.items()}
    return restored(meta, tensors, where=Path(path), module=module).to(device)


def write(path: str | Path, meta: Mapping[str, object], tensors: Mapping[str, Tensor]) -> Path:
    """Write tensors with plain values in the header, atomically; `read` reads them.

    Raises `LabError` for a place that cannot be written.
    """
    from safetensors.torch import save_file

    path = checked_path("path", path)
    require(not path.is_dir(), "path", str(path), "must be a file, and is a folder")
    held = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    header = {"mmkd_lab": json.dumps({**meta, "digest": _digest(meta, held)}, sort_keys=True)}
    with writing("path", path, kind="file"):
        return write_with(path, lambda partial: save_file(held, str(partial), metadata=header))


def read(path: str | Path, form: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The values and the tensors that `write` wrote, if their 'format' is `form`.

    Raises `DamagedFile` for no such file, a truncated, altered or foreign one.
    """
    from safetensors import safe_open

    path = checked_path("path", path)
    with reading(path, "holds no networks of the lab that can be read", _REMEDY):
        with safe_open(str(path), framework="pt") as file:
            meta = json.loads((file.metadata() or {})["mmkd_lab"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        require(meta["format"] == form, "format", meta["format"], f"must be {form!r}")
        stated = meta.pop("digest")
        require(stated == _digest(meta, tensors), "digest", stated, "must be that of what the file holds")
        return meta, tensors


def _digest(meta: Mapping[str, object], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the header and the bytes of every tensor."""
    bytes_of = ((name, tensors[name].reshape(-1).view(torch.uint8).numpy()) for name in sorted(tensors))
    return digest_arrays([(canonical(meta), np.zeros(0)), *bytes_of], length=64)


def described(replicas: Replicas) -> dict[str, object]:
    """Plain values from which, with their tensors, `restored` makes these replicas again."""
    net = replicas.net
    found: dict[str, object] = {
        "seeds": list(replicas.seeds),
        "classes": replicas.classes,
        "modalities": replicas.modalities,
        "architecture": replicas.name,
    }
    if isinstance(net, MultimodalNet):
        found |= {"spec": net.spec.as_dict(), "shapes": net.shapes, "num_outputs": net.num_outputs}
    return found


def restored(
    meta: Mapping[str, Any], tensors: Mapping[str, Tensor], *, where: Path, module: nn.Module | None = None
) -> Replicas:
    """Replicas on the CPU, as `described`, of tensors {name: (R, ...)} that the file `where` holds.

    Errors as `load`'s.
    """
    with reading(where, "holds no networks of the lab that can be read", _REMEDY):
        seeds, net = known_seeds(meta["seeds"]), module
        if meta.get("spec"):
            shapes = {name: tuple(shape) for name, shape in meta["shapes"].items()}
            net = build(NetSpec.from_dict(meta["spec"]), shapes, meta["num_outputs"], seed=0)
            if "head.unit_scale" in tensors:
                net.head.set_unit(torch.zeros(net.num_outputs), torch.ones(net.num_outputs))
    rule = f"{where} holds replicas of a module of your own"
    if net is None:
        raise LabError("module", None, rule, "Give one to fill.")
    kinds = {value.dtype for value in tensors.values() if value.is_floating_point()}
    kind = torch.float64 if torch.float64 in kinds else torch.float32
    one = Replicas.of([_shaped(net, meta.get("modalities"), tensors)], device="cpu", dtype=kind)
    named = {**one.parameters, **one.buffers}
    here, there = ({(n, v.dtype, *v.shape[1:]) for n, v in state.items()} for state in (named, tensors))
    odd = sorted({name for name, *_ in here ^ there})
    if module is net:
        require(not odd, "module", type(net).__name__, f"does not fit the file's tensors {odd}")
    whole = all(value.shape[:1] == (len(seeds),) for value in tensors.values())
    if odd or not whole:
        raise DamagedFile(str(where), odd or seeds, "its tensors do not fit its own header", _REMEDY)
    # In the network's own order: the file has its tensors by name.
    parameters, buffers = ({name: tensors[name] for name in kind} for kind in (one.parameters, one.buffers))
    classes = meta.get("classes")
    known = None if classes is None else tuple(map(str, classes))
    return Replicas(one.net, parameters, buffers, seeds, known)


def _shaped(net: nn.Module, modalities: Any, tensors: Mapping[str, Tensor]) -> nn.Module:  # noqa: ANN401
    """A module that reads these modalities; layers without a shape have that of their tensors."""
    if not isinstance(net, (MultimodalNet, Wrapper)):
        net = ModelAdapter(net, modalities=modalities)
    if any(isinstance(value, UninitializedParameter) for value in net.parameters()):
        net = copy.deepcopy(net)
        with suppress(RuntimeError):  # what does not fit is told by name
            net.load_state_dict({name: values[0] for name, values in tensors.items()}, strict=False)
    return net
