"""No two files import each other, by however long a way. What only a type checker reads does not count."""

from __future__ import annotations

import ast
from contextlib import nullcontext
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.house import tree


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _run_imports(path) -> set[str]:
    """What a file imports when it runs."""
    for_types = set()
    for node in filter(_is_type_checking, ast.walk(tree.tree(path))):
        for inner in ast.walk(node):
            if isinstance(inner, ast.ImportFrom):
                for_types |= {inner.module, *(f"{inner.module}.{alias.name}" for alias in inner.names)}
    return tree.imports(path) - for_types


def _graph(paths) -> dict[str, set[str]]:
    names = {tree.name_of(path) for path in paths if path.name != "__init__.py"}
    return {tree.name_of(path): _run_imports(path) & names for path in paths if path.name != "__init__.py"}


def test_no_circles():
    graph = _graph(tree.modules())
    assert len(graph) > 200
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(("text", "seen"), [("def f():\n    ", True), ("if TYPE_CHECKING:\n    ", False)])
def test_a_circle_is_seen(tmp_path, monkeypatch, text, seen):
    monkeypatch.setattr(tree, "ROOT", tmp_path)
    first, second = tmp_path / "one.py", tmp_path / "two.py"
    first.write_text("import two\n")
    second.write_text(f"{text}from one import g\n")
    with pytest.raises(CycleError) if seen else nullcontext():
        TopologicalSorter(_graph([first, second])).prepare()
