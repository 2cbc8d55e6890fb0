"""The site: how-to pages, stored notebooks, figures, and the API from its docstrings, every symbol linked."""

from __future__ import annotations

import base64
import inspect
import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

ROOT = Path(__file__).resolve().parent.parent
logger = logging.getLogger(__name__)
sys.path.insert(0, str(ROOT))

import mmkd_lab  # noqa: E402
from mmkd_lab.forecast.page import write_page  # noqa: E402
from mmkd_lab.forecast.records import atlas  # noqa: E402

project, author = "mmkd_lab", "the mmkd_lab authors"
copyright = f"{author}; Apache License 2.0"
version = release = mmkd_lab.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]

nb_execution_mode = "off"  # tutorials show what is stored in them
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["mystnb.unknown_mime_type", "myst.header"]

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
#: Of what a library's class brings along, the library tells.
_OTHERS = "Module,Figure,LabFigure,Enum,str,tuple,dict,object,Exception"
autodoc_default_options = {"members": True, "inherited-members": _OTHERS}
autodoc_typehints_format = "fully-qualified"
autodoc_preserve_defaults = True
autosummary_generate = True
autosummary_ignore_module_all = False
#: Files that some systems could not tell from another's: `run` beside `Run`.
autosummary_filename_map = {
    f"mmkd_lab.{floor}.{name}": f"mmkd_lab.{floor}.{name}-function"
    for floor in mmkd_lab.FLOORS
    for known in [getattr(getattr(mmkd_lab, floor), "__all__", [])]
    for name in known
    if name.islower() and any(name != one and name == one.lower() for one in known)
}
napoleon_use_rtype = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
default_role = "py:obj"
add_module_names = False

html_theme = "pydata_sphinx_theme"
html_title = "mmkd_lab"
html_static_path = ["_static", "site"]
html_css_files = ["lab.css"]
html_show_sourcelink = False
html_sidebars: dict[str, list[str]] = {"index": [], "estimators": [], "atlas": [], "figures/index": []}
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}

#: What is made from the repository before Sphinx reads the folder.
_MADE = ("tutorials", "figures", "api", "site")


def prepare(app: Sphinx) -> None:
    """Lay the notebooks, the stored figures and one page a floor where Sphinx looks for them."""
    here = Path(app.srcdir)
    for name in _MADE:
        shutil.rmtree(here / name, ignore_errors=True)
        (here / name).mkdir()
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    for path in notebooks:
        shutil.copy(path, here / "tutorials")
    _write(here / "tutorials/index.md", _TUTORIALS.format("\n".join(path.stem for path in notebooks)))
    _write(here / "figures/index.md", _FIGURES.format("\n".join(_cards(here / "figures"))))
    write_page(atlas(), here / "site" / "atlas.html")
    floors = [name for name in mmkd_lab.FLOORS if getattr(getattr(mmkd_lab, name), "__all__", None)]
    for name in floors:
        _write(here / f"api/{name}.rst", _floor(name))
    _write(here / "api/index.md", _API.format("\n".join(floors)))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


_TUTORIALS = """# Tutorials

The notebooks as they are stored in the repository, run from top to bottom. `make lab` opens them; every
parameter can be set from the shell: `mmkd-lab run 01 -p student image`.

```{{toctree}}
:maxdepth: 1

{}
```
"""

_FIGURES = """# Figures

What studies have found, as they drew it themselves: first what benchmarks keep (the commands are in
`benchmarks/README.md`), then every figure of the notebooks with the call that draws it.

::::{{grid}} 1 1 2 2
:gutter: 3

{}
::::
"""

_API = """# API

One page a floor of the package, lowest first; a floor uses only those above it in this list.

```{{toctree}}
:maxdepth: 1

{}
```
"""


def _cards(folder: Path) -> list[str]:
    """Every stored figure once: of studies with the verdict, of notebooks with the call that drew it."""
    found = []
    for path in sorted((ROOT / "benchmarks/results").glob("*.png")):
        shutil.copy(path, folder)
        head = path.with_suffix(".json")
        told = json.loads(head.read_text(encoding="utf-8")) if head.is_file() else {}
        title = str(told.get("title", path.stem.replace("_", " ")))
        verdict = _escaped(str(told.get("verdict", "")))
        found.append(_card(title, path.name, f"```{{dropdown}} Verdict\n{verdict}\n```" if verdict else ""))
    known = set()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        for at, (code, told) in enumerate((cell, one) for cell in cells for one in cell.get("outputs", ())):
            drawn = told.get("data", {}).get("image/png")
            title = re.search(r" in: (.+)>", "".join(told.get("data", {}).get("text/plain", "")))
            if drawn is None or title is None or title[1] == "untitled" or title[1] in known:
                continue
            known.add(title[1])
            name = f"{path.stem}_{at}.png"
            (folder / name).write_bytes(base64.b64decode("".join(drawn)))
            call = "".join(code["source"])
            below = f"```python\n{call}\n```\n\n[{path.stem}](../tutorials/{path.stem}.ipynb)"
            found.append(_card(title[1], name, f"````{{dropdown}} Drawn by\n{below}\n````"))
    return found


def _card(title: str, picture: str, below: str) -> str:
    title = _escaped(title)
    return f":::{{grid-item-card}} {title}\n![{title}]({picture})\n\n{below}\n:::"


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_$<>\[\]|])", r"\\\1", text)


