"""Tables of two runs that are compared object by object, and the same as values for JSON."""

from __future__ import annotations

from typing import Any

from isbench.reporting.compare import Comparison
from isbench.reporting.system_tables import collect_difference
from isbench.reporting.text_table import TextTable


def make_difference_table(comparison: Comparison) -> TextTable:
    """Return one row per figure: means of A and B, their paired difference, and who wins."""
    heads = ("Figure", "A", "B", "A - B", "95 % interval", "p", "A wins", "Ties", "B wins")
    rows = []
    for name, (mean_a, mean_b), d in comparison.rows:
        interval = f"[{d.low:+.2f}, {d.high:+.2f}]" if d.low == d.low else ""
        counts = map(str, (d.wins, d.ties, d.losses))
        rows.append(
            (name, f"{mean_a:.2f}", f"{mean_b:.2f}", f"{d.mean:+.2f}", interval,
             f"{d.p_value:.4f}", *counts)
        )  # fmt: skip
    return TextTable(heads, tuple(rows), (False, *[True] * 8))


def make_objects_table(comparison: Comparison, most: int) -> TextTable:
    """Return one row per object, those that differ most first, up to `most`."""
    rows = tuple(
        (key, f"{of_a:g}", f"{of_b:g}", f"{of_a - of_b:+g}")
        for key, of_a, of_b in comparison.differing[:most]
    )
    return TextTable(("Object", "A", "B", "A - B"), rows, (False, True, True, True))


def collect_comparison(comparison: Comparison, most: int) -> dict[str, Any]:
    """Return a comparison of two runs as values that JSON can hold; nan becomes None."""
    return {
        "figures": [
            {"name": name, "a": a, "b": b, "difference": collect_difference(difference)}
            for name, (a, b), difference in comparison.rows
        ],
        "listed": comparison.listed,
        "objects": [{"object": key, "a": a, "b": b} for key, a, b in comparison.differing[:most]],
        "notes": list(comparison.notes),
    }
