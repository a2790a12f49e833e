"""Packages made on the spot that are really found by their entry points."""

from __future__ import annotations

from pathlib import Path

import pytest


def install(folder: Path, patch: pytest.MonkeyPatch, group: str, name: str, source: str) -> None:
    """Install a module of this source, whose attribute `paper` is an entry point of the group.

    The module is named after the folder of the test, so that no test imports that of another.
    """
    module = f"{folder.name}_{name}"
    site = folder / name
    facts = site / f"{module}-1.0.dist-info"
    facts.mkdir(parents=True)
    (site / f"{module}.py").write_text(source)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}:paper\n")
    patch.syspath_prepend(site)
