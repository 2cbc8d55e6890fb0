"""How soon the world panel answers, measured from inside: `python benchmarks/what_if.py`.

A slider's value is set, as the browser would, and the time is taken until the diagram, the truth of 8 seeds
and the truth of 32 seeds stand in their widgets: the median of 30 states never seen before, on one core. Then
1,000 random states in a row: errors, and what memory they leave. Writes benchmarks/results/what_if.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
import tracemalloc
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
_PLAIN = "8 seeds, training alone"
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--states", type=int, default=30)
    parser.add_argument("--walk", type=int, default=1000, help="random states in a row")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    found = {"milliseconds": answers(options.states), "walk": walk(options.walk)}
    print(json.dumps(found, indent=2))
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "what_if.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def answers(states: int) -> dict[str, float]:
    """Median milliseconds from a slider's value to each picture."""
    import numpy as np

    from mmkd_lab import whatif
    from mmkd_lab.whatif.panel import LivePanel

    panel, random = LivePanel(whatif.world()), np.random.default_rng(0)
    panel.wait()
    taken: dict[str, list[float]] = {"diagram": [], "8 seeds": [], "32 seeds": [], _PLAIN: []}
    for state in range(states):
        panel.buttons["stop"].click()
        panel.wait()
        panel.controls["samples"].value = 200
        share = float(random.choice(np.arange(0, 1.01, 0.05)))
        panel.link.value = f"world?alpha={(1 - share) * state / states:.6f}&gamma={share:.6f}"
        panel.buttons["stop"].click()
        panel.wait()
        for name, milliseconds in {**_one(panel), _PLAIN: _plain()}.items():
            taken[name].append(milliseconds)
    return {name: round(statistics.median(values), 1) for name, values in taken.items()}


def _plain() -> float:
    """The same 40 networks by themselves: what the machine is worth at this moment."""
    from mmkd_lab.data.datasets.gaussian import worlds
    from mmkd_lab.training.descent import WorldsRecipe
    from mmkd_lab.training.worlds import fit_worlds
    from mmkd_lab.whatif import WorldState

    drawn = worlds(WorldState().world(), range(8))
    began = time.perf_counter()
    fit_worlds(drawn, arms=("no_kd", "um_kd", "cm_kd"), recipe=WorldsRecipe(kd=2.0, convention="kl"))
    return 1000 * (time.perf_counter() - began)


def _one(panel) -> dict[str, float]:  # noqa: ANN001 - a LivePanel
    """One move of the slider of gamma, to a value that no state had."""
    from mmkd_lab.whatif.world_train import TRAINER

    TRAINER.forget()
    began, found = time.perf_counter(), {}

    def seen(_: object) -> None:
        now = 1000 * (time.perf_counter() - began)
        found.setdefault("diagram", now)
        for seeds in (8, 32):
            if f"({seeds} paired seeds)" in panel.now.children[1].value:
                found.setdefault(f"{seeds} seeds", now)

    panel.sentence.observe(seen, "value")
    began = time.perf_counter()
    panel.controls["gamma"].value = round((panel.controls["gamma"].value + 0.35) % 1.0, 6)
    while "32 seeds" not in found and time.perf_counter() - began < 60:
        time.sleep(0.002)
    panel.sentence.unobserve(seen, "value")
    return found


def walk(states: int) -> dict[str, object]:
    """Random states in a row, each with its first truth: what went wrong, and the bytes that are left."""
    import numpy as np

    from mmkd_lab import whatif
    from mmkd_lab.whatif.world_state import with_share

    laboratory, random = whatif.world(samples=25, seeds=2), np.random.default_rng(1)
    errors, sizes = 0, []
    tracemalloc.start()
    for i in range(states):
        state = with_share(laboratory.state, "gamma", float(random.random()))
        state = with_share(state, "alpha", float(random.random()) * (1 - state.gamma))
        for view in laboratory.answers(state, lambda: False):
            if view.numbers:
                break
        errors += "paired seeds" not in view.sentence
        if i in (states // 2, states - 1):
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    return {"states": states, "errors": errors, "bytes grown over the last half": sizes[-1] - sizes[0]}


if __name__ == "__main__":
    main()
