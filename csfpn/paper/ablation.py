"""The ablation (Table 3) with this project's networks: which rows and seeds it has.

The rows take part in Table 4, and some in Table 5. Not here: how Table 3 shows them
(`ablation_table`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from isbench.papers import Row

SEEDS = (0, 1)  # of the trainings of each row on the lite trunk


class Part(NamedTuple):
    """A row of the paper's table, with a row of ours for each seed that it was trained with."""

    name: str
    rows: tuple[Row, ...]  # in the order of the seeds


class Family(NamedTuple):
    """The parts on one trunk, all trained from the same weights with the same budget."""

    name: str
    seeds: tuple[int, ...]
    bs: Part
    fdm: Part
    sgm: Part
    hsgm: Part
    g2l: Part

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return the parts in the order of the table."""
        return self[2:]

    @property
    def steps(self) -> tuple[tuple[Part, Part], ...]:
        """Return the pairs of parts that differ by one ingredient, and by both modules."""
        bs, fdm, sgm, hsgm, g2l = self.parts
        return ((bs, fdm), (bs, sgm), (fdm, sgm), (sgm, hsgm), (bs, hsgm), (hsgm, g2l))

    @property
    def rows(self) -> tuple[Row, ...]:
        """Return the rows of all parts and seeds."""
        return tuple(row for part in self.parts for row in part.rows)


def _make_family(
    name: str, seeds: Mapping[int, str], *g2l: tuple[str, str], **shared: str
) -> Family:
    """Return the family on a trunk; weights are named after the part that they add.

    Only these weights are comparable. `seeds` are the ends of their names by seed, `g2l` options
    of the paper's G2L if the card has others, `shared` options of csfpn that the base segmenter
    has too.
    """

    def make_part(part: str, weights: str, model: str, *chosen: tuple[str, str]) -> Part:
        options = [*chosen]
        options += shared.items() if model.startswith("csfpn") else ()
        return Part(
            part,
            tuple(
                Row("", model=model, options=tuple(options), weights=f"ablation-{weights}{suffix}")
                for suffix in seeds.values()
            ),
        )

    return Family(
        name,
        tuple(seeds),
        make_part("BS", "bs", f"ritm-{name}"),
        make_part("BS+FDM", "fdm", f"baseline-{name}-fdm"),
        make_part("BS+SGM", "sgm", f"csfpn-{name}", ("hsgm", "off"), ("g2l", "off")),
        make_part("BS+SGM+HSGM", "hsgm", f"csfpn-{name}", ("g2l", "off")),
        # G2L changes inference only and has no weights
        make_part("BS+SGM+HSGM+G2L", "hsgm", f"csfpn-{name}", *g2l),
    )


LITE = _make_family("lite", {seed: f"-s{seed}" for seed in SEEDS}, ("global_clicks", "0"))
MINI = _make_family("mini", {0: ""}, overview="256")  # an earlier one: 800 steps, one seed
FAMILIES = (LITE, MINI)
