"""Choose runs by name, read page templates, and write plots to files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from isbench.errors import IsbenchError, check_least, unknown
from isbench.files.atomic import open_atomically
from isbench.reporting.boundary_tables import compute_boundaries
from isbench.reporting.qualitative import QualitativeExample, load_examples
from isbench.storage import store
from isbench.storage.store import Run

BOUNDARIES, PICTURES = "biou_k", "pictures"  # plots that need masks


class ChosenRuns(NamedTuple):
    """Complete runs, sorted by data set and model, and notes on those left out."""

    runs: list[Run]
    notes: list[str]


def choose_runs(names: Sequence[str | Path] = (), folder: Path | str = "runs") -> ChosenRuns:
    """Return the complete runs that the names match, and notes on those left out.

    Parameters
    ----------
    names : sequence of str
        Run files, folders of runs, or the first digits of run digests; empty: all runs.
    folder : Path or str
        The folder to look up runs in, with its subfolders.

    Returns
    -------
    ChosenRuns
        At least one run.

    Raises
    ------
    IsbenchError
        For a name that matches nothing, a named run that is damaged, and if no run is complete.
    """
    out = Path(folder)
    named = [p for name in names for p in _find_paths(str(name), out)]
    found = named if names else store.find(out)
    if not found:
        raise IsbenchError(f"no run below {out}; make one with `isbench run`")
    paths = {path.resolve(): path for path in found}
    runs, notes = [], []
    for path in paths.values():
        try:
            run = store.read(path)
        except IsbenchError as error:
            if names:
                raise
            notes.append(f"left out: {error}")
            continue
        if run.complete:
            runs.append(run)
        else:
            notes.append(
                f"{path} is left out: it is not finished ({len(run.trajectories)} objects so far); "
                "repeat the command that started it to resume it"
            )
    if not runs:
        raise IsbenchError(
            f"no finished run in {', '.join(map(str, names)) or out}; make one with `isbench run`"
        )
    return ChosenRuns(sorted(runs, key=_sort_key), notes)


def has_finished(out: Path) -> bool:
    """Whether there is a sealed run below a folder."""
    return any(path.name.endswith(store.SEALED) for path in store.find(out))


def choose_run(name: str, out: Path) -> Run:
    """Return the one complete run that a name matches; raises IsbenchError for several or none."""
    runs, _ = choose_runs([name], out)
    if len(runs) > 1:
        raise IsbenchError(f"{name} matches {len(runs)} runs; wanted one: name its file or digest")
    return runs[0]


def read_template(name: str) -> dict[str, str]:
    """Return the parts of a page, `report` or `demo`, by suffix: html, css, js.

    The script starts with the mask decoder that both pages share.
    """
    shared = files("isbench.reporting") / "assets"
    folder = files("isbench.demo") / "assets" if name == "demo" else shared
    parts = {kind: (folder / f"{name}.{kind}").read_text("utf-8") for kind in ("html", "css", "js")}
    return {**parts, "js": (shared / "masks.js").read_text("utf-8") + parts["js"]}


def save_plot(
    runs: Sequence[Run],
    plot: str,
    max_clicks: int = 20,
    folder: Path | str = "runs/plots",
    *,
    objects: int = 6,
    data: Path | str | None = None,
) -> list[Path]:
    """Draw a plot of runs and return the files, PNG and SVG.

    Parameters
    ----------
    runs : sequence of Run
        Complete runs; two over one data set for "pictures".
    plot : str
        iou_k, noc_hist, biou_k, or pictures of the objects where two runs differ most. The last two
        need the data, and the models unless the masks are saved.
    max_clicks : int
        Games count up to this click.
    folder : Path or str
        Receives the files.
    objects : int
        The number of objects that "pictures" shows, in one PNG.
    data : Path, str or None
        The folder of the data sets, as for `load_dataset`.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    IsbenchError
        For an unknown plot, and if data, a model or weights are missing.
    """
    from isbench.reporting.plots import (  # imports matplotlib, which is slow
        ALIASES,
        PLOTS,
    )

    check_least("max_clicks", max_clicks, 1)
    check_least("objects", objects, 1)
    name = ALIASES.get(plot, plot)
    root, target = None if data is None else Path(data), Path(folder)
    if name == PICTURES:
        return [save_pictures(list(load_examples(runs, max_clicks, objects, root)), target)]
    if name == BOUNDARIES:
        values = [compute_boundaries(run, max_clicks, root) for run in runs]
        return save_boundaries(runs, values, target)
    if name not in PLOTS:
        raise unknown("plot", plot, (*PLOTS, BOUNDARIES, PICTURES), "plot")
    return _save(
        [target / f"{name}.{kind}" for kind in ("png", "svg")], PLOTS[name], runs, max_clicks
    )


def save_boundaries(runs: Sequence[Run], values: Sequence[Any], folder: Path) -> list[Path]:
    """Draw the boundary IoU curves and write them as PNG and SVG; return the files."""
    from isbench.reporting.plots import biou_k

    paths = [folder / f"biou_k.{kind}" for kind in ("png", "svg")]
    return _save(paths, biou_k, runs, values)


def save_pictures(examples: Sequence[QualitativeExample], folder: Path) -> Path:
    """Draw examples side by side and write them as one PNG; return the file."""
    from isbench.reporting.plots import side_by_side

    (path,) = _save([folder / "pictures.png"], side_by_side, examples)
    return path


def _save(paths: list[Path], draw: Callable[..., Any], *drawn: Any) -> list[Path]:
    """Draw a figure and write it to every path, in the format of the suffix."""
    import matplotlib

    # the same runs give the same file; a name with dollar signs is not a formula
    with matplotlib.rc_context({"svg.hashsalt": "isbench", "text.parse_math": False}):
        figure = draw(*drawn)
        for path in paths:
            kind = path.suffix[1:]
            options = {"metadata": {"Date": None}} if kind == "svg" else {"dpi": 150}
            with open_atomically(path) as file:
                figure.savefig(file, format=kind, **options)
    return paths


def _find_paths(name: str, out: Path) -> list[Path]:
    path = Path(name).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        found = store.find(path)
        if not found:
            raise IsbenchError(f"no run below {path}; make one with `isbench run`")
        return found
    found = [file for file in store.find(out) if store.digest_of_path(file).startswith(name)]
    if not found:
        known = sorted(store.digest_of_path(file) for file in store.find(out))
        raise unknown(f"run below {out}", name, known)
    return found


def _sort_key(run: Run) -> tuple[str, str, str]:
    return run.spec.dataset, run.spec.model, store.spec_digest(run.spec)
