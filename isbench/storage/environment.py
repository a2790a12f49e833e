"""The machine and the library versions of a run, for its meta file."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_NUMBERS = ("cpu family", "model", "stepping")  # distinguish processors with equal names
PACKAGES = (
    "isbench",
    "numpy",
    "onnxruntime",
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
        "processor": describe_processor(),
        "python": platform.python_version(),
        "versions": {name: _find_version(name) for name in PACKAGES},
    }


class LoadMeter:
    """Measures how busy the processors of this machine are, from when it is made."""

    def __init__(self) -> None:
        """Start to measure."""
        self._start = _read_processor_times()
        self._own = sum(os.times()[:4])

    def read(self) -> dict[str, float]:
        """Return how many processors were busy on average, in all and for other processes.

        Empty where the system does not count this. Time of finished child processes is own time.
        """
        start, end = self._start, _read_processor_times()
        if start is None or end is None or end[1] <= start[1]:
            return {}
        count = os.cpu_count() or 1
        seconds = (end[1] - start[1]) / count
        busy = (end[0] - start[0]) / seconds
        own = (sum(os.times()[:4]) - self._own) / seconds
        others = min(count, max(0.0, busy - own))
        return {"busy": round(busy, 2), "others": round(others, 2), "processors": count}


def _read_processor_times() -> tuple[float, float] | None:
    """Return the seconds that all processors were busy, and all seconds; None if not known."""
    try:
        words = Path("/proc/stat").read_text().partition("\n")[0].split()
        ticks = [int(word) for word in words[1:9]]  # user, nice, system, idle, wait, ...
        whole = sum(ticks) / os.sysconf("SC_CLK_TCK")
        return whole - (ticks[3] + ticks[4]) / os.sysconf("SC_CLK_TCK"), whole
    except (OSError, ValueError, IndexError):
        return None


def _find_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def describe_processor() -> str:
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
