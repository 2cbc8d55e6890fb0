"""The command line: `mmkd-lab list | run | sweep | diagnose | data | atlas | doctor`."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmkd_lab import __version__
from mmkd_lab.cli import datasets
from mmkd_lab.core.check import LabError, require
from mmkd_lab.core.places import FIXTURE_VARIABLE

if TYPE_CHECKING:
    from mmkd_lab.cli.record import Run

DONE, FAILED, WRONG_INPUT, INTERRUPTED = datasets.DONE, datasets.FAILED, 2, 130

#: What argparse takes for a value rather than an option: its own pattern knows neither -1e-3 nor -1,2.
_NEGATIVE = re.compile(r"-[\d.]")

_RUN = """\
examples:
  mmkd-lab run                            every notebook, in order
  mmkd-lab run 00 01                      two of them, by the beginning of their names
  mmkd-lab run 01 -p seeds 10 -p dataset av_mnist
  mmkd-lab run --profile full --jobs 2    two at once, each with half of the threads

`mmkd-lab list` shows every parameter with its type. Lists are written 1,2,3 and None is written None.
Exit status: 0 when every notebook is done, 1 when one failed, 2 for wrong input.
"""

_SWEEP = """\
examples:
  mmkd-lab sweep 01 -p student image,speech -p seeds 5,10        four combinations
  mmkd-lab sweep 04 -p arms "no_kd,kd;no_kd,msd_instance"        values that are lists: between semicolons
  mmkd-lab sweep 01 -p dataset emoji,my_data.py:load --jobs 2    two at once

What is done is not run again: give the same command to go on after an interruption. The page is
DIR/sweep_NOTEBOOK/index.html, the table of all results sweep.csv beside it.
Exit status: 0 when every combination is done, 1 when one failed, 2 for wrong input.
"""

_DIAGNOSE = """\
a file of settings, in TOML; paths are relative to it:
  data = "av_digits"                     # or "my_data.py:load"
  student = "speech"
  teacher = "image"
  teacher_model = "nets.py:teacher"      # a function, a module, or a table of answers
  budget = "5 min"
  [parameters]                           # of the dataset
  speech_snr_db = -10

Written are DIR/NAME.html, the page, and the study beside it. The same command goes on where time ran out.
"""

_ATLAS = """\
examples:
  mmkd-lab atlas                                                  write atlas.html
  mmkd-lab atlas --add av_digits --student speech                 train the arms of a pair, and add it
  mmkd-lab atlas --add my_data.py:load --student b --teacher a

What you add is kept in a file of your own; the atlas that comes with the lab is never written.
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
    listing = _add(commands, "list", _list, "Show the notebooks and their parameters.")
    text = "Run notebooks headless and write one page with all they found."
    running = _add(commands, "run", _run, text, _RUN)
    name = "a name or the beginning of one"
    running.add_argument("names", nargs="*", metavar="NOTEBOOK", help=f"{name}; default: all")
    _add_running(running, "VALUE", "set a parameter of the notebooks; may be repeated")
    text = "Run one notebook with every combination of parameters, and compare what came out."
    sweeping = _add(commands, "sweep", _sweep, text, _SWEEP)
    sweeping.add_argument("name", metavar="NOTEBOOK", help=name)
    _add_running(sweeping, "VALUES", "the values a parameter takes, a,b,c; may be repeated")
    text = "another folder of notebooks than the lab's own"
    for one in (listing, running, sweeping):
        one.add_argument("--notebooks", type=Path, metavar="DIR", help=text)
    text = "Say what one pair of modalities tells and shares, and what to do: one page."
    diagnosing = _add(commands, "diagnose", _diagnose, text, _DIAGNOSE)
    diagnosing.add_argument("config", type=Path, metavar="CONFIG", help="a TOML file of settings")
    diagnosing.add_argument("--budget", metavar="TIME", help="such as '30 s' or '5 min'; default: the file's")
    text = "folder for the page; default: runs/diagnosis"
    diagnosing.add_argument("--out", type=Path, default=Path("runs/diagnosis"), metavar="DIR", help=text)
    diagnosing.add_argument("--quiet", action="store_true", help="show no progress")
    data = _add(commands, "data", None, "Show, download, check and find datasets.", datasets.EXAMPLES)
    actions = data.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, act, text in datasets.ACTIONS:
        datasets.options_of(name, _add(actions, name, act, text))
    text = "Write a page to browse the atlas of crossmodal distillation; add a pair of yours."
    browsing = _add(commands, "atlas", _atlas, text, _ATLAS)
    text = "the page; default: atlas.html"
    browsing.add_argument("--out", type=Path, default=Path("atlas.html"), metavar="FILE", help=text)
    text = "a dataset of `mmkd-lab data list`, or path/to/file.py:function"
    browsing.add_argument("--add", metavar="NAME", help=text)
    browsing.add_argument("--student", metavar="MODALITY", help="what the student sees")
    text = "what the teacher sees; may be left out where there are two modalities"
    browsing.add_argument("--teacher", metavar="MODALITY", help=text)
    text = "Show versions, devices, threads, memory and data; what is missing and how to get it."
    _add(commands, "doctor", _doctor, text)
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],  # argparse has no public name for it
    name: str,
    act: Callable[[argparse.Namespace], int] | None,
    text: str,
    examples: str = "",
) -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(name, help=text, description=text, epilog=examples, formatter_class=form)
    parser.set_defaults(act=act)
    return parser


