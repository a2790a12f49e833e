"""Versions of the libraries that decide masks, for cards: found without importing the libraries."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

_OPENCV = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python-headless",
    "opencv-contrib-python",
)


def find_version(package: str, module: str) -> str:
    """Return the version of an optional package, "" if it is missing: no model plays then."""
    # a folder of the module's name is found like the module
    return _find_version(package) if find_spec(module) else ""


def find_torch_version() -> str:
    """Return the version of PyTorch without its build, which has no effect on masks."""
    return version("torch").partition("+")[0]


def find_opencv_version() -> str:
    """Return `cv2.__version__`."""
    found = [one for one in map(_find_version, _OPENCV) if one]
    # such as 4.12.0.88: OpenCV's version and the number of the package's build
    if len(found) == 1 and re.fullmatch(r"\d+\.\d+\.\d+\.\d+", found[0]):
        return found[0].rpartition(".")[0]
    import cv2  # installed in another way, or by several packages: only itself knows

    return cv2.__version__


def _find_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
