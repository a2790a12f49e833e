"""Third-party packages: modules and entry points in a folder, found like installed ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest


def install_package(
    patch: pytest.MonkeyPatch,
    folder: Path,
    modules: Mapping[str, str],
    entry_points: Mapping[str, Mapping[str, str]],
    extras: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> None:
    """Write modules (name -> code) and entry points (group -> name -> object); find them by path.

    `extras` are optional libraries by the name of the extra.

    Worker processes find them too, since they get the path of their parent.
    """
    about = folder / f"{folder.name}-1.0.dist-info"
    about.mkdir(parents=True)
    for name, code in modules.items():
        (folder / f"{name}.py").write_text(code)
    facts = f"Metadata-Version: 2.1\nName: {folder.name}\nVersion: 1.0\n"
    for extra, libraries in extras.items():
        facts += f"Provides-Extra: {extra}\n"
        facts += "".join(f'Requires-Dist: {one}; extra == "{extra}"\n' for one in libraries)
    (about / "METADATA").write_text(facts)
    lines = []
    for group, points in entry_points.items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")
    patch.syspath_prepend(folder)
