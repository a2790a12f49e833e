"""The machine and the library versions of a run, for its meta file."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_NUMBERS = ("cpu family", "model", "stepping")  # distinguish processors with equal names
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


def processor() -> str:
    """Return a description of this machine's processor."""
    try:
        description = _parse_cpuinfo(Path("/proc/cpuinfo").read_text())
    except OSError:
        description = ""
    return description or f"{platform.processor() or 'unknown'} ({platform.machine()})"


def _parse_cpuinfo(text: str) -> str:
    """Return the description of the first processor in /proc/cpuinfo, '' if it has no name."""
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    facts = {key.strip(): value.strip() for key, _, value in pairs}
    if "model name" not in facts:
        return ""
    numbers = ", ".join(f"{key} {facts[key]}" for key in _NUMBERS if key in facts)
    return f"{facts['model name']} ({platform.machine()}, {numbers})"
