"""The command line: `mmkd-lab list | run | sweep | data | doctor`."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmkd_lab import __version__
from mmkd_lab.core.check import LabError

if TYPE_CHECKING:
    from mmkd_lab.cli.library import Notebook
    from mmkd_lab.cli.record import Run
    from mmkd_lab.data import Entry

DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130

#: What argparse takes for a value rather than an option: its own pattern knows neither -1e-3 nor -1,2.
_NEGATIVE = re.compile(r"-[\d.]")

_RUN_EXAMPLES = """\
examples:
  mmkd-lab run                            every notebook, in order
  mmkd-lab run 00 01                      two of them, by the beginning of their names
  mmkd-lab run 01 -p seeds 10 -p dataset av_mnist
  mmkd-lab run --profile full --jobs 2    two at once, each with half of the threads

`mmkd-lab list` shows every parameter with its type. Lists are written 1,2,3 and None is written None.
Exit status: 0 when every notebook is done, 1 when one failed, 2 for wrong input.
"""

_SWEEP_EXAMPLES = """\
examples:
  mmkd-lab sweep 01 -p student image,speech -p seeds 5,10        four combinations
  mmkd-lab sweep 04 -p arms "no_kd,kd;no_kd,msd_instance"        values that are lists: between semicolons
  mmkd-lab sweep 01 -p dataset emoji,my_data.py:load --jobs 2    two at once

