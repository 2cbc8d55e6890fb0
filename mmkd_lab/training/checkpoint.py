"""Replicas on disk: safetensors, with everything needed to build them again in the file's own JSON header."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mmkd_lab import __version__
from mmkd_lab.core.atomic import write_with
from mmkd_lab.core.check import DamagedFile, LabError, of_type, reading, require, writing
from mmkd_lab.core.fingerprint import canonical, digest_arrays
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
    from safetensors.torch import save_file

    of_type("replicas", replicas, Replicas, "Replicas", "See Replicas.build and Replicas.of.")
    path = Path(path).expanduser()
    require(not path.is_dir(), "path", str(path), "must be a file, and is a folder")
    meta: dict[str, object] = {"format": FORMAT, "version": __version__, "seeds": list(replicas.seeds)}
    meta["classes"] = replicas.classes
    if isinstance(replicas.net, MultimodalNet):
        net = replicas.net
        meta |= {"spec": net.spec.as_dict(), "shapes": net.shapes, "num_outputs": net.num_outputs}
    tensors = {f"parameter/{name}": value for name, value in replicas.parameters.items()}
    tensors |= {f"buffer/{name}": value for name, value in replicas.buffers.items()}
    ready = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    header = {"mmkd_lab": json.dumps({**meta, "digest": _digest(meta, ready)}, sort_keys=True)}
    with writing("path", path, kind="file"):
        return write_with(path, lambda partial: save_file(ready, str(partial), metadata=header))


def _digest(meta: dict[str, object], tensors: dict[str, torch.Tensor]) -> str:
    """SHA-256 of the header and the bytes of every tensor."""
    bytes_of = ((name, tensors[name].reshape(-1).view(torch.uint8).numpy()) for name in sorted(tensors))
    return digest_arrays([(canonical(meta), np.zeros(0)), *bytes_of], length=64)


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
    from safetensors import safe_open

    path = Path(path).expanduser()
    with reading(path, "holds no replicas that can be read", _REMEDY):
        with safe_open(str(path), framework="pt") as file:
            meta = json.loads((file.metadata() or {})["mmkd_lab"])
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        require(meta["format"] == FORMAT, "format", meta["format"], f"must be {FORMAT!r}")
        stated = meta.pop("digest")
        require(stated == _digest(meta, stored), "digest", stated, "must be that of what the file holds")
        tensors = {name.partition("/")[2]: values for name, values in stored.items()}
        seeds, net = known_seeds(meta["seeds"]), module
        if meta.get("spec"):
            shapes = {name: tuple(shape) for name, shape in meta["shapes"].items()}
            net = build(NetSpec.from_dict(meta["spec"]), shapes, meta["num_outputs"], seed=0)
    rule = f"{path} holds replicas of a module of your own"
    if net is None:
        raise LabError("module", None, rule, "Give one to fill.")
    kinds = {value.dtype for value in tensors.values() if value.is_floating_point()}
    one = Replicas.of([net], device="cpu", dtype=torch.float64 if torch.float64 in kinds else torch.float32)
    named = {**one.parameters, **one.buffers}
    here, there = ({(n, v.dtype, *v.shape[1:]) for n, v in state.items()} for state in (named, tensors))
    odd = sorted({name for name, *_ in here ^ there})
    if module is net:
        require(not odd, "module", type(net).__name__, f"does not fit the file's tensors {odd}")
    whole = all(value.shape[:1] == (len(seeds),) for value in tensors.values())
    if odd or not whole:
        raise DamagedFile(str(path), odd or seeds, "its tensors do not fit its own header", _REMEDY)
    # In the network's own order: the file has its tensors by name.
    parameters, buffers = ({name: tensors[name] for name in kind} for kind in (one.parameters, one.buffers))
    classes = meta.get("classes")
    known = None if classes is None else tuple(map(str, classes))
    return Replicas(one.net, parameters, buffers, seeds, known).to(device)
