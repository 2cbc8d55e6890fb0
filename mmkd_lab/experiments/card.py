"""The card of an exported student: what it is, what it learned from, how good it is, how it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmkd_lab import __version__
from mmkd_lab.core.check import LabError
from mmkd_lab.core.fingerprint import digest_arrays
from mmkd_lab.distill import ARMS
from mmkd_lab.experiments import summary
from mmkd_lab.plotting.report import flat_facts
from mmkd_lab.training.replicas import Replicas

if TYPE_CHECKING:
    from mmkd_lab.experiments.exports import Exports

FORMAT = "mmkd_lab student 1"
CARD, MODEL = "card.json", "model.safetensors"
#: What of a study's provenance says how a student came about.
_RECIPE = ("student_recipe", "kd_weight", "temperature", "convention", "teacher_models", "teacher_recipe")


def weights_of(replicas: Replicas) -> str:
    """A digest of the first replica's numbers, by name."""
    state = {**replicas.parameters, **replicas.buffers}
    return digest_arrays(((name, state[name][0].cpu().numpy()) for name in sorted(state)), length=32)


def card_of(
    study: Exports, entry: Mapping[str, Any], metrics: Mapping[str, Any], replicas: Replicas
) -> dict[str, Any]:
    """The card of one student, plain values; `metrics` as its stored entry has them."""
    made, arm = study.provenance, str(entry["arm"])
    known = ARMS.get(arm)  # an arm of yours may not be registered here
    return {
        "format": FORMAT,
        "study": study.name,
        **{name: value for name, value in entry.items() if name != "key"},
        "label": arm if known is None else known.label,
        "meaning": "" if known is None else known.meaning,
        "dataset": made.get("dataset"),
        "fingerprint": made.get("fingerprint"),
        "samples": made.get("samples"),
        "classes": list(replicas.classes or ()),
        "reads": list(replicas.modalities or ()),
        "network": replicas.name,
        "needs_your_network": replicas.spec is None,
        "parameters": replicas.size,
        "best_epoch": metrics["best_epoch"],
        "scores": metrics["scores"],
        "arm_on_test": _on_test(study, arm),
        "recipe": {name: made[name] for name in _RECIPE if name in made},
        "versions": {"mmkd_lab": __version__, **made.get("versions", {})},
        "weights": weights_of(replicas),
    }


def _on_test(study: Exports, arm: str) -> dict[str, Any] | None:
    """Mean and interval of the whole arm where the study has one number a seed: one student is no finding."""
    try:
        found = summary.summarise(study.table)
    except LabError:
        return None
    rows = found[(found["arm"] == arm) & (found["role"] == "student")]
    if len(rows) != 1:
        return None
    row = rows.iloc[0]
    ends = [None if value != value else float(value) for value in (row["low"], row["high"])]
    return {"metric": row["metric"], "mean": float(row["mean"]), "interval": ends, "n": int(row["n"])}


def readable(card: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    samples, scores = card["samples"] or {}, card["scores"]
    metrics = list(dict.fromkeys(metric for named in scores.values() for metric in named))
    heads = ["split", "samples", *metrics]
    lines = [
        [split, str(samples.get(split, "")), *(f"{named[m]:.4g}" if m in named else "" for m in metrics)]
        for split, named in scores.items()
    ]
    facts = {
        "data": f"{card['dataset']}, fingerprint {card['fingerprint']}",
        "reads": ", ".join(card["reads"]) or "all modalities",
        "classes": ", ".join(card["classes"]),
        "network": f"{card['network']}, {card['parameters']:,} parameters",
        "best epoch": card["best_epoch"],
        **dict(flat_facts(card["recipe"])),
        **{f"version of {name}": value for name, value in card["versions"].items()},
    }
    own = ", your_network" if card["needs_your_network"] else ""
    return "\n".join(
        [
            f"# {card['label']} student, {card['study']}, seed {card['seed']}\n",
            f"{card['meaning']}{_among(card['arm_on_test'])}\n",
            *_grid(heads, lines),
            "\nAccuracy in percent, nll in nats. The epoch was chosen on validation data, nothing on test.\n",
            *_grid(["", ""], [[name, str(value)] for name, value in facts.items()]),
            "\n```python",
            "from mmkd_lab.experiments import load_student\n",
            f'student = load_student("this/folder"{own})',
            "student.network  # a torch.nn.Module in evaluation mode",
            "```\n",
        ]
    )


def _among(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    low, high = found["interval"]
    within = "" if low is None else f" [{low:.2f}, {high:.2f}]"
    of = f"{found['n']} seed{'s' if found['n'] > 1 else ''}"
    return f" Its arm reaches {found['mean']:.2f}{within} test {found['metric']} over {of}; this is one."


def _grid(heads: list[str], lines: list[list[str]]) -> list[str]:
    rows = [heads, ["---"] * len(heads), *lines]
    return [f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in rows]
