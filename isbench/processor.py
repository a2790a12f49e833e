"""Which processor this is: its name, and the numbers that tell it from its kin."""

from __future__ import annotations

import platform
from pathlib import Path

_NUMBERS = ("cpu family", "model", "stepping")


def processor() -> str:
    """Return this machine's processor in words."""
    try:
        told = _of_linux(Path("/proc/cpuinfo").read_text())
    except OSError:
        told = ""
    return told or f"{platform.processor() or 'unknown'} ({platform.machine()})"


def _of_linux(text: str) -> str:
    """Return what the first processor of a /proc/cpuinfo tells, '' if it names none."""
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    facts = {key.strip(): value.strip() for key, _, value in pairs}
    if "model name" not in facts:
        return ""
    numbers = ", ".join(f"{key} {facts[key]}" for key in _NUMBERS if key in facts)
    return f"{facts['model name']} ({platform.machine()}, {numbers})"
