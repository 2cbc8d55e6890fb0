"""Answers read ahead of whoever needs them, by worker processes where there are some."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from mmkd_lab.core.check import LabError

Q = TypeVar("Q")
A = TypeVar("A")


def ahead(read: Callable[[Q], A], asked: Iterable[Q], *, workers: int, pin: bool = False) -> Iterator[A]:
    """`map(read, asked)`; with workers, those of torch's DataLoader, what is asked for next is read while the
    last is used. `pin` puts tensors into memory from which a GPU fetches them by itself."""
    if workers == 0:
        yield from map(read, asked)
        return
    import torch
    from torch.utils.data import DataLoader

    # A generator of its own: the loader would draw from the one that dropout draws from.
    how = {"batch_size": None, "num_workers": workers, "pin_memory": pin, "generator": torch.Generator()}
    loader: DataLoader[Any] = DataLoader(_Asked(read), sampler=asked, collate_fn=_as_it_is, **how)  # type: ignore[arg-type]
    with warnings.catch_warnings():  # Python's, of every process with threads; torch's workers begin so
        warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
        found = iter(loader)
    for answer in found:
        if isinstance(answer, LabError):
            raise answer
        yield answer


def _as_it_is(answer: A) -> A:
    return answer


class _Asked:
    """What a worker calls. A refusal comes back as an answer: torch would tell it in other words."""

    def __init__(self, read: Callable[[Any], Any]) -> None:
        self.read = read

    def __getitem__(self, question: Any) -> Any:  # noqa: ANN401 - a sampler may ask for anything
        try:
            return self.read(question)
        except LabError as error:
            return error
