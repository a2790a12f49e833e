"""The machine and the versions that a run is played on, for its meta file."""

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


def describe_environment() -> dict[str, Any]:
    """Return the host, processor and versions."""
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
