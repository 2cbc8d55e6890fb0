"""Pickles: what numpy and Python write is read alike; what could run code, or upset memory, is refused."""

from __future__ import annotations

import os
import pickle
import pickletools
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

from mmkd_lab.core.check import DamagedFile
from mmkd_lab.data.published import pickles

SOUND = {
    "numbers": np.arange(12, dtype=np.float32).reshape(3, 4),
    "by columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "other order of bytes": np.arange(3, dtype=">i4"),
    "texts": np.array(["a", "bcd"]),
    "bytes": np.array([b"x", b"yz"]),
    "objects": np.array(["q", None, [1, np.ones(2)]], dtype=object)[:2],
    "none": np.zeros((0, 5)),
    "one": np.array(True),
}
PLAIN = {
    "scalar": np.float32(3),
    "sets": ({1, 2}, frozenset([3])),
    "bytes": (b"abc", b""),
    "dictionaries": (OrderedDict(a=1), defaultdict(list, b=[2])),
    "text": "é\x92",
}


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_and_containers_come_as_they_were(protocol: int, tmp_path: Path) -> None:
    pickles.write(tmp_path / "x.pkl", {"arrays": SOUND, "plain": PLAIN}, protocol=protocol)
    found = pickles.loads(tmp_path / "x.pkl")
    assert found["plain"] == PLAIN
    for name, expected in SOUND.items():
        assert type(found["arrays"][name]) is np.ndarray
        np.testing.assert_array_equal(found["arrays"][name], expected)
    again = pickle.loads(pickle.dumps(found["arrays"]))  # it may go to other processes
    np.testing.assert_array_equal(again["numbers"], SOUND["numbers"])


def test_what_python_2_wrote_is_read_as_latin_1(tmp_path: Path) -> None:
    """A pickle as Python 2 has it, array and text as byte strings."""
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    state = b"(I1\n(I2\ntcnumpy\ndtype\n(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\nS'\\xe9a'\ntb."
    (tmp_path / "x.pkl").write_bytes(array + state)
    assert pickles.loads(tmp_path / "x.pkl").tolist() == [0xE9, ord("a")]
    (tmp_path / "y.pkl").write_bytes(b"S'caf\\xe9'\n.")
    assert pickles.loads(tmp_path / "y.pkl") == "café"


class Hostile:
    """Runs what it is given when it is unpickled."""

    def __init__(self, *call: object) -> None:
        self.call = call

    def __reduce__(self) -> tuple[object, ...]:
        return self.call[0], self.call[1:]


def built(reduced: bytes, state: bytes) -> bytes:
    """A pickle that gives the result of a call a state."""
    return reduced + state + b"b."


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
FLOATS = b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
OBJECTS = b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI63\ntb"
RECORDS = b"cnumpy\ndtype\n(S'V8'\nI0\nI1\ntR"
FIELDS = b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'|'\nN(S'a'\nt(dI8\nI1\nI0\ntb"

#: What is pickled, and what the refusal says.
REFUSED = {
    "a command": (pickle.dumps(Hostile(os.system, "true")), r"(posix|nt)\.system': must hold numbers"),
    "an expression": (pickle.dumps(Hostile(eval, "1")), r"builtins\.eval': must hold"),
    "an import": (pickle.dumps(Hostile(__import__, "os")), r"builtins\.__import__"),
    "an attribute": (b"cbuiltins\ngetattr\n.", r"builtins\.getattr"),
    "a module of its own": (b"cevil\nthing\n.", r"evil\.thing"),
    "a name with dots": (pickle.dumps(np.ndarray.tofile), r"builtins\.getattr|ndarray\.tofile"),
    "a codec": (pickle.dumps(Hostile(__import__("_codecs").encode, "x", "zlib")), r"encoding 'zlib'"),
    "a lot of bytes": (pickle.dumps(Hostile(bytes, 10**15)), r"bytes of a given length"),
    "a state for a function": (built(b"c_codecs\nencode\n", b"(dS'x'\nI1\ns"), r"a state for what has none"),
    "pointers": (built(ARRAY, b"(I1\n(I1\nt" + OBJECTS + b"I00\nS'AAAAAAAA'\nt"), r"8 items in place of 1"),
    "too short": (built(ARRAY, b"(I1\n(I9\nt" + FLOATS + b"I00\nS'AAAAAAAA'\nt"), r"8 items in place of 72"),
    "below zero": (built(ARRAY, b"(I1\n(I-1\nt" + FLOATS + b"I00\nS''\nt"), r"shape \(-1,\)"),
    "records": (built(ARRAY, b"(I1\n(I1\nt" + RECORDS + b"I00\nS'AAAAAAAA'\nt"), r"array of 'V8'"),
    "fields": (built(ARRAY, b"(I1\n(I1\nt" + FIELDS + b"I00\nS'AAAAAAAA'\nt"), r"array of records"),
    "a tensor": (pickle.dumps(torch.zeros(2)), r"torch\._utils\._rebuild_tensor"),
    "truncated": (pickle.dumps(SOUND)[:200], r"truncated"),
    "no pickle": (b"<!DOCTYPE html>", r"must be a pickle"),
    "empty": (b"", r"truncated|Ran out of input"),
    "a persistent id": (b"Pfile\n.", r"persistent"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_anything_else_is_refused(case: str, tmp_path: Path) -> None:
    content, says = REFUSED[case]
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match=says) as caught:
        pickles.loads(path)
    assert caught.value.argument == str(path)


def test_the_hostile_ones_would_have_run(tmp_path: Path) -> None:
    """The refusals mean something: Python's own reader does what the first of them says."""
    mark = tmp_path / "mark"
    content = pickle.dumps(Hostile(Path.touch, mark))
    pickle.loads(content)
    assert mark.exists()
    mark.unlink()
    (tmp_path / "x.pkl").write_bytes(content)
    with pytest.raises(DamagedFile):
        pickles.loads(tmp_path / "x.pkl")
    assert not mark.exists()
    assert any(op.name == "REDUCE" for op, _, _ in pickletools.genops(content))


def test_a_file_of_torch_holds_tensors_alone(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "x.pth")
    assert pickles.torch_file(tmp_path / "x.pth")["a"].tolist() == [1, 1]
    torch.save(Hostile(os.system, "true"), tmp_path / "y.pth")
    with pytest.raises(DamagedFile, match=r"must hold numbers, texts and plain containers alone"):
        pickles.torch_file(tmp_path / "y.pth")


def test_a_file_of_torch_with_arrays_goes_through_the_list(tmp_path: Path) -> None:
    for i, held in enumerate(((np.arange(3.0), np.arange(2)), (torch.arange(3.0), torch.arange(2)))):
        torch.save(held, tmp_path / f"{i}.pth")
        found = pickles.torch_arrays(tmp_path / f"{i}.pth")
        assert (found[0].tolist(), found[1].tolist()) == ([0, 1, 2], [0, 1])
    torch.save((np.zeros(3), Hostile(os.system, "true")), tmp_path / "y.pth")
    with pytest.raises(DamagedFile, match=r"(posix|nt)\.system"):
        pickles.torch_arrays(tmp_path / "y.pth")
    (tmp_path / "z.pth").write_bytes((tmp_path / "1.pth").read_bytes()[:-20])
    with pytest.raises(DamagedFile, match=r"z\.pth"):
        pickles.torch_arrays(tmp_path / "z.pth")
