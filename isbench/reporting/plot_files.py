"""Plots written to files, PNG and SVG."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from isbench.errors import IsbenchError, check_least, make_unknown_error
from isbench.files.atomic import open_atomically
from isbench.models.registry import NONE_TRUSTED, Trusted
from isbench.reporting.boundary_tables import compute_boundaries
from isbench.reporting.labels import NO_LABELS
from isbench.reporting.qualitative import QualitativeExample, load_examples
from isbench.storage.store import Run

BOUNDARIES, PICTURES = "biou_k", "pictures"  # plots that need masks
FORMATS = ("png", "svg", "pdf")
_OTHER_FORMATS = ("jpg", "jpeg", "gif", "webp", "bmp", "tif", "tiff", "eps", "ps")


def save_plot(
    runs: Sequence[Run],
    plot: str,
    max_clicks: int = 20,
    folder: Path | str = "runs/plots",
    *,
    objects: int = 6,
    data: Path | str | None = None,
    labels: Mapping[str, str] = NO_LABELS,
    place: str | None = None,
    trusted: Trusted = NONE_TRUSTED,
) -> list[Path]:
    """Draw a plot of runs and return the files.

    Parameters
    ----------
    runs : sequence of Run
        Complete runs over the same objects of each data set; two over one for "pictures".
    plot : str
        iou_k, noc_hist, biou_k, critical_difference, or pictures of the objects where two runs
        differ most. biou_k and pictures need the data, and the models unless the masks are saved.
    max_clicks : int
        Games count up to this click.
    folder : Path or str
        Receives a PNG and an SVG; a name that ends in .png, .svg or .pdf is the one file to write.
    objects : int
        The number of objects that "pictures" shows, in one PNG.
    data : Path, str or None
        The folder of the data sets, as for `load_dataset`.
    labels : mapping
        Names of runs by their digest, instead of those that `make_labels` gives them.
    place : str or None
        `READER:PLACE` of the runs' files, instead of the place in their meta files.
    trusted : mapping
        Cards of models that are not installed, from `load_trusted_cards`.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    IsbenchError
        For an unknown plot or format, runs over different objects, and if data, a model or weights
        are missing.
    """
    check_least("max_clicks", max_clicks, 1)
    check_least("objects", objects, 1)
    name, root = find_plot(plot), None if data is None else Path(data)
    find_files(folder, name)
    if name == PICTURES:
        examples = load_examples(
            runs, max_clicks, objects, root, labels=labels, place=place, trusted=trusted
        )
        return save_pictures(list(examples), folder)
    if name == BOUNDARIES:
        values = [
            compute_boundaries(run, max_clicks, root, place=place, trusted=trusted) for run in runs
        ]
        return save_boundaries(runs, values, folder, labels)
    from isbench.reporting.plots import PLOTS  # imports matplotlib, which is slow

    return _save(find_files(folder, name), PLOTS[name], runs, max_clicks, labels)


def find_plot(plot: str) -> str:
    """Return the name of a plot, which may be spelled differently; raises IsbenchError."""
    from isbench.reporting.plots import ALIASES

    name = ALIASES.get(plot, plot)
    if name not in list_plots():
        raise make_unknown_error("plot", plot, list_plots(), "plot")
    return name


def list_plots() -> tuple[str, ...]:
    """Return the names of all plots."""
    from isbench.reporting.plots import PLOTS

    return (*PLOTS, BOUNDARIES, PICTURES)


def find_files(out: Path | str, plot: str) -> list[Path]:
    """Return the files of a plot: the file that `out` names, or those in the folder `out`.

    Raises IsbenchError for a file of a format that plots are not written in.
    """
    path = Path(out)
    kind = path.suffix[1:].lower()
    if path.is_dir() or kind not in (*FORMATS, *_OTHER_FORMATS):
        return [path / f"{plot}.{kind}" for kind in (("png",) if plot == PICTURES else FORMATS[:2])]
    if kind not in FORMATS:
        raise IsbenchError(
            f"out is {path}; wanted a folder, or a file that ends in .png, .svg or .pdf",
            setting="out",
        )
    return [path]


def save_boundaries(
    runs: Sequence[Run],
    values: Sequence[Any],
    out: Path | str,
    labels: Mapping[str, str] = NO_LABELS,
) -> list[Path]:
    """Draw the boundary IoU curves and return the files, those of `find_files`."""
    from isbench.reporting.plots import plot_biou_k

    return _save(find_files(out, BOUNDARIES), plot_biou_k, runs, values, labels)


def save_pictures(examples: Sequence[QualitativeExample], out: Path | str) -> list[Path]:
    """Draw examples side by side and return the files, those of `find_files`."""
    from isbench.reporting.qualitative_plot import plot_side_by_side

    return _save(find_files(out, PICTURES), plot_side_by_side, examples)


def _save(paths: list[Path], draw: Callable[..., Any], *drawn: Any) -> list[Path]:
    """Draw a figure and write it to every path, in the format of the suffix."""
    import matplotlib

    # the same runs give the same file; a name with dollar signs is not a formula
    settings: Any = {"svg.hashsalt": "isbench", "text.parse_math": False}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing")  # a box stands for a sign
        figure = draw(*drawn)
        for path in paths:
            kind = path.suffix[1:].lower()
            dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
            options = {"dpi": 150} if kind == "png" else {"metadata": dates[kind]}
            with open_atomically(path) as file:
                figure.savefig(file, format=kind, **options)
    return paths
