from functools import partial
from pathlib import Path

import numpy as np

from isbench import Dataset, Reader, Sample


def load(folder, key):  # the image (H, W, 3) uint8 RGB; the object and unscored pixels (H, W) bool
    with np.load(folder / f"{key.partition('#')[0]}.npz") as tile:
        return Sample(key, tile["image"], tile["truth"], tile["ignore"])


def read(place, data):  # the text after "tiles:", and the folder of --data or None
    folder = (data or Path()) / place
    files = {path.name: path for path in sorted(folder.glob("*.npz"))}
    keys = tuple(f"{path.stem}#1" for path in files.values())
    return Dataset(f"tiles:{folder.name}", keys, partial(load, folder), files)


reader = Reader("tiles", "PATH", read, "NumPy archives", lambda place: str(Path(place).resolve()))
