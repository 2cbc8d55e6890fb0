"""Everything that is wrong with a call, told in one refusal."""

from __future__ import annotations

from mmkd_lab.core.check import LabError

_MOST = 8


class Complaints:
    """Refusals kept until all was looked at: `with complaints:` keeps one and goes on behind it."""

    def __init__(self) -> None:
        self.found: list[LabError] = []

    def __enter__(self) -> Complaints:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        if isinstance(error, LabError):
            self.found.append(error)
        return isinstance(error, LabError)

    def tell(self) -> None:
        """Raise one `LabError` that names all that was kept, of their common type, if there is any."""
        if not self.found:
            return
        first, *others = self.found
        more = [f"And {len(others) - _MOST} more."] * (len(others) > _MOST)
        way_out = "\n".join([first.way_out, *(f"Also: {one}" for one in others[:_MOST]), *more])
        kind = type(first) if len({type(one) for one in self.found}) == 1 else LabError
        raise kind(first.argument, first.value, first.rule, way_out) from first.__cause__
