"""What must not be in the repository, and what the lock of its environment must hold."""

from __future__ import annotations

import ast
import re
import tomllib

import pytest
from packaging.requirements import Requirement

from tests.house import tree
from tools.setup import UNPINNED

_HERE = "tests/house/"
_LARGEST = 2_000_000
#: The one reader of other people's pickles, by a list of what they may hold.
_ALLOWED = "mmkd_lab/data/published/pickles.py"
_PICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}
#: joblib is here for its processes, which pass pickles in memory; its files are pickles as well.
_JOBLIB_FILES = {"load", "dump", "Memory"}
_MACHINE = re.compile(
    r"(?<![\w.$~}>/-])/(?:work|opt|home|Users|root|tmp|mnt|srv|data)/[\w.-]+|(?i:\b[a-z]:\\\\?users\\)"
)
_HOSTS = re.compile(
    r"\b(?:pypi\.org|files\.pythonhosted\.org|download\.pytorch\.org|conda\.anaconda\.org)\b"
    r"|\b(?:index-url|find-links|trusted-host)\s*[= ]\s*\S*(?:localhost|127\.0\.0\.1|https?:)\S*"
)
_LATER = re.compile(r"\b(?:TODO|FIXME|XXX)\b|raise NotImplementedError")
_IMAGE = re.compile(r'"image/png": "[^"]*"')


def _texts():
    """(name, text) of every text file but the rules themselves, without notebooks' figures: mere letters."""
    for path in tree.files():
        name = path.relative_to(tree.ROOT).as_posix()
        if not name.startswith(_HERE) and not tree.is_binary(path):
            yield name, _IMAGE.sub("", tree.text(path))


def _found(pattern: re.Pattern[str]) -> dict[str, list[str]]:
    return {name: hits for name, text in _texts() if (hits := [hit[0] for hit in pattern.finditer(text)])}


def test_no_paths_of_one_machine():
    tree.assert_none(_found(_MACHINE))


def test_no_registry_hosts():
    """The one exception is PyTorch's public index of CPU builds, which the Makefile names once."""
    assert _found(_HOSTS) == {"Makefile": ["download.pytorch.org"]}


def test_nothing_is_left_for_later():
    tree.assert_none(_found(_LATER))


def test_no_large_files():
    sizes = {path.relative_to(tree.ROOT).as_posix(): path.stat().st_size for path in tree.files()}
    tree.assert_none({name: size for name, size in sizes.items() if size > _LARGEST})


def test_no_pickles():
    """A test may pickle, to show that something crosses to another process; nothing else may."""
    found = {}
    for path in (path for path in tree.files() if path.suffix == ".py"):
        name = path.relative_to(tree.ROOT).as_posix()
        imported = (
            set()
            if name.startswith(("tests/", _ALLOWED))
            else {one.split(".")[0] for one in tree.imports(path)}
        )
        if faults := sorted(imported & _PICKLERS) + _pickled_files(tree.tree(path)):
            found[name] = faults
    tree.assert_none(found)


def _pickled_files(code: ast.AST) -> list[str]:
    """Calls and imports that read or write pickles on disk."""
    found = []
    for node in ast.walk(code):
        if isinstance(node, ast.ImportFrom) and node.module == "joblib":
            found += [f"joblib.{one.name}" for one in node.names if one.name in _JOBLIB_FILES]
        if not isinstance(node, ast.Call):
            continue
        call = ast.unparse(node.func)
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        refused = (
            call.endswith(("read_pickle", "to_pickle"))
            or call in {f"joblib.{one}" for one in _JOBLIB_FILES}
            or (call in ("np.load", "numpy.load") and given.get("allow_pickle") != "False")
            or (call == "torch.load" and given.get("weights_only") != "True")
        )
        found += [call] if refused else []
    return found


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("np.load(p)", 1),
        ("np.load(p, allow_pickle=True)", 1),
        ("np.load(p, allow_pickle=False)", 0),
        ("torch.load(p)", 1),
        ("torch.load(p, weights_only=True)", 0),
        ("pd.read_pickle(p)", 1),
        ("from joblib import Memory, Parallel", 1),
        ("joblib.dump(x, p)", 1),
        ("json.load(p)", 0),
    ],
)
def test_a_pickle_on_disk_is_seen(code, count):
    assert len(_pickled_files(ast.parse(code))) == count


def test_the_lock_pins_every_dependency():
    lines = (tree.ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if not line.startswith("#")]
    assert [
        line for line in lines if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*==[0-9][0-9A-Za-z.]*", line)
    ] == []
    pins = dict(line.split("==") for line in lines)
    assert pins["torch"] == "2.13.0"
    assert list(pins) == sorted(pins)
    assert len(pins) == len(lines)
    project = tomllib.loads((tree.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    extras = project["project"]["optional-dependencies"]
    wanted += [one for name, extra in extras.items() if name not in UNPINNED for one in extra]
    assert [str(one) for one in map(Requirement, wanted) if not one.specifier.contains(pins[one.name])] == []
