"""Parts by name: the lab's own stay, yours may be registered again."""

from __future__ import annotations

import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.core.registry import Registry


def test_parts_are_found_listed_and_forgotten() -> None:
    parts: Registry[object] = Registry("method")

    @parts.register("mine")
    def first() -> int:
        return 1

    parts.register("yours", 2)
    assert (list(parts), len(parts), "mine" in parts, parts["mine"]) == (["mine", "yours"], 2, True, first)
    assert parts.register("mine", 3) == parts["mine"] == 3
    parts.forget("mine")
    assert repr(parts) == "1 registered: yours"
    with pytest.raises(LabError, match=r"method = 'yuors': must be one of 'yours'. Did you mean 'yours'\?"):
        parts["yuors"]


def test_a_name_of_the_lab_stays_and_homes_are_imported_at_the_first_look() -> None:
    parts: Registry[object] = Registry("method", home=["mmkd_lab.core.seed"])
    parts.register("own", Registry)
    with pytest.raises(LabError, match=r"method = 'own': is a name of the lab's own"):
        parts.register("own", 1)
    with pytest.raises(LabError, match=r"method = 'own': is one of the lab's own and stays"):
        parts.forget("own")
    for name in ("", " x", 3):
        with pytest.raises(LabError, match="must be a name"):
            parts.register(name, 1)  # type: ignore[call-overload]
