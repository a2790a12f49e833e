"""A paper's figures as files, drawn from recorded runs. Not here: what they show (`figures`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from isbench.errors import IsbenchError
from isbench.papers.figures import find_shown, name_file
from isbench.papers.paper import Paper, PaperFigure
from isbench.papers.register import read_register
from isbench.papers.registry import load_paper
from isbench.papers.reproduction import load_runs
from isbench.reporting import plot_files
from isbench.reporting.qualitative import load_examples
from isbench.storage.store import Run

_FORMATS = ("png", "svg")


def draw_figures(
    paper: Paper | str | None,
    names: Sequence[str],
    *,
    results: Path | str = "results",
    out: Path | str | None = None,
    data: Path | str | None = None,
) -> list[Path]:
    """Draw figures of a paper from recorded runs and return the files, a PNG and an SVG each.

    Parameters
    ----------
    paper : Paper, str or None
        A paper or its name; None: the one that comes with isbench.
    names : sequence of str
        The figures, such as "3".
    results : Path or str
        The folder of the runs. Nothing is played.
    out : Path, str or None
        The folder of the files; None: that of the runs.
    data : Path, str or None
        The folder of the data sets, whose images pictures show. Both models answer the clicks that
        were recorded for the first one.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    IsbenchError
        For an unknown figure, one that no run shows, and pictures without data or weights.
    """
    paper = paper if isinstance(paper, Paper) else load_paper(paper)
    chosen = [paper.find_figure(name) for name in dict.fromkeys(names)]
    results = Path(results)
    folder, data = results if out is None else Path(out), None if data is None else Path(data)
    runs, _ = load_runs(results)
    register = read_register(results, runs)
    files = []
    for figure in chosen:
        shown = find_shown(figure, runs, register)
        if not shown:
            raise IsbenchError(
                f"no run in {results} shows figure {figure.name} of {paper.name}; wanted games of "
                f"{figure.max_clicks} clicks that do not stop at an IoU"
            )
        files += _draw(figure, [one.run for one in shown], folder, data)
    return files


def _draw(figure: PaperFigure, runs: list[Run], folder: Path, data: Path | None) -> list[Path]:
    paths = [folder / f"{name_file(figure)}.{kind}" for kind in _FORMATS]
    if figure.plot == "iou_k":
        for path in paths:
            plot_files.save_plot(runs, figure.plot, figure.max_clicks, path)
        return paths
    examples = list(load_examples(runs, figure.max_clicks, figure.objects, data))
    for path in paths:
        plot_files.save_pictures(examples, path)
    return paths
