"""Students' trainings as runs of an experiment tracker, written by the tracker's own package."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from mmkd_lab.core.check import LabError, one_of, require, writing
from mmkd_lab.core.check import path as checked_path
from mmkd_lab.plotting.report import flat_facts

if TYPE_CHECKING:
    from mmkd_lab.experiments.exports import Exports
    from mmkd_lab.experiments.store import ResultStore

Tracker = Literal["tensorboard", "mlflow", "wandb"]
_COLUMNS = ("epoch", "split", "metric", "value")
_LONGEST = 500  # letters of a parameter's value in MLflow


class TrackedRun(NamedTuple):
    """A student's training: what is told of it, {epoch: {name: value}}, and the selected weights' scores."""

    name: str
    told: dict[str, str]
    history: dict[int, dict[str, float]]
    scores: dict[str, float]


def track(study: Exports, tracker: Tracker, place: Path | str | None, store: ResultStore | None) -> None:
    """See `Exports.track`."""
    one_of("tracker", tracker, get_args(Tracker))
    require(find_spec(tracker) is not None, "tracker", tracker, "is not installed", f"pip install {tracker}")
    found = list(_runs(study, store))
    require(len(found) > 0, "study", study.name, "must know where its students are kept")
    write = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb}[tracker]
    write(study, found, None if place is None else str(place))


def _runs(study: Exports, store: ResultStore | None) -> Iterator[TrackedRun]:
    about = {"dataset": study.provenance.get("dataset"), "recipe": study.provenance.get("student_recipe", {})}
    for entry in study.students.entries:
        seen = study.students.stored(entry, store).metrics
        where = {name: value for name, value in entry.items() if name != "key" and value is not None}
        history: dict[int, dict[str, float]] = {}
        for epoch, *name, value in zip(*(seen["history"][one] for one in _COLUMNS), strict=True):
            history.setdefault(epoch, {})["/".join(name)] = value
        scores = {
            f"selected/{a}/{b}": value for a, named in seen["scores"].items() for b, value in named.items()
        }
        yield TrackedRun(" ".join(map(str, where.values())), dict(flat_facts(where | about)), history, scores)


def _folder(place: str | None, tracker: str) -> Path:
    folder = checked_path("place", Path("runs") / tracker if place is None else place)
    with writing("place", folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _tensorboard(study: Exports, runs: list[TrackedRun], place: str | None) -> None:
    from torch.utils.tensorboard import SummaryWriter

    folder = _folder(place, "tensorboard") / study.name
    with writing("place", folder):
        for run in runs:
            with SummaryWriter(str(folder / run.name.replace("/", "_"))) as writer:
                for epoch, named in run.history.items():
                    for name, value in named.items():
                        writer.add_scalar(name, value, epoch)
                for name, value in run.scores.items():
                    writer.add_scalar(name, value, 0)
                writer.add_text("facts", "\n\n".join(f"{name}: {value}" for name, value in run.told.items()))
        with SummaryWriter(str(folder)) as writer:
            writer.add_text("verdict", study.verdict)


def _mlflow(study: Exports, runs: list[TrackedRun], place: str | None) -> None:
    from mlflow.exceptions import MlflowException

    address = place or os.environ.get("MLFLOW_TRACKING_URI") or str(Path("runs") / "mlflow")
    if "://" not in address:
        address = f"sqlite:///{_folder(address, 'mlflow').resolve() / 'mlflow.db'}"
    try:
        _log(study, runs, address)
    except (MlflowException, ImportError) as error:
        why = " ".join(str(error).split())
        raise LabError("place", address, f"cannot be written by MLflow: {why}") from error


def _log(study: Exports, runs: list[TrackedRun], address: str) -> None:
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=address)
    known = client.get_experiment_by_name(study.name)
    number = client.create_experiment(study.name) if known is None else known.experiment_id
    for run in runs:
        made, now = client.create_run(number, run_name=run.name), int(1000 * time.time())
        seen = [Metric(n, v, now, epoch) for epoch, named in run.history.items() for n, v in named.items()]
        seen += [Metric(name, value, now, 0) for name, value in run.scores.items()]
        told = [Param(name, value[:_LONGEST]) for name, value in run.told.items()]
        for i in range(0, len(seen), 1000):  # the most that one call may bring
            client.log_batch(made.info.run_id, metrics=seen[i : i + 1000])
        client.log_batch(made.info.run_id, params=told[:100], tags=[RunTag("verdict", study.verdict)])
        client.set_terminated(made.info.run_id)


def _wandb(study: Exports, runs: list[TrackedRun], place: str | None) -> None:
    import wandb

    where = None if place is None and "WANDB_DIR" in os.environ else str(_folder(place, "wandb"))
    for run in runs:
        about: dict[str, Any] = {"group": study.name, "name": run.name, "notes": study.verdict}
        with wandb.init(project="mmkd_lab", dir=where, config=run.told, **about) as going:
            for epoch, named in run.history.items():
                going.log(named, step=epoch)
            going.summary.update(run.scores)
