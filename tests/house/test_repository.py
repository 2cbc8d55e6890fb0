"""What must not be in the repository."""

from __future__ import annotations

import ast
import re

import pytest

from tests.house import tree

_BINARY = {".png", ".npz", ".gz", ".zip", ".wav", ".safetensors", ".ico", ".jpg", ".pdf"}
_HERE = "tests/house/"
_LARGEST = 2_000_000
_PICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}

TEXTS = [
    path
    for path in tree.files()
    if path.suffix not in _BINARY and not path.relative_to(tree.ROOT).as_posix().startswith(_HERE)
]
SOURCES = [path for path in tree.files() if path.suffix == ".py" and path in TEXTS]


def _id(path):
    return path.relative_to(tree.ROOT).as_posix()


def _found(pattern: str, text: str) -> list[str]:
    return [match[0] for match in re.finditer(pattern, text)]


@pytest.mark.parametrize("path", TEXTS, ids=_id)
def test_no_paths_of_one_machine(path):
    text = path.read_text(encoding="utf-8")
    assert _found(r"(?<![\w.$~}>/-])/(?:work|opt|home|Users|root|tmp|mnt|srv|data)/[\w.-]+", text) == []
    assert _found(r"(?i)\b[a-z]:\\\\?users\\", text) == []


@pytest.mark.parametrize("path", TEXTS, ids=_id)
def test_no_registry_hosts(path):
    """The one exception is PyTorch's public index of CPU builds, which the Makefile names once."""
    text = path.read_text(encoding="utf-8")
    hosts = _found(
        r"\b(?:pypi\.org|files\.pythonhosted\.org|download\.pytorch\.org|conda\.anaconda\.org)\b", text
    )
    hosts += _found(
        r"\b(?:index-url|find-links|trusted-host)\s*[= ]\s*\S*(?:localhost|127\.0\.0\.1|https?:)\S*", text
    )
    assert hosts == (["download.pytorch.org"] if _id(path) == "Makefile" else [])


@pytest.mark.parametrize("path", TEXTS, ids=_id)
def test_nothing_is_left_for_later(path):
    """A notebook's figures are letters too, and say anything."""
    text = re.sub(r'"image/png": "[^"]*"', "", path.read_text(encoding="utf-8"))
    assert _found(r"\b(?:TODO|FIXME|XXX)\b|raise NotImplementedError", text) == []


@pytest.mark.parametrize("path", SOURCES, ids=_id)
def test_no_pickles(path):
    """A test may pickle, to show that something crosses to another process; nothing else may."""
    if not _id(path).startswith("tests/"):
        assert not {name.split(".")[0] for name in tree.imports(path)} & _PICKLERS
    assert _unsafe_loads(tree.tree(path)) == []


@pytest.mark.parametrize("path", tree.files(), ids=_id)
def test_no_large_files(path):
    assert path.stat().st_size <= _LARGEST


def test_the_lock_pins_everything():
    lines = (tree.ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9.-]*==[0-9][0-9A-Za-z.]*", pin) for pin in pins)
    assert "torch==2.13.0" in pins
    names = [pin.partition("==")[0] for pin in pins]
    assert names == sorted(set(names))


def test_the_lock_has_every_dependency():
    import tomllib

    from packaging.requirements import Requirement

    lines = (tree.ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    project = tomllib.loads((tree.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    wanted += [one for extra in project["project"]["optional-dependencies"].values() for one in extra]
    for one in map(Requirement, wanted):
        assert one.specifier.contains(pins[one.name]), str(one)


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("np.load(p)", 1),
        ("np.load(p, allow_pickle=True)", 1),
        ("np.load(p, allow_pickle=False)", 0),
        ("torch.load(p)", 1),
        ("torch.load(p, weights_only=True)", 0),
        ("pd.read_pickle(p)", 1),
        ("json.load(p)", 0),
    ],
)
def test_an_unsafe_load_is_seen(code, count):
    assert len(_unsafe_loads(ast.parse(code))) == count


def _unsafe_loads(code: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(code):
        if not isinstance(node, ast.Call):
            continue
        call = ast.unparse(node.func)
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if call.endswith("read_pickle"):
            found.append(call)
        if call in ("np.load", "numpy.load") and given.get("allow_pickle") != "False":
            found.append(call)
        if call == "torch.load" and given.get("weights_only") != "True":
            found.append(call)
    return found
