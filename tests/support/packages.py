"""Packages as an installer leaves them: a module, and the entry points that it adds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def add_package(
    folder: Path, module: str, code: str, points: Mapping[str, str], group: str
) -> Path:
    """Write a module and its entry points into a folder and return it; it goes on `sys.path`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{module}.py").write_text(code)
    facts = folder / f"{module}-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    lines = [f"{name} = {module}:{attribute}" for name, attribute in points.items()]
    (facts / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
    return folder
