"""The check that runs which are shown together have the same objects and files."""

from __future__ import annotations

from collections.abc import Sequence

from isbench.errors import IsbenchError
from isbench.reporting.labels import format_count
from isbench.storage import store
from isbench.storage.store import Run


def check_same_objects(runs: Sequence[Run], reason: str) -> None:
    """Raise IsbenchError if runs over one data set have different objects or files.

    The message ends with the `reason` why they must not, and says which runs match.
    """
    groups: dict[str, dict[tuple[str, str], list[Run]]] = {}
    for run in runs:
        of_set = groups.setdefault(run.spec.dataset, {})
        of_set.setdefault((run.spec.keys, run.spec.fingerprint), []).append(run)
    for name, of_set in groups.items():
        if len(of_set) > 1:
            what = "objects" if len({keys for keys, _ in of_set}) > 1 else "files"
            parts = "; ".join(_describe_group(members, what) for members in of_set.values())
            raise IsbenchError(
                f"the runs over {name} have different {what}, but {reason}: {parts}; name runs of "
                "one of these groups"
            )


def _describe_group(runs: Sequence[Run], what: str) -> str:
    digests = ", ".join(store.parse_digest(run.path) for run in runs)
    if what == "files":
        return f"{digests} with fingerprint {str(runs[0].spec.fingerprint)[:12]}"
    limit = "" if runs[0].spec.limit is None else " (the first)"
    return f"{digests} with {format_count(len(runs[0].trajectories), 'object')}{limit}"
