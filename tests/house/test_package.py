"""How the package is built: floors, circles, names, sizes, and the shape of what is public."""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from contextlib import nullcontext
from graphlib import CycleError, TopologicalSorter
from importlib import import_module

import pytest

from mmkd_lab import FLOORS
from tests.house import tree

#: Floors that see less than what is below them: whole floors, or single modules of them.
_ONLY = {"plotting": {"core", "distill.arms"}}
_MOST_ARGUMENTS, _MOST_POSITIONAL, _LONGEST_FILE = 12, 3, 330
#: A sentence of four words: fit these networks on this data for this objective by this recipe.
_FOUR = {"training.fit"}


def _floor(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "mmkd_lab" and len(parts) > 1 and parts[1] in FLOORS else None


def _above(path) -> list[str]:
    """What a file imports that is not below its floor."""
    own = _floor(tree.name_of(path))
    if own is None:
        return []
    allowed = {own, *_ONLY.get(own, FLOORS[: FLOORS.index(own)])}
    inside = [name.split(".", 1)[1] for name in tree.imports(path) if _floor(name)]
    return [name for name in inside if not any(f"{name}.".startswith(f"{one}.") for one in allowed)]


def test_each_floor_imports_only_from_below():
    files = tree.modules()
    assert {_floor(tree.name_of(path)) for path in files} == {None, *FLOORS}
    tree.assert_none({tree.name_of(path): above for path in files if (above := _above(path))})


def test_an_import_from_above_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(tree, "ROOT", tmp_path)
    bad = tmp_path / "mmkd_lab" / "data" / "bad.py"
    bad.parent.mkdir(parents=True)
    bad.write_text("def f():\n    from mmkd_lab.training import loop\n    import mmkd_lab.core.check\n")
    assert sorted(_above(bad)) == ["training", "training.loop"]


def _graph(paths) -> dict[str, set[str]]:
    """File -> what it imports when it runs; what only a type checker reads does not count."""
    names = {tree.name_of(path): path for path in paths if path.name != "__init__.py"}
    return {name: (tree.imports(path) - tree.type_imports(path)) & set(names) for name, path in names.items()}


def test_no_two_files_import_each_other():
    TopologicalSorter(_graph(tree.modules())).prepare()


@pytest.mark.parametrize(("text", "seen"), [("def f():\n    ", True), ("if TYPE_CHECKING:\n    ", False)])
def test_a_circle_is_seen(tmp_path, monkeypatch, text, seen):
    monkeypatch.setattr(tree, "ROOT", tmp_path)
    first, second = tmp_path / "one.py", tmp_path / "two.py"
    first.write_text("import two\n")
    second.write_text(f"{text}from one import g\n")
    with pytest.raises(CycleError) if seen else nullcontext():
        TopologicalSorter(_graph([first, second])).prepare()


def _nodes(*kinds):
    """(where, node) of every node of these kinds in the package."""
    for path in tree.modules():
        for node in ast.walk(tree.tree(path)):
            if isinstance(node, kinds):
                yield f"{tree.name_of(path)}.{node.name}", node


def test_no_two_classes_have_one_name():
    found = defaultdict(list)
    for where, node in _nodes(ast.ClassDef):
        if not node.name.startswith("_"):
            found[node.name].append(where)
    tree.assert_none({name: places for name, places in found.items() if len(places) > 1})


def test_no_function_has_many_arguments():
    counts = {}
    for where, node in _nodes(ast.FunctionDef):
        names = [one.arg for one in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]]
        counts[where] = len(names) - (names[:1] in (["self"], ["cls"]))
    tree.assert_none({where: count for where, count in counts.items() if count > _MOST_ARGUMENTS})


def test_files_are_short():
    counts = {tree.name_of(path): len(tree.text(path).splitlines()) for path in tree.modules()}
    tree.assert_none({name: count for name, count in counts.items() if count > _LONGEST_FILE})


def _public():
    """(floor.name, object) of everything a floor exports, and of the methods of its classes."""
    for floor in FLOORS:
        module = import_module(f"mmkd_lab.{floor}")
        for name in getattr(module, "__all__", []):
            value = getattr(module, name)
            yield f"{floor}.{name}", value
            if inspect.isclass(value) and value.__module__.startswith("mmkd_lab"):
                for inner, method in vars(value).items():
                    function = getattr(method, "__func__", method)
                    if inspect.isfunction(function) and not inner.startswith("_"):
                        yield f"{floor}.{name}.{inner}", function


def _positional(function) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [one.name for one in inspect.signature(function).parameters.values() if one.kind in kinds]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def test_what_is_public_is_documented_and_easy_to_call():
    public = dict(_public())
    assert {name.split(".")[0] for name in public} == set(FLOORS) - {"core"}
    functions = {name: _positional(value) for name, value in public.items() if inspect.isfunction(value)}
    many = {
        name: found for name, found in functions.items() if len(found) > _MOST_POSITIONAL + (name in _FOUR)
    }
    own = {name: one for name, one in public.items() if getattr(one, "__module__", "").startswith("mmkd_lab")}
    texts = {name: vars(one)["__doc__"] if inspect.isclass(one) else one.__doc__ for name, one in own.items()}
    assert (many, [name for name, text in texts.items() if len(text or "") <= 10]) == ({}, [])


def test_four_positional_arguments_are_seen():
    def four(a, b, c, d=1, *, e=2):
        return a, b, c, d, e

    assert _positional(four) == ["a", "b", "c", "d"]
