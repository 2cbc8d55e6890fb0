"""Equal things have equal names; different things do not."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mmkd_lab.core.fingerprint import canonical, digest, digest_arrays, source_text
from mmkd_lab.core.seed import derive


@dataclass(frozen=True)
class Thing:
    lr: float
    seeds: tuple[int, ...]


def test_canonical_text_is_fixed():
    assert canonical({"b": Thing(0.1, (1, 2)), "a": {3, 1}}) == '{"a":[1,3],"b":{"lr":0.1,"seeds":[1,2]}}'


def test_digest_is_fixed_for_ever():
    assert digest({"a": 1}) == "015abd7f5cc57a2d"


def test_order_of_keys_does_not_matter_and_values_do():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({"a": 1}) != digest({"a": 1.5})


@pytest.mark.parametrize("value", [object(), {"a": lambda: 0}, float("nan"), {1: "a", "1": "b"}])
def test_what_has_no_stable_text_is_refused(value):
    with pytest.raises((TypeError, ValueError)):
        canonical(value)


def test_arrays_differ_by_name_type_shape_and_bytes():
    x = np.arange(6, dtype=np.float32)
    names = {
        digest_arrays([("x", x)]),
        digest_arrays([("y", x)]),
        digest_arrays([("x", x.astype(np.float64))]),
        digest_arrays([("x", x.reshape(2, 3))]),
        digest_arrays([("x", x + 1)]),
    }
    assert len(names) == 5
    assert digest_arrays([("x", np.asfortranarray(x.reshape(2, 3)))]) == digest_arrays(
        [("x", x.reshape(2, 3))]
    )


def test_seed_streams_are_stable_and_distinct():
    assert derive(0, "init") == 1519069808562059438
    assert len({derive(s, p) for s in range(100) for p in ("init", "order", "noise")}) == 300
    assert 0 <= derive(7, "x") < 2**63


def test_what_holds_itself_is_refused():
    ring: list[object] = []
    ring.append(ring)
    with pytest.raises(ValueError, match="holds itself"):
        canonical(ring)


def _typed(line, module="__main__"):
    """A class and a function that no file has, as when they were typed at a prompt."""
    names = {"__name__": module}
    exec(f"class Net:\n    def forward(self, x):\n        return [x * {line} for x in x]", names)
    exec(f"def make():\n    return [i + {line} for i in range(3)]", names)
    return names["Net"], names["make"]


def test_the_source_of_what_no_file_has_still_tells_it_apart():
    for one, same, other in zip(_typed(1), _typed(1), _typed(2), strict=True):
        assert source_text(one) == source_text(same) != source_text(other)


def test_the_source_of_what_a_file_has_is_its_text():
    assert source_text(_typed).startswith("def _typed(line")
    assert "class Thing" in source_text(Thing)
    fixed = [partial(_typed, line) for line in (1, 1, 2)]
    assert source_text(fixed[0]) == source_text(fixed[1]) != source_text(fixed[2])
    assert source_text(Path().is_file) == source_text(Path.is_file)
    assert source_text(len) == "builtins.len"
