"""What a run is played on: the machine and the versions, for the record's meta file."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from isbench.processor import processor

PACKAGES = (
    "isbench",
    "numpy",
    "opencv-python-headless",
    "openvino",
    "pillow",
    "scipy",
    "torch",
)


def surroundings() -> dict[str, Any]:
    """Return the machine and the versions that play."""
    return {
        "host": platform.node(),
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
