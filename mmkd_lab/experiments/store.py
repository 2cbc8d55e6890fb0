"""Every finished arm is kept, under a key made of everything that determines it.

One entry is two files in `root/<first two digits of the digest>/`:

    <digest>.json                     format, key, metrics, the tensors' file and SHA-256, its own SHA-256
    <digest>-<content>.safetensors    the tensors, named after their own SHA-256

The tensors are written first and the JSON last, each to a temporary file that is then given its name, so a
run killed at any moment leaves whole entries and at most a stray file. The first writer of a key wins:
whoever puts the same key later gets what is stored already. There are no locks to wait for.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmkd_lab import __version__
from mmkd_lab.core.atomic import write_bytes
from mmkd_lab.core.check import DamagedFile, LabError, mapping, of_type, one_of, reading, require, writing
from mmkd_lab.core.check import path as checked_path
from mmkd_lab.core.fingerprint import canonical, code_digest
from mmkd_lab.core.places import user_cache

FORMAT = 1
ENVIRONMENT = "MMKD_LAB_STORE"
DAMAGED = ("refuse", "recompute")


Arrays = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Key:
    """The name of one entry: `text` is canonical JSON of everything that determines it."""

    text: str

    @property
    def digest(self) -> str:
        """SHA-256 of `text`, 64 hex digits; the entry's file name."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def payload(self) -> dict[str, Any]:
        """What the key is made of, as plain values."""
        return dict(json.loads(self.text))


def key(**parts: object) -> Key:
    """A key of named parts: dataset fingerprint, recipe, models, loss, seed, ...

    The package's version and a digest of its code are always part of it: what other code computed is not
    handed out. Raises `LabError` for no part, or one without a stable text
    (give plain values, frozen dataclasses, enums).
    """
    require(len(parts) > 0, "parts", parts, "must name what determines the entry", "For example arm='no_kd'.")
    try:
        return Key(canonical({"version": __version__, "code": code_digest(), **parts}))
    except (TypeError, ValueError) as error:
        raise LabError("parts", parts, f"must have a stable text: {error}") from error


@dataclass(frozen=True, eq=False)
class Result:
    """One stored entry: JSON values and named arrays."""

    key: Key
    metrics: Mapping[str, Any]
    tensors: Arrays = field(default_factory=dict)


def default_root() -> Path:
    """`$MMKD_LAB_STORE` when it is set, else `results` in the user's cache folder."""
    named = os.environ.get(ENVIRONMENT)
    if named:
        return checked_path(ENVIRONMENT, named)
    return user_cache() / "results"


@dataclass(frozen=True)
class ResultStore:
    """Entries under a folder, safe with several writers and with a kill at any moment.

    Args:
        root: the folder, made when the first entry is put; default `default_root()`.
        damaged: what `get` does with a damaged entry. 'refuse' raises `DamagedFile`, naming the file;
            'recompute' takes it as absent, and the next `put` replaces it.
    """

    root: Path = field(default_factory=default_root)
    damaged: str = "refuse"

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", checked_path("root", self.root))
        one_of("damaged", self.damaged, DAMAGED)
        fits = self.root.is_dir() or not self.root.exists()
        require(fits, "root", str(self.root), "must be a folder, or a path where one can be made")

    def path(self, key: Key) -> Path:
        """Where the JSON of this entry is, or would be."""
        of_type("key", key, Key, "a Key", "Make one with runs.store.key().")
        return self.root / key.digest[:2] / f"{key.digest}.json"

    def get(self, key: Key) -> Result | None:
        """The entry, verified against its digests and its key; None when it is not stored.

        Raises `DamagedFile` for an entry that is truncated, altered or stored under another key, unless the
        store takes damaged entries as absent; `UnreadableFile` for one that may be sound, but not be read.
        """
        try:
            return _read(self.path(key), key)
        except DamagedFile:
            if self.damaged == "recompute":
                return None
            raise

    def named(self, digest: str) -> Result | None:
        """The entry of a key of which the digest alone is known, as a saved study knows its networks.

        None when it is not stored; errors as `get`'s, and `LabError` for what is no digest.
        """
        sound = isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest) is not None
        require(sound, "digest", digest, "must be 64 hex digits")
        path = self.root / digest[:2] / f"{digest}.json"
        with reading(path, "must be the JSON of a stored entry", _way_out(path)):
            content = _content(path)
            if content is None:
                return None
            stated = Key(canonical(json.loads(content)["key"]))
            require(stated.digest == digest, "key", stated.text, "is stored under a key that is not its own")
        return self.get(stated)

    def put(self, key: Key, metrics: Mapping[str, Any], tensors: Arrays | None = None) -> Result:
        """Store an entry and return what is stored: this one, or the one an earlier writer has put.

        Args:
            key: from `key()`.
            metrics: plain JSON values, no NaN.
            tensors: named arrays of numbers or booleans.

        Raises `LabError` for metrics JSON cannot hold, arrays safetensors cannot hold, or a root that cannot
        be written; `DamagedFile` when a damaged entry is in the way and the store refuses those.
        """
        path, metrics, arrays = self.path(key), _checked_metrics(metrics), _checked_tensors(tensors)
        with writing("root", self.root):
            try:
                stored = _read(path, key)
            except DamagedFile as error:
                if self.damaged == "refuse":
                    raise
                stored = None
                _make_room(Path(error.argument))
                _make_room(path)
            if stored is None:
                _write(path, key, metrics, arrays)
                stored = _read(path, key)
        if stored is None:
            rule = "was just written and cannot be read"
            raise DamagedFile(str(path), "unreadable", rule, "Check the disk")
        return stored

    def ready(self, keys: Iterable[Key]) -> None:
        """Raise `LabError` unless entries of these keys can be put: asked before they are computed."""
        with writing("root", self.root):
            for folder in {self.path(key).parent for key in keys}:
                folder.mkdir(parents=True, exist_ok=True)
                tempfile.TemporaryFile(dir=folder).close()

    @contextmanager
    def claim(self, key: Key) -> Iterator[bool]:
        """Within the block this process computes the entry: False where another one does so already.

        A lock of the operating system on a byte of one file, so that it ends with its process, however that
        ends. Where there are no such locks everything may be claimed: at worst an entry is computed twice.
        """
        try:
            import fcntl

            self.root.mkdir(parents=True, exist_ok=True)
            here = os.open(self.root / ".claims", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except (ImportError, OSError):
            yield True
            return
        with os.fdopen(here, "wb", buffering=0) as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, int(key.digest[:12], 16))
            except OSError as error:
                yield error.errno not in (errno.EACCES, errno.EAGAIN)
            else:
                yield True

    def __len__(self) -> int:
        """How many entries there are, whole or not."""
        return sum(1 for _ in self.root.glob(f"??/{'?' * 64}.json")) if self.root.is_dir() else 0


