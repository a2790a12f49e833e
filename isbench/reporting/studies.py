"""Studies: runs of one model on one data set that differ in nothing but the clicker's chance.

These are the seeds of a stochastic clicker, or the ten groups of a map of clicks. Not here: their
figures (`study_tables`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from isbench import protocol
from isbench.storage import store
from isbench.storage.store import Run
from isbench.types import Rules, Spec

BASELINE = "centre"  # the clicker that others are compared with
_GROUPED = "group:group="  # a clicker of one group, as its canonical text begins
_EVERY_GROUP = "*/10"


@dataclass(frozen=True)
class Study:
    """The runs of a study over the same objects, sorted by group and seed."""

    clicker: str  # "group:group=*/10,..." for several groups
    runs: tuple[Run, ...]

    @property
    def spec(self) -> Spec:
        """Return the spec of the first run."""
        return self.runs[0].spec

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return the seeds, sorted."""
        return tuple(sorted({run.spec.rules.seed for run in self.runs}))

    @property
    def groups(self) -> tuple[int, ...]:
        """Return the groups of a map of clicks that were played, sorted; empty for others."""
        return tuple(sorted({find_group(run.spec.rules) for run in self.runs} - {0}))


def find_group(rules: Rules) -> int:
    """Return the group that a clicker draws from, 1 to 10, 0 for another clicker."""
    number = rules.clicker.removeprefix(_GROUPED).partition("/")[0]
    return int(number) if rules.clicker.startswith(_GROUPED) and number.isdecimal() else 0


def group_runs(runs: Sequence[Run]) -> list[Study]:
    """Return the studies of some complete runs, in the order of their first runs.

    A run that has no other like it is a study of one run.
    """
    found: dict[str, list[Run]] = {}
    for run in runs:
        common = replace(run.spec.rules, seed=0, clicker=_name_clicker(run.spec.rules))
        spec = replace(run.spec, rules=common, preset="", preset_digest="")
        found.setdefault(store.digest_spec(spec), []).append(run)
    return [
        Study(_name_clickers(members), tuple(sorted(members, key=_sort_key)))
        for members in found.values()
    ]


def find_baseline(study: Study) -> Run | None:
    """Return the run with `centre` that differs in nothing else, from the same folder of runs."""
    rules = replace(study.spec.rules, clicker=BASELINE, seed=0)
    spec = replace(
        study.spec,
        rules=rules,
        preset=protocol.name_preset(rules),
        preset_digest=protocol.digest_preset(rules),
        clicker_version="1",
    )
    return store.find_longer_run(study.runs[0].path.parent.parent, spec)


def _name_clickers(runs: Sequence[Run]) -> str:
    """Return the text of the clicker of all runs, without a number for several groups."""
    texts = {run.spec.rules.clicker for run in runs}
    return texts.pop() if len(texts) == 1 else _name_clicker(runs[0].spec.rules)


def _name_clicker(rules: Rules) -> str:
    """Return the text of a clicker, without the number of its group."""
    if not find_group(rules):
        return rules.clicker
    _, slash, rest = rules.clicker.partition(",")
    return f"{_GROUPED}{_EVERY_GROUP}{slash}{rest}"


def _sort_key(run: Run) -> tuple[int, int, str]:
    return find_group(run.spec.rules), run.spec.rules.seed, store.parse_digest(run.path)
