"""`mmkd-lab data`: show, fetch, check and find datasets."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmkd_lab.core.check import LabError

DONE, FAILED = 0, 1

EXAMPLES = """\
examples:
  mmkd-lab data list                          what there is, its licence and parameters
  mmkd-lab data get av_mnist                  download with checksums
  mmkd-lab data get av_mnist --mirror DIR     take the files from a folder instead
  mmkd-lab data verify av_mnist               check what is here
  mmkd-lab data where av_mnist                print where its files are
  mmkd-lab data verify vggsound --full        read every item of a published set, not fifty
"""


def options_of(action: str, parser: argparse.ArgumentParser) -> None:
    """What an action is told."""
    if action == "list":
        return
    parser.add_argument("name", metavar="NAME", help="a dataset of `mmkd-lab data list`")
    text = "a folder with the files as they are published; default: MMKD_LAB_MIRROR if set"
    parser.add_argument("--mirror", type=Path, metavar="DIR", help=text)
    if action == "get":
        text = "agree to size and licence of a published data set without being asked"
        parser.add_argument("--yes", action="store_true", help=text)
    if action == "verify":
        text = "read every item of a published data set; default: 50 of each kind"
        parser.add_argument("--full", action="store_true", help=text)
        text = "processes that read; default: 0, this one alone"
        parser.add_argument("--jobs", type=int, default=0, metavar="N", help=text)


def columns(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Indented lines whose second parts stand under each other."""
    width = max((len(left) for left, _ in pairs), default=0)
    return [f"    {left:<{width}}  {right}".rstrip() for left, right in pairs]


def _list(_: argparse.Namespace) -> int:
    from mmkd_lab.data import catalogue

    blocks = []
    for entry in catalogue():
        source = "ready to use" if entry.ready else f"mmkd-lab data get {entry.name}"
        head = f"{entry.name}  ({' + '.join(entry.modalities) or 'from outside'}; {source})"
        try:
            parameters = [(f"{one.name} = {one.default!r}", one.help) for one in entry.parameters]
        except LabError as error:  # a package that cannot be imported
            parameters = [(str(error), "")]
        lines = [head, f"    {entry.summary}", f"    {entry.licence}", *columns(parameters)]
        blocks.append("\n".join(lines))
    print("\n\n".join(blocks))
    return DONE


def _is_published(name: str) -> bool:
    from mmkd_lab.data import DATASETS

    return name in DATASETS and DATASETS[name].published


def _where(options: argparse.Namespace) -> int:
    from mmkd_lab.data import where

    for place in where(options.name, mirror=options.mirror):
        print(f"{place.path}{'' if place.exists else '  (missing)'}")
    return DONE


def _get(options: argparse.Namespace) -> int:
    """Fetch a dataset; of a published one nobody may fetch, say how to get it."""
    if not _is_published(options.name):
        from mmkd_lab import data

        print("\n".join(map(str, data.get(options.name, mirror=options.mirror))))
        return DONE
    from mmkd_lab.data.published.get import get, told
    from mmkd_lab.data.published.publication import publication

    known = publication(options.name)
    print(told(known))
    if not known.downloads:
        print(f"\nIt cannot be downloaded by a program. {known.how}")
        return FAILED

    def agreed() -> bool:
        if options.yes:
            return True
        try:
            return input("Fetch it? [y/N] ").strip().lower() in ("y", "yes")
        except EOFError:
            return False

    paths = get(known, agreed=agreed, mirror=options.mirror)
    print("\n".join([*map(str, paths), known.how]).rstrip())
    return DONE


def _verify(options: argparse.Namespace) -> int:
    """Look at the files of a dataset; FAILED where something stops a run."""
    from mmkd_lab import data

    if not _is_published(options.name):
        print("\n".join(map(str, data.verify(options.name, mirror=options.mirror))))
        return DONE
    from mmkd_lab.data.published.publication import publication
    from mmkd_lab.data.published.verify import verify

    recipe, stopped = data.DATASETS[options.name].recipe, False
    assert recipe is not None
    given = recipe(jobs=options.jobs)
    for one in verify(publication(options.name), given, mirror=options.mirror, full=options.full):
        print(f"{one.state:<6}{one.subject:<12}{one.text}", flush=True)
        stopped |= one.state == "stop"
    return FAILED if stopped else DONE


#: Each action, what does it, and what it is for.
ACTIONS = (
    ("list", _list, "Show the datasets and the parameters of mmkd_lab.data.load."),
    ("get", _get, "Download a dataset, with checksums."),
    ("verify", _verify, "Check the files of a dataset."),
    ("where", _where, "Print where the files of a dataset are, or would be."),
)
