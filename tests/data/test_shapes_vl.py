"""shapes_vl: declared shares and Bayes accuracies, reached by an oracle that reads pixels and ids alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import numpy.typing as npt
import pytest
import torch

from mmkd_lab import data
from mmkd_lab.data.datasets import shapes_vl
from mmkd_lab.data.datasets.shapes_draw import COLOURS, LARGE, PLAIN, SHAPES, mask
from mmkd_lab.data.datasets.shapes_world import KINDS, MIXES, NEEDED, SUFFICES, VIEWS, Evidence
from mmkd_lab.data.paired import PairedData

Rows = npt.NDArray[np.int64]


def load(**parameters: object) -> PairedData:
    return data.load("shapes_vl", **{"n_train": 400, "n_val": 100, "n_test": 400, **parameters})


def evidence_of(found: PairedData, split: str) -> Rows:
    return found.facts["evidence"][found.splits[split]].numpy()


def seen_in(images: torch.Tensor, k: int) -> tuple[Rows, Rows]:
    """Shape and colour (k for white) of the large shape, from the pixels: the best fit of every outline."""
    size = images.shape[-1]
    picture = np.moveaxis((images.double().numpy() + 1) / 2, 1, -1)
    palette = COLOURS[[*range(k), PLAIN]]
    # How much better than the background each colour explains each pixel, summed over each outline.
    gain = ((picture - 0.5) ** 2).sum(-1)[..., None] - ((picture[..., None, :] - palette) ** 2).sum(-1)
    places = np.array(list(product(np.arange(4.0, size - 3, 0.5), repeat=2)))
    best = np.full((len(picture), k, k + 1), -np.inf)
    for shape, half in product(range(k), np.linspace(LARGE[0], LARGE[1], 4) * size):
        sides = np.full(len(places), half)
        outline = mask(SHAPES[shape], size, places[:, 0], places[:, 1], sides).reshape(len(places), -1)
        score = np.einsum(
            "pi,nic->npc", outline.astype(float), gain.reshape(len(gain), -1, k + 1), optimize=True
        ).max(axis=1)
        best[:, shape] = np.maximum(best[:, shape], score)
    flat = best.reshape(len(best), -1).argmax(axis=1)
    return flat // (k + 1), flat % (k + 1)


def heard_in(found: PairedData, rows: torch.Tensor) -> tuple[Rows, Rows]:
    """Turn and colour (K for none) from the words."""
    k, turns, colours = found.num_classes, [], []
    for i in rows.tolist():
        said = found.caption("text", i).split()
        turns.append(shapes_vl.TURNS.index(said[-1]))
        colours.append(next((c for c in range(k) if set(shapes_vl.COLOUR_WORDS[c]) & set(said)), k))
    return np.array(turns), np.array(colours)


def answers(view: str, k: int, shape: Rows, seen: Rows, turn: Rows, heard: Rows) -> Rows:
    """The Bayes answer of a view; where nothing is known, class 0."""
    image, text = view in ("image", "both"), view in ("text", "both")
    rest = (shape + turn) % k if view == "both" else np.zeros_like(shape)
    told = np.where((heard < k) & text, heard, rest)
    return np.where((seen < k) & image, seen, told)


@pytest.mark.parametrize(("mix", "k"), [("image_heavy", 2), ("synergistic", 4), ("redundant", 3)])
def test_an_oracle_that_reads_pixels_and_ids_reaches_the_declared_accuracy(mix: str, k: int) -> None:
    found = load(mix=mix, num_classes=k, n_test=600, n_train=50, n_val=50, image_noise=0.05)
    rows = found.splits["test"]
    shape, seen = seen_in(found.modalities["image"][rows], k)
    turn, heard = heard_in(found, rows)
    facts = {name: values[rows].numpy() for name, values in found.facts.items()}
    assert (shape == facts["shape"]).mean() > 0.99
    assert np.array_equal(seen, np.where(facts["image_colour"] < 0, k, facts["image_colour"]))
    assert np.array_equal(turn, facts["turn"])
    assert np.array_equal(heard, np.where(facts["text_colour"] < 0, k, facts["text_colour"]))
    label, kind = found.target[rows].numpy(), facts["evidence"]
    world = shapes_vl.declared(found)
    for view in VIEWS:
        right = answers(view, k, shape, seen, turn, heard) == label
        for number, name in enumerate(KINDS):
            if view in SUFFICES[name]:
                assert right[kind == number].mean() > 0.99, (view, name)
        # Binomial: chance decides at most the samples that the view does not suffice for.
        assert 100 * right.mean() == pytest.approx(world.bayes_accuracy(view), abs=100 * 3 * 0.5 / 600**0.5)


@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize("mix", list(MIXES))
def test_bayes_accuracy_and_information_by_enumeration(mix: str, k: int) -> None:
    """Every outcome of the generator with its probability: evidence kind, label, shape and turn."""
    world = replace(MIXES[mix], num_classes=k)
    outcomes = []
    for kind, share in world.shares.items():
        for label, shape, turn in product(range(k), repeat=3):
            ruled_out = kind == "synergy" and (shape + turn) % k != label
            p = 0.0 if ruled_out else share / (k**2 if kind == "synergy" else k**3)
            seen = label if kind in ("image", "redundant") else None
            heard = label if kind in ("text", "redundant") else None
            views = {"image": (seen, shape), "text": (heard, turn), "both": (seen, shape, heard, turn)}
            outcomes.append((p, label, views))
    assert sum(p for p, _, _ in outcomes) == pytest.approx(1.0)
    for view in VIEWS:
        table: dict[object, np.ndarray] = {}
        for p, label, views in outcomes:
            table.setdefault(views[view], np.zeros(k))[label] += p
        joint = np.array(list(table.values()))
        assert world.bayes_accuracy(view) == pytest.approx(100 * joint.max(axis=1).sum())
        ratio = joint / (joint.sum(axis=1, keepdims=True) * joint.sum(axis=0))
        bits = (joint[joint > 0] * np.log2(ratio[joint > 0])).sum()
        assert world.information(view) == pytest.approx(bits)


def test_the_named_mixes() -> None:
    found = {name: [round(mix.bayes_accuracy(view), 6) for view in VIEWS] for name, mix in MIXES.items()}
    assert found == {
        "image_heavy": [85.0, 65.0, 95.0],
        "text_heavy": [65.0, 85.0, 95.0],
        "redundant": [85.0, 85.0, 95.0],
        "synergistic": [60.0, 60.0, 95.0],
    }
    for kind in KINDS:
        both = {"image", "text"}
        needed = {
            name for name in both if "both" in SUFFICES[kind] and not set(SUFFICES[kind]) & (both - {name})
        }
        assert set(NEEDED[kind]) == needed


@pytest.mark.parametrize("n", [50, 101, 102, 103, 2000])
@pytest.mark.parametrize("mix", list(MIXES))
def test_counts_are_the_declared_shares(mix: str, n: int) -> None:
    counts = MIXES[mix].counts(n)
    assert sum(counts.values()) == n
    assert counts["synergy"] % 4 == 0
    for kind, share in MIXES[mix].shares.items():
        assert abs(counts[kind] - share * n) <= 3.0
    if n == 2000:
        assert counts == {kind: round(share * n) for kind, share in MIXES[mix].shares.items()}


@pytest.mark.parametrize("k", [2, 4])
def test_every_split_has_the_shares_and_balanced_classes(k: int) -> None:
    found = load(mix="synergistic", num_classes=k)
    world = shapes_vl.declared(found)
    for split, rows in found.splits.items():
        kinds = evidence_of(found, split)
        assert dict(zip(KINDS, np.bincount(kinds, minlength=5), strict=True)) == world.counts(len(rows))
        for number, name in enumerate(KINDS):
            counts = np.bincount(found.target[rows].numpy()[kinds == number], minlength=k)
            spread = 1 if name != "synergy" else 2 * np.sqrt(len(rows))
            assert counts.max() - counts.min() <= spread
            if name == "synergy" and k == 2:
                assert counts[0] == counts[1]


@pytest.mark.parametrize("k", [2, 3, 4])
def test_confounders_come_in_sets_whose_labels_flip(k: int) -> None:
    found = load(mix="synergistic", num_classes=k, image_noise=0.3)
    assert found.group is not None
    image, text = found.modalities["image"], found.modalities["text"]
    rows = torch.nonzero(found.facts["evidence"] == KINDS.index("synergy")).flatten()
    for members in (rows[found.group[rows] == one] for one in torch.unique(found.group[rows])):
        assert len(members) == 4
        same_image = same_text = 0
        for i, j in combinations(members.tolist(), 2):
            seen, heard = torch.equal(image[i], image[j]), torch.equal(text[i], text[j])
            assert seen == bool(found.sources["image"][i] == found.sources["image"][j])
            assert not (seen and heard)
            if seen or heard:
                assert found.target[i] != found.target[j]
            same_image, same_text = same_image + seen, same_text + heard
        assert (same_image, same_text) == (2, 2)


def test_whatever_looks_at_one_side_alone_is_right_on_half_of_the_confounders() -> None:
    """Exactly, for two classes: each picture and each caption occurs once with either label."""
    found = load(mix="synergistic")
    rows = found.facts["evidence"] == KINDS.index("synergy")
    for name in ("image", "text"):
        score = found.modalities[name][rows].flatten(1).double()
        weight = torch.randn(score.shape[1], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        guess = (score @ weight > (score @ weight).median()).long()
        assert (guess == found.target[rows]).double().mean() == 0.5


def test_single_view_classifiers_stay_below_and_near_their_bound() -> None:
    from sklearn.linear_model import LogisticRegression

    found = load(mix="text_heavy", num_classes=4, n_train=1000, n_test=2000, image_noise=0.0)
    size = len(shapes_vl.VOCABULARY)
    bags = torch.nn.functional.one_hot(found.modalities["text"], size).sum(dim=1).numpy()
    brightness = found.modalities["image"].flatten(2)
    # Colour histograms: a linear classifier of raw pixels cannot follow the shape around.
    image = torch.cat(
        [(brightness > level).double().mean(dim=2) for level in (-0.7, -0.3, 0.1, 0.5, 0.85)], 1
    )
    world = shapes_vl.declared(found)
    train, test = found.splits["train"], found.splits["test"]
    for view, x in (("image", image.numpy()), ("text", bags)):
        model = LogisticRegression(C=10, max_iter=300).fit(x[train], found.target[train])
        reached = 100 * model.score(x[test], found.target[test])
        assert world.bayes_accuracy(view) - 6 < reached < world.bayes_accuracy(view) + 3


def test_seeds_and_parameters_make_the_dataset() -> None:
    assert load().fingerprint == load().fingerprint
    assert data.load("shapes_vl").fingerprint == "f86bc719b5c848bd"
    others = [{"seed": 1}, {"mix": "redundant"}, {"image_noise": 0.0}, {"distractors": 0}, {"image": 0.4}]
    assert len({load(**change).fingerprint for change in [{}, *others]}) == 6
    assert load(image_size=32).shapes == {"image": (3, 32, 32), "text": (8,)}


def test_a_split_does_not_depend_on_the_size_of_another() -> None:
    """Of the labels, evidence and words of the training split; places and noise come from one stream."""
    one, other = load(), load(n_test=200)
    for values in ("evidence", "shape", "turn"):
        assert torch.equal(one.facts[values][:400], other.facts[values][:400])


def test_splits_share_no_picture_and_no_set() -> None:
    found = load(mix="synergistic")
    for one, other in combinations(found.splits, 2):
        for numbers in (found.sources["image"], found.sources["text"], found.group):
            assert numbers is not None
            here, there = (set(numbers[found.splits[split]].tolist()) for split in (one, other))
            assert not here & there
    pixels = {found.modalities["image"][i].numpy().tobytes() for i in range(len(found))}
    assert len(pixels) == len(torch.unique(found.sources["image"]))


def test_an_empty_picture_is_zero_and_captions_are_known_words() -> None:
    found = load(image_noise=0.0, distractors=0)
    assert (found.modalities["image"] == 0).all(dim=1).float().mean() > 0.6
    assert found.modalities["image"].abs().max() <= 1
    assert shapes_vl.VOCABULARY.unknown_share(found.modalities["text"].numpy()) == 0
    assert (found.modalities["text"][:, -1] > 0).any()
    assert (found.modalities["text"][:, -1] == 0).any()


def test_shares_may_be_given_one_by_one() -> None:
    only = load(image=0.0, text=0.0, redundant=0.0, synergy=1.0, n_train=400)
    assert set(only.facts["evidence"].tolist()) == {KINDS.index("synergy")}
    assert shapes_vl.declared(only) == Evidence(synergy=1.0)
    none = load(image=0.0, text=0.0, redundant=0.0, synergy=0.0)
    assert shapes_vl.declared(none).bayes_accuracy("both") == 50.0
    assert shapes_vl.declared(none).information("both") == pytest.approx(0.0)
