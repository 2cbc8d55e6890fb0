"""shapes_vl: drawn shapes with captions, where it is declared which modality tells the label.

    data = data.load("shapes_vl", mix="synergistic")
    shapes_vl.declared(data).bayes_accuracy("image")   what an image-only network can reach at most
    data.facts["evidence"]                             the kind of evidence of every sample, by `KINDS`

The large shape's colour names a class, or is white; the caption's colour word names a class, or is plain.
Shape and turn word are in every sample, and decide the label, as (shape + turns) mod K, only where neither
names a class. Samples of that kind come in fours: two pictures by two captions, all four combinations. The
label of such a picture changes with the caption, and that of the caption with the picture, as with the benign
confounders of Hateful Memes (Kiela et al. 2020). `shapes_world` has the closed forms, `shapes_draw` the
pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import require
from mmkd_lab.core.seed import derive
from mmkd_lab.data.assemble import consecutive, paired
from mmkd_lab.data.datasets.recipes import ShapesVl
from mmkd_lab.data.datasets.shapes_draw import PLAIN, pictures
from mmkd_lab.data.datasets.shapes_world import KINDS, MIXES, NEEDED, SUFFICES, VIEWS, Evidence
from mmkd_lab.data.making.pairing import Rows, balanced_labels
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.text import Vocabulary

__all__ = ["KINDS", "MIXES", "NEEDED", "SUFFICES", "VIEWS", "VOCABULARY", "Evidence", "build", "declared"]

CLASSES = ("red", "green", "blue", "yellow")
#: Words that name a class, one row a class; the last row's name none.
COLOUR_WORDS = (
    ("red", "scarlet", "crimson"),
    ("green", "emerald", "olive"),
    ("blue", "azure", "navy"),
    ("yellow", "golden", "amber"),
    ("plain", "painted", "simple"),
)
#: Word t turns the class t steps on, in samples where neither colour tells it.
TURNS = ("never", "once", "twice", "thrice")
_OPENERS, _MOODS = ("a", "the", "one", "this"), ("", "", "little", "funny", "old")
_NOUNS, _TIMES = ("thing", "figure", "object"), ("", "", "seen today", "found again", "here")
#: The longest caption has eight words.
LENGTH = 8
_NAMED = tuple(word for row in COLOUR_WORDS for word in row)
_SAID = ("seen", "today", "found", "again", "here", "turned")
VOCABULARY = Vocabulary.of((*_OPENERS, *_MOODS[2:], *_NAMED, *_NOUNS, *_SAID, *TURNS))


@dataclass(frozen=True, eq=False)
class _Samples:
    """Columns of n samples: what they mean, and which picture, caption and confounder set they belong to."""

    kind: Rows
    label: Rows
    shape: Rows
    turn: Rows
    picture: Rows
    caption: Rows
    group: Rows


def build(recipe: ShapesVl) -> PairedData:
    """The dataset. Use `data.load("shapes_vl", ...)`.

    image: (N, 3, size, size) from -1 to 1 before the noise, 0 the background. text: (N, 8) ids.
    Every split has the declared shares, to within the two samples that sets of four may cost, and classes in
    equal shares within each kind. group: the confounder set, or the sample where there is none. sources:
    which picture and which caption; equal numbers are equal values. facts: 'evidence' (by `KINDS`), 'shape',
    'turn', 'image_colour' and 'text_colour' (a class, or -1 for none).

    Raises `LabError` when the shares exceed 1 in all.
    """
    world, seed = _world(recipe), recipe.seed
    splits = consecutive([recipe.n_train, recipe.n_val, recipe.n_test])
    whole = _joined([_samples(world, len(rows), split, seed) for split, rows in splits.items()])
    return paired(
        "shapes_vl",
        modalities={
            "image": _pictures(whole, recipe),
            "text": VOCABULARY.encode(_captions(whole, seed), length=LENGTH),
        },
        target=whole.label,
        splits=splits,
        classes=CLASSES[: recipe.num_classes],
        group=whole.group,
        sources={"image": whole.picture, "text": whole.caption},
        recipe={**asdict(recipe), **asdict(world)},
        vocabularies={"text": VOCABULARY},
        facts=_facts(whole),
    )


def _world(recipe: ShapesVl) -> Evidence:
    """The named mix, with the shares that are given in place of its own."""
    given = {name: getattr(recipe, name) for name in KINDS[:4]}
    shares = {name: share for name, share in given.items() if share is not None}
    return replace(MIXES[recipe.mix], **shares, num_classes=recipe.num_classes)


def declared(data: PairedData) -> Evidence:
    """The evidence that a dataset of this kind declares: shares, Bayes accuracies, information.

    Raises `LabError` for another dataset.
    """
    require(data.name == "shapes_vl", "data", data.name, "must be a dataset 'shapes_vl'")
    given: Mapping[str, object] = data.recipe
    return Evidence(**{name: given[name] for name in Evidence.__dataclass_fields__})  # type: ignore[arg-type]


def _samples(world: Evidence, n: int, split: str, seed: int) -> _Samples:
    """n samples in random order; pictures, captions and sets are numbered from 0 within the split."""
    rng = np.random.default_rng(derive(seed, "shapes_vl", "samples", split))
    k, counts = world.num_classes, world.counts(n)
    kinds = [kind for kind in KINDS if kind != "synergy"]
    kind = np.repeat([KINDS.index(name) for name in kinds], [counts[name] for name in kinds]).astype(np.int64)
    label = np.concatenate([balanced_labels(counts[name], k, rng) for name in kinds])
    shape, turn = rng.integers(0, k, (2, len(kind)))
    own = np.arange(len(kind), dtype=np.int64)
    alone = _Samples(kind, label, shape, turn, own, own, own)
    found = _joined([alone, _confounders(counts["synergy"] // 4, k, rng)])
    order = rng.permutation(n)
    return _Samples(**{name: getattr(found, name)[order] for name in _Samples.__dataclass_fields__})


def _confounders(sets: int, k: int, rng: np.random.Generator) -> _Samples:
    """Sets of two pictures by two captions. Neither shape nor turn says anything of the label."""
    first = balanced_labels(sets, k, rng)
    shape = rng.integers(0, k, sets)
    turn = (first - shape) % k
    shapes = np.stack([shape, (shape + rng.integers(1, k, sets)) % k], axis=1)
    turns = np.stack([turn, (turn + rng.integers(1, k, sets)) % k], axis=1)
    number = np.arange(sets, dtype=np.int64)[:, None]
    which_picture, which_caption = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    seen, heard = shapes[:, which_picture], turns[:, which_caption]
    columns = {
        "kind": np.full((sets, 4), KINDS.index("synergy"), dtype=np.int64),
        "label": (seen + heard) % k,
        "shape": seen,
        "turn": heard,
        "picture": 2 * number + which_picture,
        "caption": 2 * number + which_caption,
        "group": np.broadcast_to(number, (sets, 4)),
    }
    return _Samples(**{name: values.reshape(-1) for name, values in columns.items()})


def _joined(parts: list[_Samples]) -> _Samples:
    """One after the other; pictures, captions and sets get numbers that no other part has."""
    numbered = []
    ends = {"picture": 0, "caption": 0, "group": 0}
    for part in parts:
        numbered.append(replace(part, **{name: getattr(part, name) + end for name, end in ends.items()}))
        ends = {name: end + int(getattr(part, name).max(initial=-1)) + 1 for name, end in ends.items()}
    return _Samples(
        **{
            name: np.concatenate([getattr(part, name) for part in numbered])
            for name in _Samples.__dataclass_fields__
        }
    )


def _facts(found: _Samples) -> dict[str, Rows]:
    seen = np.isin(found.kind, [KINDS.index("image"), KINDS.index("redundant")])
    heard = np.isin(found.kind, [KINDS.index("text"), KINDS.index("redundant")])
    return {
        "evidence": found.kind,
        "shape": found.shape,
        "turn": found.turn,
        "image_colour": np.where(seen, found.label, -1),
        "text_colour": np.where(heard, found.label, -1),
    }


def _pictures(found: _Samples, recipe: ShapesVl) -> npt.NDArray[np.float32]:
    """One drawing a picture number, so that a confounder shows the very same pixels."""
    rng = np.random.default_rng(derive(recipe.seed, "shapes_vl", "pictures"))
    _, first = np.unique(found.picture, return_index=True)
    colour = _facts(found)["image_colour"][first]
    drawn = pictures(
        found.shape[first],
        np.where(colour < 0, PLAIN, colour),
        size=recipe.image_size,
        noise=recipe.image_noise,
        distractors=recipe.distractors,
        rng=rng,
    )
    return drawn[found.picture]


def _captions(found: _Samples, seed: int) -> list[str]:
    """One caption a caption number, repeated wherever it is used."""
    rng = np.random.default_rng(derive(seed, "shapes_vl", "captions"))
    _, first = np.unique(found.caption, return_index=True)
    colour = _facts(found)["text_colour"][first]
    parts = [
        _choice(_OPENERS, len(first), rng),
        _choice(_MOODS, len(first), rng),
        np.array(COLOUR_WORDS)[np.where(colour < 0, PLAIN, colour), rng.integers(0, 3, len(first))],
        _choice(_NOUNS, len(first), rng),
        _choice(_TIMES, len(first), rng),
        np.full(len(first), "turned"),
        np.array(TURNS)[found.turn[first]],
    ]
    said = [" ".join(filter(None, words)) for words in zip(*parts, strict=True)]
    return [said[i] for i in found.caption.tolist()]


def _choice(options: tuple[str, ...], n: int, rng: np.random.Generator) -> npt.NDArray[np.str_]:
    return np.array(options)[rng.integers(0, len(options), n)]