What is done is not run again: give the same command to go on after an interruption. The page is
DIR/sweep_NOTEBOOK/index.html, the table of all results sweep.csv beside it.
Exit status: 0 when every combination is done, 1 when one failed, 2 for wrong input.
"""

_DATA_EXAMPLES = """\
examples:
  mmkd-lab data list                          what there is, its licence and parameters
  mmkd-lab data get av_mnist                  download with checksums
  mmkd-lab data get av_mnist --mirror DIR     take the files from a folder instead
  mmkd-lab data verify av_mnist               check what is here
  mmkd-lab data where av_mnist                print where its files are
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 failed, 2 wrong input, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):  # an ASCII terminal shows ? for what it cannot show
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    options = _parser().parse_args(arguments)
    try:
        status: int = options.act(options)
        sys.stdout.flush()
        return status
    except LabError as error:
        print(f"mmkd-lab: {' '.join(str(error).split())}", file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        print("mmkd-lab: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `mmkd-lab list | head`
        sys.stderr.close()
        return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mmkd-lab",
        description="The laboratory for multimodal knowledge distillation.",
        epilog="`mmkd-lab COMMAND --help` tells more about a command.",
    )
    parser.add_argument("--version", action="version", version=f"mmkd-lab {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_list(commands)
    _add_run(commands)
    _add_sweep(commands)
    _add_data(commands)
    _add_doctor(commands)
    return parser


_Commands = argparse._SubParsersAction  # argparse has no public name for it


def _add(
    commands: _Commands[argparse.ArgumentParser], name: str, text: str, examples: str = ""
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=text,
        description=text,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_list(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _add(commands, "list", "Show the notebooks and their parameters.")
    _add_notebooks(parser)
    parser.set_defaults(act=_list)


def _add_run(commands: _Commands[argparse.ArgumentParser]) -> None:
    text = "Run notebooks headless and write one page with all they found."
    parser = _add(commands, "run", text, _RUN_EXAMPLES)
    parser.add_argument(
        "names", nargs="*", metavar="NOTEBOOK", help="a name or the beginning of one; default: all"
    )
    _add_running(parser, "VALUE", "set a parameter of the notebooks; may be repeated")
    parser.set_defaults(act=_run)


def _add_sweep(commands: _Commands[argparse.ArgumentParser]) -> None:
    text = "Run one notebook with every combination of parameters, and compare what came out."
    parser = _add(commands, "sweep", text, _SWEEP_EXAMPLES)
    parser.add_argument("name", metavar="NOTEBOOK", help="a name or the beginning of one")
    _add_running(parser, "VALUES", "the values a parameter takes, a,b,c; may be repeated")
    parser.set_defaults(act=_sweep)


def _add_running(parser: argparse.ArgumentParser, values: str, text: str) -> None:
    parser.add_argument(
        "-p", dest="parameters", nargs=2, action="append", default=[], metavar=("NAME", values), help=text
    )
    parser._negative_number_matcher = _NEGATIVE
    parser.add_argument(
        "--profile", choices=("quick", "full"), help="size of the experiments; default: the notebook's"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="how many run at once; default: 1")
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), metavar="DIR", help="folder for runs; default: runs"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument(
        "--sanitize", action="store_true", help="take scripts and the like out of the pages of notebooks"
    )
    _add_notebooks(parser)


def _add_notebooks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--notebooks", type=Path, metavar="DIR", help="another folder of notebooks than the lab's own"
    )


def _add_data(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _add(commands, "data", "Show, download, check and find datasets.", _DATA_EXAMPLES)
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add(actions, "list", "Show the datasets and the parameters of mmkd_lab.data.load.").set_defaults(
        act=_data_list
    )
    for name, act, text in (
        ("get", _data_get, "Download a dataset, with checksums."),
        ("verify", _data_verify, "Check the files of a dataset."),
        ("where", _data_where, "Print where the files of a dataset are, or would be."),
    ):
        action = _add(actions, name, text)
        action.add_argument("name", metavar="NAME", help="a dataset of `mmkd-lab data list`")
        action.add_argument(
            "--mirror", type=Path, metavar="DIR",
            help="a folder with the files as they are published; default: MMKD_LAB_MIRROR if set",
        )  # fmt: skip
        action.set_defaults(act=act)


def _add_doctor(commands: _Commands[argparse.ArgumentParser]) -> None:
    text = "Show versions, devices, threads, memory and data; what is missing and how to get it."
    _add(commands, "doctor", text).set_defaults(act=_doctor)


def _list(options: argparse.Namespace) -> int:
    from mmkd_lab.cli.library import discover

    print("\n\n".join(_described(notebook) for notebook in discover(options.notebooks)))
    return DONE


def _described(notebook: Notebook) -> str:
    parameters = [(f"{one.name}: {one.kind} = {one.default!r}", one.help) for one in notebook.parameters]
    return "\n".join([f"{notebook.name}  {notebook.title}", *_columns(parameters)])


def _columns(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Indented lines whose second parts stand under each other."""
    width = max((len(left) for left, _ in pairs), default=0)
    return [f"    {left:<{width}}  {right}".rstrip() for left, right in pairs]


def _run(options: argparse.Namespace) -> int:
    from mmkd_lab.cli.notebooks import run

    return _report(run(options.names, parameters=_given(options), **_running(options)))


def _sweep(options: argparse.Namespace) -> int:
    from mmkd_lab.cli.grid import sweep

    return _report(sweep(options.name, _given(options), **_running(options)))


def _given(options: argparse.Namespace) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for name, value in options.parameters:
        if name in parameters:
            raise LabError("-p", f"{name} {value}", "a parameter may be given only once")
        parameters[name] = value
    return parameters


def _running(options: argparse.Namespace) -> dict[str, Any]:
    names = ("profile", "jobs", "out", "notebooks", "sanitize")
    given = {name: getattr(options, name) for name in names}
    return {**given, "progress": not options.quiet, "as_text": True}


def _report(run: Run) -> int:
    for outcome in (one for one in run.outcomes if one.state == "failed"):
        print(f"mmkd-lab: {outcome.label} failed: {' '.join(str(outcome.failure).split())}", file=sys.stderr)
    print(run.folder / "index.html")
    return DONE if run.ok else FAILED


def _data_list(_: argparse.Namespace) -> int:
    from mmkd_lab.data import catalogue

    print("\n\n".join(_dataset(entry) for entry in catalogue()))
    return DONE


def _dataset(entry: Entry) -> str:
    source = f"mmkd-lab data get {entry.name}" if entry.files else "ready to use"
    head = f"{entry.name}  ({' + '.join(entry.modalities)}; {source})"
    parameters = [(f"{one.name} = {one.default!r}", one.help) for one in entry.parameters]
    return "\n".join([head, f"    {entry.summary}", f"    {entry.licence}", *_columns(parameters)])


def _data_get(options: argparse.Namespace) -> int:
    from mmkd_lab.data import get

    return _paths(get(options.name, mirror=options.mirror))


def _data_verify(options: argparse.Namespace) -> int:
    from mmkd_lab.data import verify

    return _paths(verify(options.name, mirror=options.mirror))


def _data_where(options: argparse.Namespace) -> int:
    from mmkd_lab.data import where

    for place in where(options.name, mirror=options.mirror):
        print(place.path if place.exists else f"{place.path}  (missing)")
    return DONE


def _paths(paths: Sequence[Path]) -> int:
    for path in paths:
        print(path)
    return DONE


def _doctor(_: argparse.Namespace) -> int:
    from mmkd_lab.cli.doctor import MISSING, examine

    findings = examine()
    for finding in findings:
        print(finding)
    return FAILED if any(finding.state == MISSING for finding in findings) else DONE