def _add_running(parser: argparse.ArgumentParser, values: str, text: str) -> None:
    pair = {"nargs": 2, "action": "append", "default": [], "metavar": ("NAME", values)}
    parser.add_argument("-p", dest="parameters", help=text, **pair)  # type: ignore[arg-type]
    parser._negative_number_matcher = _NEGATIVE
    text = "size of the experiments; default: the notebook's"
    parser.add_argument("--profile", choices=("quick", "full"), help=text)
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="how many run at once; default: 1")
    text = "folder for runs; default: runs"
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help=text)
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    text = "made data in the form of every published data set, instead of its files"
    parser.add_argument("--fixture", action="store_true", help=text)
    text = "take scripts and the like out of the pages of notebooks"
    parser.add_argument("--sanitize", action="store_true", help=text)


def _list(options: argparse.Namespace) -> int:
    from mmkd_lab.cli.library import discover

    blocks = []
    for notebook in discover(options.notebooks):
        parameters = [(f"{one.name}: {one.kind} = {one.default!r}", one.help) for one in notebook.parameters]
        blocks.append("\n".join([f"{notebook.name}  {notebook.title}", *datasets.columns(parameters)]))
    if options.notebooks is None:
        from mmkd_lab.data import DATASETS

        blocks.append(f"-p dataset takes {', '.join(DATASETS)}, or path/to/file.py:function")
    print("\n\n".join(blocks))
    return DONE


def _run(options: argparse.Namespace) -> int:
    from mmkd_lab.cli.notebooks import run

    return _report(run(options.names, parameters=_given(options), **_running(options)))


def _sweep(options: argparse.Namespace) -> int:
    from mmkd_lab.cli.grid import sweep

    return _report(sweep(options.name, _given(options), **_running(options)))


def _diagnose(options: argparse.Namespace) -> int:
    from mmkd_lab.cli.diagnose import diagnose

    found = diagnose(options.config, budget=options.budget, progress=not options.quiet)
    print(found.verdict)
    print(found.save(options.out).with_suffix(".html"))
    return DONE


def _given(options: argparse.Namespace) -> dict[str, str]:
    given = dict(options.parameters)
    once = len(given) == len(options.parameters)
    require(once, "-p", options.parameters, "a parameter may be given only once")
    return given


def _running(options: argparse.Namespace) -> dict[str, Any]:
    if options.fixture:
        os.environ[FIXTURE_VARIABLE] = "1"  # kernels inherit it
    names = ("profile", "jobs", "out", "notebooks", "sanitize")
    given = {name: getattr(options, name) for name in names}
    return {**given, "progress": not options.quiet, "as_text": True}


def _report(run: Run) -> int:
    for outcome in (one for one in run.outcomes if one.state == "failed"):
        print(f"mmkd-lab: {outcome.label} failed: {' '.join(str(outcome.failure).split())}", file=sys.stderr)
    print(run.folder / "index.html")
    return DONE if run.ok else FAILED


def _atlas(options: argparse.Namespace) -> int:
    from mmkd_lab.forecast.page import write_page
    from mmkd_lab.forecast.records import add, atlas

    if options.add is None:
        given = options.student or options.teacher
        require(given is None, "--student", given, "goes with --add NAME")
    else:
        from mmkd_lab.forecast.measure import measured

        require(options.student is not None, "--student", None, "must be given with --add")
        print(add(measured(options.add, student=options.student, teacher=options.teacher)))
    rows = atlas(yours=True)
    print(write_page(rows, options.out, yours=len(rows) - len(atlas())))
    return DONE


def _doctor(_: argparse.Namespace) -> int:
    from mmkd_lab.cli.doctor import MISSING, examine

    states = []
    for finding in examine():
        print(finding, flush=True)
        states.append(finding.state)
    return FAILED if MISSING in states else DONE