def _way_out(entry: Path) -> str:
    return f"Delete {entry.name}, or open the store with damaged='recompute', and run again"


def _write(
    path: Path, key: Key, metrics: Mapping[str, Any], tensors: dict[str, npt.NDArray[np.generic]]
) -> None:
    described = None
    if tensors:
        from safetensors.numpy import save

        content = save(tensors)
        sha256 = hashlib.sha256(content).hexdigest()
        name = f"{key.digest}-{sha256[:16]}.safetensors"
        described = {"file": name, "sha256": sha256}
        write_bytes(path.with_name(name), content)
    body = {"format": FORMAT, "key": key.payload, "metrics": metrics, "tensors": described}
    text = json.dumps({**body, "sha256": _digest(body)}, indent=1, allow_nan=False)
    write_bytes(path, text.encode(), replace=False)


def _make_room(path: Path) -> None:
    """Remove a damaged file. A folder in its place keeps what it holds, under another name."""
    if path.is_dir() and not path.is_symlink():
        path.rename(path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}"))
    else:
        path.unlink(missing_ok=True)


def _read(path: Path, key: Key) -> Result | None:
    with reading(path, "must be the JSON of a stored entry", _way_out(path)):
        content = _content(path)
        if content is None:
            return None
        body = json.loads(content)
        found = _digest({name: value for name, value in body.items() if name != "sha256"})
        for fits, shown, rule in (
            (body.get("format") == FORMAT, body.get("format"), f"must be an entry of format {FORMAT}"),
            (
                body.get("sha256") == found,
                body.get("sha256"),
                f"must have the SHA-256 {found} it was stored with",
            ),
            (canonical(body["key"]) == key.text, body["key"], "is stored under a key that is not its own"),
        ):
            if not fits:
                raise DamagedFile(str(path), shown, rule, _way_out(path))
        metrics = mapping("metrics", body["metrics"], "a mapping")
        sha256 = None if body["tensors"] is None else body["tensors"]["sha256"]
        tensors = {} if sha256 is None else _read_tensors(path, sha256)
    return Result(key=key, metrics=metrics, tensors=tensors)


def _read_tensors(path: Path, sha256: str) -> dict[str, npt.NDArray[np.generic]]:
    """The tensors of the entry at `path`, in the file that is named after the two digests."""
    from safetensors.numpy import load

    where = path.with_name(f"{path.stem}-{sha256[:16]}.safetensors")
    with reading(where, "must hold the tensors of the entry beside it", _way_out(path)):
        content = _content(where)
        if content is None:
            raise DamagedFile(
                str(where), "missing", "must lie beside the entry that names it", _way_out(path)
            )
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            rule = f"must have the SHA-256 {sha256[:16]}… it was stored with"
            raise DamagedFile(str(where), found[:16], rule, _way_out(path))
        return dict(load(content))


def _content(path: Path) -> bytes | None:
    """What a file holds, None when there is none; a pipe or a folder in its place is not waited for."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EISDIR, "is no file")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(body).encode()).hexdigest()


def _checked_tensors(tensors: Arrays | None) -> dict[str, npt.NDArray[np.generic]]:
    found = {}
    for name, values in mapping(
        "tensors", {} if tensors is None else tensors, "a mapping of names to arrays"
    ).items():
        argument = f"tensors[{name!r}]"
        require(isinstance(name, str) and name != "__metadata__", argument, name, "must have a name as text")
        array = of_type(argument, values, np.ndarray, "a numpy array")
        fits = array.dtype.kind in "biuf" and array.dtype.itemsize <= 8
        require(
            fits, argument, array.dtype, "must hold whole numbers, floats of 64 bits at most, or booleans"
        )
        # safetensors writes the memory as it lies, so a transposed view would come back shuffled.
        found[name] = np.asarray(array, order="C")
    return found


def _checked_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    mapping("metrics", metrics, "a mapping of names to plain values")
    for name, value in metrics.items():
        finite = not isinstance(value, float) or math.isfinite(value)
        require(finite, f"metrics[{name!r}]", value, "must be finite")
    try:
        return dict(json.loads(canonical(metrics)))
    except (TypeError, ValueError) as error:
        raise LabError("metrics", dict(metrics), f"must hold plain values: {error}") from error
