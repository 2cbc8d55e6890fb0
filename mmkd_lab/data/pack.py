"""`python -m mmkd_lab.data.pack NAME FOLDER FILE`: pack published files into the one that the lab reads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from mmkd_lab.core.atomic import write_with
from mmkd_lab.core.check import DamagedFile, LabError, one_of, require
from mmkd_lab.core.check import path as check_path
from mmkd_lab.data import manifest
from mmkd_lab.data.download import check_content

#: What can be packed: the module has a function `write(folder, target)`.
PACKED = {"mfeat": ".npz", "nlvr": ".zip"}


def pack(name: str, folder: str | Path, target: str | Path) -> Path:
    """Write the file of a dataset, .npz or .zip, from a folder of what its authors publish; verified, atomic.

    `name` is 'mfeat' (the six text files of UCI dataset 72) or 'nlvr' (a clone of lil-lab/nlvr). Raises
    `LabError` for a wrong argument, `DamagedFile` for a published file, or a result, that is not as stated.
    """
    one_of("name", name, list(PACKED))
    source, out = check_path("folder", folder), check_path("target", target)
    require(source.is_dir(), "folder", str(folder), "must be the folder of the published files")
    require(out.suffix == PACKED[name], "target", str(target), f"must end in {PACKED[name]}")
    write: Callable[[Path, Path], None] = import_module(f"mmkd_lab.data.datasets.{name}").write
    (file,) = manifest.collection(name).files

    def checked(partial: Path) -> None:
        write(source, partial)
        try:
            check_content(file, partial)
        except DamagedFile as error:
            again = "Get the published files again."
            raise DamagedFile(str(source), error.value, error.rule, again) from error

    return write_with(out, checked)


def main(arguments: Sequence[str]) -> int:
    """Pack and print the path; the exit status, 2 when it refuses."""
    try:
        rule = "usage: python -m mmkd_lab.data.pack NAME FOLDER FILE"
        require(len(arguments) == 3, "arguments", list(arguments), rule)
        print(pack(*arguments))
    except LabError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
