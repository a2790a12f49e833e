"""Time the demo: until it is ready, until an image is prepared, and its first clicks over HTTP.

Each round starts `isbench demo` again, so that nothing is left from the round before except
OpenVINO's files on disk. The first click is at the image's centre, as the first one that the
server answers; `elsewhere` is the first click of another game, in the upper left.

    python -m benchmarks.demo csfpn-lite
    python -m benchmarks.demo csfpn-lite --threads 1 2 --out results/demo.csv
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median

import cv2

from isbench.datasets.catalogue import list_sample_images
from isbench.datasets.image_io import read_image
from isbench.reporting.text_table import format_rows

STEPS = ("page", "prepared", "first click", "elsewhere")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--weights")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--size", type=int, nargs=2, default=[480, 640], metavar=("ROWS", "COLS"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="csv file")
    options = parser.parse_args()
    rows, cols = options.size
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder, "image.png")
        photograph = read_image(list_sample_images()[0])
        cv2.imwrite(str(image), cv2.resize(photograph, (cols, rows))[..., ::-1])
        words = ["--model", options.model, str(image)]
        words += ["--weights", options.weights] if options.weights else []
        lines = []
        for threads in options.threads:
            played = [*words, "--threads", str(threads)]
            times = [play(played, (rows, cols)) for _ in range(options.rounds)]
            for step, column in zip(STEPS, zip(*times, strict=True), strict=True):
                lines.append((options.model, threads, step, median(column), max(column)))
    for model, threads, step, middle, most in lines:
        print(f"{model}, {threads} thread(s), {step}: median {middle:.3f} s, most {most:.3f} s")
    if options.out:
        rows = [(*line[:3], *(f"{s:.3f}" for s in line[3:])) for line in lines]
        heads = ("model", "threads", "step", "median_s", "most_s")
        options.out.write_text(format_rows(heads, rows))


def play(words: list[str], size: tuple[int, int]) -> list[float]:
    """Return seconds: until the page, until prepared, then of clicks on an image of rows, cols."""
    command = [sys.executable, "-m", "isbench", "demo", "--port", "0", "--no-browser", *words]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            page = ask(address).decode()
            times = [time.perf_counter() - began]
            (image,) = json.loads(page.partition('id="images">')[2].partition("</script>")[0])
            question = {"image": image["id"], "model": words[1]}
            middle, corner = [size[0] // 2, size[1] // 2, 1], [size[0] // 4, size[1] // 4, 1]
            for path, clicks in (
                ("preparations", []),
                ("answers", [middle]),
                ("answers", [corner]),
            ):
                began = time.perf_counter()
                ask(address + path, json.dumps({**question, "clicks": clicks}).encode())
                times.append(time.perf_counter() - began)
        finally:
            server.terminate()
    return times


def ask(url: str, data: bytes | None = None) -> bytes:
    """Return the body of an answer."""
    with urllib.request.urlopen(urllib.request.Request(url, data)) as response:
        body: bytes = response.read()
    return body


if __name__ == "__main__":
    main()
