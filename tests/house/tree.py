"""The files of the repository and the modules of the package, for the tests of the house."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "mmkd_lab"


@cache
def files() -> tuple[Path, ...]:
    """What git tracks, and what it would track."""
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-co", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return tuple(path for name in listed.split("\0") if name and (path := ROOT / name).is_file())


_BINARY = {".png", ".npz", ".gz", ".zip", ".wav", ".safetensors", ".ico", ".jpg", ".pdf"}


def is_binary(path: Path) -> bool:
    """Whether the file is no text."""
    return path.suffix in _BINARY


@cache
def text(path: Path) -> str:
    """What stands in a file."""
    return path.read_text(encoding="utf-8")


def assert_none(found: Mapping[str, object]) -> None:
    """Fail with every offender, one a line."""
    assert not found, "\n" + "\n".join(f"{name}: {what}" for name, what in found.items())


def modules() -> list[Path]:
    """The Python files of the package."""
    return [path for path in files() if path.suffix == ".py" and path.is_relative_to(PACKAGE)]


def name_of(path: Path) -> str:
    """`mmkd_lab.core.check`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a Python file."""
    return ast.parse(text(path), str(path))


def imports(path: Path) -> set[str]:
    """Every module a file imports anywhere in it, also inside functions."""
    return _imports(tree(path))


def type_imports(path: Path) -> set[str]:
    """Every module that a file imports for the type checker alone."""
    blocks = (node for node in ast.walk(tree(path)) if isinstance(node, ast.If))
    return set().union(*(_imports(node) for node in blocks if ast.unparse(node.test) == "TYPE_CHECKING"))


def _imports(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            assert node.module is not None
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found
