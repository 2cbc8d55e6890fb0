"""`data.from_folder`: paired data of a table whose columns name files."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from mmkd_lab.core.check import DamagedFile, flat, listing, of_type, path, reading, require, whole
from mmkd_lab.core.complaints import Complaints
from mmkd_lab.data.making.spectrogram import MelSpec
from mmkd_lab.data.own import media
from mmkd_lab.data.own.frame import Modalities, from_dataframe
from mmkd_lab.data.paired import PairedData

_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")


def from_folder(
    table: str | Path,
    *,
    label: str | Sequence[str] = "label",
    modalities: Modalities,
    split: object = None,
    group: str | None = None,
    id: str | None = None,
    size: tuple[int, int] = (32, 32),
    sound: MelSpec | None = None,
    **options: Any,  # noqa: ANN401 - the keywords of `from_arrays`
) -> PairedData:
    """Paired data of a table (csv, tsv, json lines, parquet) whose columns name files beside it.

    A column most of whose cells end as a kind of file does holds such files: pictures (.png, .jpg, ...),
    sounds (.wav; .flac, .ogg, .mp3 with the extra `sound`), texts (.txt), arrays (.npy). Any other column of
    text holds the texts themselves; lists of columns hold numbers.

    Args:
        table: the table, or the folder in which it is the only one; paths in it start from its folder, and
            may not leave it.
        label, modalities, split, group, id: columns, as in `from_dataframe`.
        size: (height, width) to which pictures are stretched; colours from 0 to 1.
        sound: how sounds become (1, mel, frames) log-mel; by default 40 bands and at most 64 frames.
        options: seed, name (by default the folder's), classes and the others of `from_arrays`.

    Raises one `LabError` that names everything that is wrong, a `DamagedFile` where all of it is of files.
    """
    file, wrong = _find(table), Complaints()
    with wrong:
        sides = [whole("size", side, at_least=8) for side in flat("size", size, "(height, width)")]
        require(len(sides) == 2, "size", size, "must be (height, width)")
    with wrong:
        of_type("sound", sound, (MelSpec, type(None)), "a MelSpec")
    wrong.tell()
    frame = _read_table(file, id)
    columns = modalities.values() if isinstance(modalities, Mapping) else ()
    for name in dict.fromkeys(one for one in columns if isinstance(one, str) and one in frame):
        kinds = frame[name].map(_kind).value_counts()
        if kinds.index[0] and kinds.iloc[0] > len(frame) / 2:
            cells, frame[name] = frame[name], 0.0
            with wrong:
                frame[name] = list(_read(cells, file.parent.resolve(), kinds.index[0], size, sound))
    parts = {"split": split, "group": group, "id": id, "name": file.parent.resolve().name or "folder"}
    with wrong:
        data = from_dataframe(frame, label=label, modalities=modalities, **{**parts, **options})
    wrong.tell()
    return data


def _find(where: object) -> Path:
    found = path("table", where)
    if found.is_dir():
        tables = sorted(one for one in found.iterdir() if one.suffix.lower() in _TABLES)
        rule = f"must hold one table ({listing(_TABLES)}), and holds {len(tables)}"
        require(len(tables) == 1, "table", str(found), rule, "Give the path of the one that is meant.")
        found = tables[0]
    require(found.suffix.lower() in _TABLES, "table", str(found), f"must end in {listing(_TABLES)}")
    if not found.is_file():
        raise DamagedFile(str(found), "missing", "must be there")
    return found


def _read_table(file: Path, id: str | None) -> pd.DataFrame:
    """The table as it stands: only an empty cell is missing, no text is taken for a date, and an id such as
    007 stays what it is."""
    kind, found = file.suffix.lower(), pd.DataFrame()
    way_out = "Save it as UTF-8, or read it by pandas, with its encoding, and use data.from_dataframe."
    with reading(
        file, "must be a table: as many cells in every row, an object in every line of JSON", way_out
    ):
        if kind == ".parquet":
            found = pd.read_parquet(file)
        elif kind in (".jsonl", ".ndjson"):
            lines = filter(str.strip, file.read_text(encoding="utf-8-sig").splitlines())
            found = pd.DataFrame(json.loads("[" + ",\n".join(lines) + "]"))
        else:
            content = file.read_text(encoding="utf-8-sig")
            separator = "\t" if kind == ".tsv" else max(",;\t", key=content.partition("\n")[0].count)
            form: dict[str, Any] = {"keep_default_na": False, "na_values": [""], "index_col": False}
            types = {} if id is None else {id: str}
            found = pd.read_csv(io.StringIO(content), sep=separator, dtype=types, **form)
            if id in found and all(str(one).isdecimal() and str(one)[0] != "0" for one in found[id]):
                found[id] = pd.to_numeric(found[id])
    if len(found) == 0:
        raise DamagedFile(str(file), "no rows", "must hold samples", way_out)
    return found


def _kind(cell: object) -> str:
    return media.KINDS.get(PurePosixPath(cell).suffix.lower(), "") if isinstance(cell, str) else ""


def _read(
    cells: pd.Series[Any], folder: Path, kind: str, size: tuple[int, int], sound: MelSpec | None
) -> Iterable[Any]:
    """What the files of a column hold, one row each; a file that is named twice is read once."""
    wrong, held, found = Complaints(), dict[Path, Any](), list[Any]()
    rate = media.RATE if sound is None else sound.rate
    for row, cell in enumerate(cells):
        with wrong:
            place, rule = f"column {cells.name!r}, row {row}", f"must name a file ({kind}), as most rows do"
            require(_kind(cell) == kind, place, cell, rule)
            file = (folder / cell).resolve()
            require(file.is_relative_to(folder), place, cell, f"must lie in {folder}, links followed")
            if not file.is_file():
                raise DamagedFile(str(file), "missing", f"is named by {place}")
            held[file] = held[file] if file in held else media.read(file, kind, size, rate)
            found.append(held[file])
    wrong.tell()
    if kind == "picture":
        planes = np.moveaxis(np.stack(found), 3, 1)
        return planes[:, :1] if (planes == planes[:, :1]).all() else planes  # grey in all of them
    return media.spectrograms(found, sound) if kind == "sound" else found
