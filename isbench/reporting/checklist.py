"""What a paper should state of a run, filled in from the run; what it does not tell is blank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from isbench import metrics
from isbench.reporting.tables import compute_figures, make_labels
from isbench.reporting.text_table import TextTable
from isbench.storage import store
from isbench.storage.store import Run

NOTE = (
    "What each figure is: docs/protocol.md. A blank is what the run does not tell: state it "
    "yourself, and where the weights come from and what they were trained on"
)


def make_checklist(runs: Sequence[Run], max_clicks: int = 20) -> TextTable:
    """Return an item a line and a column a run."""
    told = [_facts(run, max_clicks) for run in runs]
    rows = tuple((item, *(facts[item] for facts in told)) for item in told[0])
    heads = (
        "State",
        *(
            f"{label} on {run.spec.dataset}"
            for run, label in zip(runs, make_labels(runs), strict=True)
        ),
    )
    return TextTable(heads, rows, (False,) * len(heads), notes=(NOTE,))


def _facts(run: Run, max_clicks: int) -> dict[str, str]:
    spec, rules = run.spec, run.spec.rules
    row = compute_figures(run, max_clicks)
    images = len({metrics.image_of(game.key) for game in run.trajectories})
    limit = "" if spec.limit is None else f", the first {spec.limit} only"
    session: Mapping[str, object] = run.meta[-1] if run.meta else {}
    versions = session.get("versions")
    options = dict(spec.options)
    return {
        "data set": f"{spec.dataset}: {len(run.trajectories)} objects on {images} images{limit}",
        "fingerprint of the data": _word(spec.fingerprint),
        "protocol": f"{spec.preset}, digest {spec.preset_digest}",
        "next click": f"{rules.clicker}, seed {rules.seed}",
        "budget of clicks": str(row["budget"]),
        "games end": f"at IoU {rules.stop_iou:g}" if rules.stop_iou <= 1 else "at the last click",
        "model": f"{spec.model}, version {spec.version}",
        "libraries": ", ".join(f"{name} {number}" for name, number in spec.libraries.items()),
        "sha256 of the weights": _word(spec.weights),
        "zoom-in": _chosen(options, "zoom", "zoom_target", "g2l", "overview"),
        "mirror image (flip)": _chosen(options, "flip"),
        "threshold of the mask": _chosen(options, "threshold"),
        "longest side of images": _chosen(options, "longest_side"),
        "other options": _chosen(options, *(key for key in options if key not in _TOLD)),
        **{f"NoC@{p} [95 % interval]": _interval(row, f"noc@{p}") for p in (80, 85, 90)},
        **{f"NoF@{p}, never reached": _number(row[f"nof@{p}"], 0) for p in (85, 90)},
        **{f"NoF@{p} as RITM counts": _number(row[f"nof_ritm@{p}"], 0) for p in (85, 90)},
        "seconds a click": _number(row["seconds_per_click"], 4),
        "computed by": ", ".join(
            part
            for part in (
                _word(spec.backend),
                _word(spec.precision),
                f"{spec.threads} thread{'s' * (spec.threads > 1)} a process",
            )
            if part
        ),
        "hardware": _word(session.get("processor")),
        "versions": _versions(versions),
        "image decoder": spec.decoder,
        "digest of the run": store.digest_of_path(run.path),
    }


_TOLD = {"zoom", "zoom_target", "g2l", "overview", "flip", "threshold", "longest_side"}


def _chosen(options: Mapping[str, object], *names: str) -> str:
    return ", ".join(f"{name}={_told(options[name])}" for name in names if name in options)


def _told(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _word(value: object) -> str:
    return "" if value is None else str(value)


def _versions(found: object) -> str:
    if not isinstance(found, Mapping):
        return ""
    return ", ".join(f"{name} {version}" for name, version in found.items() if version)


def _number(value: object, digits: int) -> str:
    number = float(str(value))
    return "" if number != number else f"{number:.{digits}f}"


def _interval(row: Mapping[str, object], name: str) -> str:
    mean, low, high = (_number(row[key], 2) for key in (name, f"{name}_low", f"{name}_high"))
    return f"{mean} [{low}, {high}]" if low else mean
