"""Each floor imports only from the floors below it."""

from __future__ import annotations

import pytest

from mmkd_lab import FLOORS
from tests.house import tree

#: Floors that see less than what is below them.
_ONLY = {"plotting": {"core"}}


def _floor(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "mmkd_lab" and len(parts) > 1 and parts[1] in FLOORS else None


def _above(path) -> set[str]:
    own = _floor(tree.name_of(path))
    assert own is not None
    below = set(FLOORS[: FLOORS.index(own)]) if own not in _ONLY else _ONLY[own]
    return {name for name in tree.imports(path) if (floor := _floor(name)) and floor not in below | {own}}


FILES = [path for path in tree.modules() if _floor(tree.name_of(path))]


def test_every_floor_is_there():
    assert {_floor(tree.name_of(path)) for path in FILES} == set(FLOORS)


@pytest.mark.parametrize("path", FILES, ids=tree.name_of)
def test_imports_only_from_below(path):
    assert _above(path) == set(), f"{tree.name_of(path)} imports from its own height or above"


def test_an_import_from_above_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(tree, "ROOT", tmp_path)
    bad = tmp_path / "mmkd_lab" / "data" / "bad.py"
    bad.parent.mkdir(parents=True)
    bad.write_text(
        "def f():\n    from mmkd_lab.training import loop\n    import mmkd_lab.core.check\n    return loop\n"
    )
    assert _above(bad) == {"mmkd_lab.training", "mmkd_lab.training.loop"}