def _floor(name: str) -> str:
    """The page of a floor: its docstring, and a table of all that it makes public."""
    module = getattr(mmkd_lab, name)
    listed = "\n".join(f"   {one}" for one in sorted(module.__all__, key=str.lower))
    says = (module.__doc__ or "").split("\n")
    escape(None, "module", name, module, None, says)
    told = "\n".join(says)
    table = f".. autosummary::\n   :toctree:\n   :nosignatures:\n\n{listed}\n"
    return f"{name}\n{'=' * len(name)}\n\n{told}\n\n.. currentmodule:: mmkd_lab.{name}\n\n{table}"


def escape(app: Sphinx | None, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Docstrings are plain text with code in backticks: a bar, star or underscore is the letter itself."""
    if what == "data" and lines and "\n".join(lines).strip() == inspect.getdoc(type(obj)):
        lines.clear()  # a constant says nothing by what its type is
    literal = False
    for i, line in enumerate(lines):
        if line.strip() == "Example:":
            lines[i], literal = ".. rubric:: Example\n\n::\n", True
        elif not literal and line.strip():
            lines[i] = _plain_text(line)
    lines[:] = "\n".join(lines).split("\n")


def _plain_text(line: str) -> str:
    indent, text = re.fullmatch(r"(\s*(?:\* )?)(.*)", line).groups()  # type: ignore[union-attr]
    parts = re.split(r"(`[^`]*`)", text)
    for i in range(0, len(parts), 2):
        plain = re.sub(r"(?<!\\)([|*]|_(?=\W|$))", r"\\\1", parts[i])
        before = r"\ " if i and re.match(r"[^\s'\")\]}>/:.,;!?-]", plain) else ""
        after = r"\ " if i + 1 < len(parts) and re.search(r"[^\s'\"(\[{</:-]$", plain) else ""
        parts[i] = before + plain + after
    return indent + "".join(parts)


def defaults(
    app: Sphinx,
    what: str,
    name: str,
    obj: object,
    options: object,
    signature: str | None,
    returned: str | None,
) -> tuple[str | None, str | None]:
    """A field that is made anew has no default that Python could read."""
    return None if signature is None else signature.replace("<factory>", "..."), returned


def skip(app: Sphinx, what: str, name: str, obj: object, skipped: bool, options: object) -> bool | None:
    """What a library put into a class of ours is the library's to tell."""
    made = getattr(obj, "fget", obj)
    module = getattr(made, "__module__", None)
    foreign = callable(made) and isinstance(module, str) and not module.startswith("mmkd_lab")
    return True if foreign else None


def resolve(
    app: Sphinx, env: BuildEnvironment, node: nodes.Element, contnode: nodes.Element
) -> nodes.Element | None:
    """A name in an annotation or in backticks: the public symbol of that name, whatever its module."""
    if node.get("refdomain") != "py":
        return None
    found = _public(env).get(node["reftarget"].rstrip("()").rsplit(".", 1)[-1] if _plain(node) else "")
    if found is None:
        return None
    name, entry = found
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, name)


def _plain(node: nodes.Element) -> bool:
    """Whether the name is one of the lab's or stands by itself: `np.ndarray` is nobody's of ours."""
    target = node["reftarget"]
    owner = target.split(".")[0]
    return "." not in target or owner == "mmkd_lab" or owner in mmkd_lab.FLOORS or owner[:1].isupper()


def _public(env: BuildEnvironment) -> dict[str, tuple[str, Any]]:
    """{last name: (full name, where)} of what has that name alone; whole symbols come before members."""
    if not hasattr(env, "lab_names"):
        found: dict[str, list[tuple[str, Any]]] = {}
        for name, entry in env.domaindata["py"]["objects"].items():
            found.setdefault(name.rsplit(".", 1)[-1], []).append((name, entry))
        env.lab_names = {}
        for last, several in found.items():
            least = min(name.count(".") for name, _ in several)
            best = [one for one in several if one[0].count(".") == least]
            if len(best) == 1:
                env.lab_names[last] = best[0]
    names: dict[str, tuple[str, Any]] = env.lab_names
    return names


class Links(HTMLParser):
    """The addresses and the anchors of one page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what leads somewhere, and what may be led to."""
        given = dict(attrs)
        self.links += [link for name in ("href", "src") if (link := given.get(name))]
        self.anchors |= {name for one in ("id", "name") if (name := given.get(one))}


def check_links(app: Sphinx, error: Exception | None) -> None:
    """Every link within the site leads to a file that is there, and to a place in it."""
    if error is not None or app.builder.name != "html":
        return
    pages = {path: Links(path) for path in Path(app.outdir).rglob("*.html") if "_static" not in path.parts}
    for page, found in pages.items():
        for link in found.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            known = pages[path].anchors | {""} if path in pages else {parts.fragment}
            if not path.exists() or unquote(parts.fragment) not in known:
                logger.warning("%s: %s leads nowhere", page.relative_to(app.outdir), link)


def setup(app: Sphinx) -> None:
    """What is done before Sphinx looks for files, and while it reads them."""
    prepare(app)
    app.connect("autodoc-process-docstring", escape, priority=1)
    app.connect("autodoc-process-signature", defaults)
    app.connect("autodoc-skip-member", skip)
    app.connect("missing-reference", resolve)
    app.connect("build-finished", check_links)
