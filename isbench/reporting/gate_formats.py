"""Verdicts of conditions as a table, as values for JSON, and as JUnit XML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from isbench.metrics import Metric
from isbench.reporting.gate import EXIT_CODES, Measurement, Verdict, find_outcome
from isbench.reporting.text_table import TextTable, escape_controls

NOTES = (
    "New - base is the mean change over the same objects, with its 95 % interval. "
    "p: share of random sign flips of the images' differences that are at least as large.",
    "Detectable: the smallest true change that the test finds with 80 % power on these images.",
)


def make_gate_table(verdicts: Sequence[Verdict]) -> TextTable:
    """Return one row per condition and data set; the outcome of all of them is the first note."""
    heads = (
        "Outcome", "Fail if", "Data set", "Base", "New", "New - base", "95 % interval", "p",
        "Detectable", "Objects", "Why",
    )  # fmt: skip
    rows = tuple(
        (
            one.outcome,
            one.condition.text,
            one.measured.dataset,
            *format_change(one.measured, one.condition.metric),
            f"{one.measured.objects}",
            one.reason,
        )
        for one in verdicts
    )
    figures = (False, False, False, *[True] * 7, False)
    return TextTable(heads, rows, figures, notes=(f"Outcome: {find_outcome(verdicts)}", *NOTES))


def format_change(found: Measurement, metric: Metric) -> tuple[str, str, str, str, str, str]:
    """Return base, new, change, interval, p-value and smallest change as texts; "" for nan."""
    form = metric.format
    signed = f"+{form}"
    ends = (found.low, found.high)
    interval = "" if found.low != found.low else f"[{ends[0]:{signed}}, {ends[1]:{signed}}]"
    return (
        f"{found.base:{form}}",
        f"{found.new:{form}}",
        f"{found.change:{signed}}",
        interval,
        f"{found.p_value:.4f}",
        "" if found.smallest != found.smallest else f"{found.smallest:{form}}",
    )


def collect_verdicts(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return the verdicts as values that JSON can hold; nan becomes None."""
    outcome = find_outcome(verdicts)
    return {
        "outcome": outcome,
        "exit_code": EXIT_CODES[outcome],
        "conditions": [
            {
                "condition": one.condition.text,
                "metric": one.condition.metric.key,
                "outcome": one.outcome,
                "reason": one.reason,
                "limit": one.limit,
                **{
                    name: None if value != value else value
                    for name, value in one.measured._asdict().items()
                },
            }
            for one in verdicts
        ],
    }


def format_junit(verdicts: Sequence[Verdict], suite: str) -> str:
    """Return JUnit XML: a test case per condition and data set.

    FAIL is a failure and INCONCLUSIVE is skipped; WARN passes with its reason in the output.
    """
    kinds = [one.outcome for one in verdicts]
    root = ElementTree.Element(
        "testsuite",
        name=_clean(suite),
        tests=str(len(verdicts)),
        failures=str(kinds.count("FAIL")),
        errors="0",
        skipped=str(kinds.count("INCONCLUSIVE")),
    )
    for one in verdicts:
        found = one.measured
        name = _clean(f"not {one.condition.text} on {found.dataset}")
        case = ElementTree.SubElement(root, "testcase", classname="isbench.compare", name=name)
        *_, change, interval, p_value, _ = format_change(found, one.condition.metric)
        message = f"{one.outcome}: {found.name} {change} {interval} (p = {p_value}); {one.reason}"
        if one.outcome == "FAIL":
            ElementTree.SubElement(case, "failure", message=message)
        elif one.outcome == "INCONCLUSIVE":
            ElementTree.SubElement(case, "skipped", message=message)
        else:
            ElementTree.SubElement(case, "system-out").text = message
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _clean(text: str) -> str:
    """Return a text without control characters, which XML cannot have."""
    return escape_controls(text)
