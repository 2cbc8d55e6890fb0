"""`data.from_dataset`: paired data of a torch Dataset, whose samples stay there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmkd_lab.core.check import LabError, flat, listing, one_of, require, whole
from mmkd_lab.data.items import Items, Key, Wanted, items_of, length_of, look
from mmkd_lab.data.on_demand import OnDemand
from mmkd_lab.data.own.arrays import from_arrays
from mmkd_lab.data.paired import PairedData

_LABELS = ("label", "labels", "target", "y")


def from_dataset(
    dataset: Any,  # noqa: ANN401 - of torch, of the datasets library, of yours
    *,
    modalities: Sequence[str] | Mapping[str, Key] | None = None,
    label: object = None,
    split: object = None,
    group: object = None,
    ids: object = None,
    seed: int = 0,
    name: str = "my_data",
    classes: object = None,
    tokens: Sequence[str] = (),
    workers: int = 0,
) -> PairedData:
    """Paired data of any map-style Dataset: torch's, Hugging Face's, a list of dicts, or one of yours.

    Numbers and pictures stay in it and are read as they are needed; texts, token ids and labels are held.
    Every sample is read once here, to check it and for the fingerprint, and must be the same whenever it is
    read: what is random is an `augment` of a study or of `fit`.

    Args:
        dataset: gives a dict or a tuple for every i below its length; or {'train': Dataset, 'test': Dataset}.
            Pictures of bytes (uint8, Pillow's) are (C, H, W) and from 0 to 1 in a batch.
        modalities: of tuples, names for what comes in order, the label then being the last; of dicts, those
            of its keys that are modalities, by default all that are nothing else; or {modality: its key}.
        label: the key, or place in a tuple, of the label; or N labels. By default that of 'label', 'labels',
            'target' and 'y' which is there.
        split, group, ids: the key or place of what `from_arrays` takes under these names, or that itself.
        seed, name, classes: see `from_arrays`.
        tokens: modalities that are token ids (L,) of a network of yours.
        workers: processes of torch's DataLoader that read ahead; 0 reads when a batch is wanted.

    Raises `LabError` for an iterable-style Dataset, one that fails on a sample (named), samples of changing
    keys, shapes or types, one that is another each time it is read, and what `from_arrays` refuses.
    """
    whole("workers", workers, at_least=0)
    if isinstance(dataset, Mapping):
        dataset, split = _joined(dataset, split)
    n = length_of(dataset)
    ((_, first),) = items_of(dataset, [0])
    given = {"label": label, "split": split, "group": group, "ids": ids}
    keys: dict[str, Key] = {
        what: value  # type: ignore[misc] # which is a key
        for what, value in given.items()
        if _is_key(value, what, first, n)
    }
    if label is None:
        keys["label"] = _label(first, modalities)
    named = _modalities(modalities, first, keys)
    for one in flat("tokens", tokens, "a list of modalities"):
        one_of("tokens", one, list(named))
    seen = look(dataset, Wanted(named, frozenset(tokens), keys), workers=workers)
    source = Items(dataset, named, seen.forms, seen.digests, workers)
    values: dict[str, object] = {one: OnDemand(source, one) for one in seen.forms}
    values |= seen.texts
    told: dict[str, Any] = {**given, **seen.beside}
    how: dict[str, Any] = {"seed": seed, "name": name, "classes": classes, "tokens": tokens}
    return from_arrays({one: values[one] for one in named}, told.pop("label"), **told, **how)


def _joined(several: Mapping[Any, Any], split: object) -> tuple[Any, list[str]]:
    """{split: Dataset} as one Dataset, and the split of each of its samples."""
    from torch.utils.data import ConcatDataset

    require(split is None, "split", split, "must be left out: the Datasets are given by split")
    require(len(several) > 0, "dataset", several, "must hold at least one Dataset")
    sizes = {name: length_of(one) for name, one in several.items()}
    return ConcatDataset(list(several.values())), [str(one) for one, n in sizes.items() for _ in range(n)]


def _is_key(value: object, what: str, item: Mapping[Key, Any], n: int) -> bool:
    """Whether something names a part of each item, rather than being one value per sample."""
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        return False
    rule = f"must be one of {listing(list(item))}, in every sample, or one value per sample ({n})"
    require(value in item, what, value, rule)
    return True


def _label(item: Mapping[Key, Any], modalities: object) -> Key:
    """Where the label is, when nobody says: the last of a tuple, or under one of the usual names."""
    keys = list(item)
    if all(isinstance(key, int) for key in keys):
        fits = isinstance(modalities, Mapping) or len(keys) == len(list(modalities or ())) + 1  # type: ignore[call-overload]
        rule = f"must name all of a sample's {len(keys)} parts but the last, which is the label"
        require(fits, "modalities", modalities, rule, "For example modalities=('image', 'text').")
        return keys[-1]
    found = [key for key in keys if key in _LABELS and key not in list(modalities or ())]  # type: ignore[call-overload]
    rule = f"must be one of {listing(keys)}, or one label per sample"
    require(len(found) == 1, "label", found if found else None, rule, "Say which it is: label='...'.")
    return found[0]


def _modalities(given: object, item: Mapping[Key, Any], keys: Mapping[str, Key]) -> dict[str, Key]:
    """{modality: key}."""
    places = [key for key in item if key not in keys.values()]
    if isinstance(given, Mapping):
        named = dict(given)
    elif given is None and all(isinstance(key, str) for key in item):
        named = {str(key): key for key in places}
    else:
        what = "names of modalities, or {modality: key}"
        listed = [str(one) for one in flat("modalities", given, what, "For example ('image', 'text').")]
        numbered = isinstance(next(iter(item)), int)
        fits = not numbered or len(listed) == len(places)
        require(fits, "modalities", listed, f"must name {len(places)} parts of a sample, one each")
        named = dict(zip(listed, places, strict=True)) if numbered else {one: one for one in listed}
    for one, key in named.items():
        if key not in item:
            raise LabError("modalities", one, f"must be among {listing(list(item))}, in every sample")
    require(len(named) > 0, "modalities", list(item), "must leave a modality beside the label")
    return named
