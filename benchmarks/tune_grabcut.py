"""Tune GrabCut's parameters on the held-out part of a training pack (tars and index.csv).

Images are held out if the sha256 of their name is 0 modulo 20; the pack contains no benchmark
images. `--objects` of them are spread evenly over the sources. Prints NoC@85/90 for each choice of
parameters.
"""

from __future__ import annotations

import argparse
import csv
import io
import tarfile
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from baselines.grabcut import GrabCut
from isbench.evaluation.engine import play
from isbench.metrics import clicks_to, curves
from isbench.training.corpus import is_held_out
from isbench.types import Rules, Sample


def load_held_out(pack: Path, objects: int) -> list[Sample]:
    rows_of_source = defaultdict(list)
    for row in csv.DictReader((pack / "index.csv").open()):
        if is_held_out(row["image"]):
            rows_of_source[row["source"]].append(row)
    share = max(1, objects // len(rows_of_source))
    wanted = {
        row["image"]: row
        for rows in rows_of_source.values()
        for row in rows[:: max(1, len(rows) // share)][:share]
    }
    files = {}
    for tar in pack.glob("*.tar"):
        with tarfile.open(tar) as archive:
            names = {n for row in wanted.values() for n in (row["image"], row["mask"])}
            for member in archive:
                content = archive.extractfile(member)
                if content and member.name.removeprefix("./") in names:
                    files[member.name.removeprefix("./")] = content.read()
    samples = []
    for row in wanted.values():
        image = np.array(Pillow.open(io.BytesIO(files[row["image"]])).convert("RGB"))
        truth = np.array(Pillow.open(io.BytesIO(files[row["mask"]])).convert("L")) > 0
        samples.append(Sample(row["image"] + "#1", image, truth, np.zeros_like(truth)))
    return samples


def score(samples: list[Sample], choice: tuple[int, float, float, int]) -> str:
    started = time.perf_counter()
    iou = curves([g.trajectory for g in play(GrabCut(*choice), samples, Rules(stop_iou=0.9))], 20)
    seconds = time.perf_counter() - started
    noc = [clicks_to(iou, target).mean() for target in (0.85, 0.90)]
    return f"{choice}  NoC {noc[0]:.2f} {noc[1]:.2f}  {seconds:.0f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pack", type=Path)
    parser.add_argument("--objects", type=int, default=100)
    parser.add_argument("--longer-side", type=int, nargs="+", default=[256, 384])
    parser.add_argument("--seed", type=float, nargs="+", default=[0.01, 0.02])
    parser.add_argument("--reach", type=float, nargs="+", default=[0.1, 0.2])
    parser.add_argument("--iterations", type=int, nargs="+", default=[1, 3])
    options = parser.parse_args()
    samples = load_held_out(options.pack, options.objects)
    print(len(samples), "objects; (longer side, seed, reach, iterations)", flush=True)
    grid = product(options.longer_side, options.seed, options.reach, options.iterations)
    with ProcessPoolExecutor() as pool:
        for line in pool.map(partial(score, samples), grid):
            print(line, flush=True)


if __name__ == "__main__":
    main()
