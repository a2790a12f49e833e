"""The cards of the classical methods that use OpenCV: GrabCut and the random walker."""

from __future__ import annotations

from baselines.libraries import find_opencv_version, find_version
from isbench.lazy_function import LazyFunction
from isbench.types import ModelCard

grabcut = ModelCard(
    "grabcut",
    LazyFunction("baselines.grabcut:GrabCut"),
    # chosen with benchmarks/tune_grabcut.py on the held-out part of the training pack, never on a
    # benchmark image
    {"longer_side": 256, "seed": 0.02, "reach": 0.1, "iterations": 2},
    summary="OpenCV's GrabCut seeded by clicks",
    source="doi:10.1145/1015706.1015720",
    licence="MIT; OpenCV Apache-2.0",
    libraries={"opencv": find_opencv_version()},
)
random_walker = ModelCard(
    "random-walker",
    LazyFunction("baselines.random_walker:RandomWalker"),
    # beta is scikit-image's default; nothing is tuned
    {"longer_side": 160, "seed": 0.015, "beta": 130.0},
    summary="scikit-image's random walker seeded by clicks",
    source="doi:10.1109/TPAMI.2006.233",
    licence="MIT; scikit-image BSD-3-Clause",
    libraries={"scikit-image": find_version("scikit-image", "skimage")},
)
