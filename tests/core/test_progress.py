"""Who sees a progress bar."""

from __future__ import annotations

import pytest

from mmkd_lab.core.progress import watched


@pytest.mark.parametrize(
    ("variable", "asked", "shown"),
    [(None, True, True), ("", True, True), ("0", True, True), ("1", True, False), (None, False, False)],
)
def test_a_bar_needs_somebody_to_watch(monkeypatch, variable, asked, shown):
    if variable is None:
        monkeypatch.delenv("TQDM_DISABLE", raising=False)
    else:
        monkeypatch.setenv("TQDM_DISABLE", variable)
    assert watched(asked) is shown
