"""Open Clip Art, from Debian's package `openclipart-svg`: pictures and titles, several keywords each.

    mmkd-lab run 06 -p dataset docs/pairs/clipart.py:clipart -p student image -p teacher text

The keywords are the labels, several a picture. SVG is drawn by `cairosvg`.
"""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import cairosvg
import numpy as np
from PIL import Image

from mmkd_lab import data

ROOT = Path("/usr/share/openclipart/svg")
DC, RDF = "{http://purl.org/dc/elements/1.1/}", "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"


class Clip(NamedTuple):
    """What a drawing says of itself."""

    path: Path
    title: str
    words: list[str]
    author: str


def clipart(root: str = str(ROOT), keywords: int = 12, most: int = 800, size: int = 32) -> data.PairedData:
    """Up to `most` pictures that have a title and one of the most common keywords; authors stay together."""
    clips = [clip for path in sorted(Path(root).rglob("*.svg")) if (clip := facts(path))]
    often = Counter(word for clip in clips for word in clip.words)
    common = {word for word, _ in often.most_common(keywords)}
    clips = [clip for clip in clips if common & set(clip.words)]
    order = np.random.default_rng(0).permutation(len(clips))
    seen = ((clips[i], pixels(clips[i].path, size)) for i in order)
    drawn = list(islice(((clip, picture) for clip, picture in seen if picture is not None), most))
    return data.from_arrays(
        {"image": np.stack([picture for _, picture in drawn]), "text": [clip.title for clip, _ in drawn]},
        [[word for word in clip.words if word in common] for clip, _ in drawn],
        group=[clip.author for clip, _ in drawn],
        ids=[str(clip.path.relative_to(root)) for clip, _ in drawn],
        name="clipart",
    )


def facts(path: Path) -> Clip | None:
    """What a drawing says, or None where it has no title or no keywords."""
    try:
        tree = ElementTree.parse(path)
    except ElementTree.ParseError:
        return None
    title = next(texts(tree, f"{DC}title"), "")
    words = {word.lower() for one in tree.iter(f"{DC}subject") for word in texts(one, f"{RDF}li")}
    author = next((name for one in tree.iter(f"{DC}creator") for name in texts(one, f"{DC}title")), str(path))
    return Clip(path, title, sorted(words), author) if title and words else None


def texts(under: ElementTree.ElementTree | ElementTree.Element, tag: str) -> Iterator[str]:
    """What stands in the elements of a tag."""
    return (text for one in under.iter(tag) if (text := (one.text or "").strip()))


def pixels(path: Path, size: int) -> np.ndarray | None:
    """(size, size, 3) uint8, on white; None for a picture that cannot be drawn."""
    try:
        drawn = cairosvg.svg2png(
            url=str(path), output_width=size, output_height=size, background_color="white"
        )
    except Exception:  # whatever a damaged drawing raises
        return None
    return np.asarray(Image.open(io.BytesIO(drawn)).convert("RGB"))
