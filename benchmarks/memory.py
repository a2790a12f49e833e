"""Measure the peak memory of a run as the number of objects grows: it should stay nearly constant.

Writes a `folder:` data set of small images for each size, plays it with `nearest` in a separate
process, and prints the peak resident memory of that process.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np


def write_set(root: Path, objects: int) -> None:
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    rng = np.random.default_rng(0)
    for number in range(objects):
        picture = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
        mask = np.zeros((48, 64), np.uint8)
        cv2.circle(mask, (10 + number % 40, 10 + number % 30), 4 + number % 9, 255, -1)
        cv2.imwrite(str(root / "images" / f"{number:06d}.png"), picture)
        cv2.imwrite(str(root / "masks" / f"{number:06d}.png"), mask)


def play(root: Path, out: Path) -> None:
    from isbench import Rules, load_dataset, run
    from isbench.reporting.tables import compute_figures

    played = run("nearest", load_dataset(f"folder:{root}"), Rules(stop_iou=1.01), out=out)
    compute_figures(played)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(played.trajectories):6d} objects  {peak:7.1f} MiB at the peak", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--play", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.play:
        play(*options.play)
        return
    for objects in options.objects:
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch, "set")
            write_set(root, objects)
            paths = [str(root), str(Path(scratch, "runs"))]
            subprocess.run([sys.executable, __file__, "--play", *paths], check=True)


if __name__ == "__main__":
    main()
