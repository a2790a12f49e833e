"""Installation of data sets from folders and archives: checked, then moved in one step."""

from __future__ import annotations

import shutil
import stat
import tempfile
from pathlib import Path

from isbench.datasets.catalogue import DatasetCard
from isbench.datasets.fingerprints import digest_file
from isbench.errors import IsbenchError
from isbench.files.archives import Unusable, unpack

_DEPTH = 4  # folders that may be nested around a data set in an archive
_STRAY = frozenset({"__MACOSX"})  # metadata that macOS adds for every file in an archive


def install(name: str, card: DatasetCard, source: Path, data: Path) -> Path:
    """Copy the data set in `source` into the data folder and return its folder.

    `source` is a folder or an archive that contains the official layout. The data set appears whole
    or not at all. Raises IsbenchError if it already exists or a folder lacks the layout; Unusable
    if an archive is damaged, lacks the layout, contains a path that leads out of it, or does not
    have the published sha256.
    """
    target = place(name, card, data)
    if not source.exists():
        raise IsbenchError(
            f"{source} does not exist; wanted a folder, zip or tar with {name} in it"
        )
    try:
        data.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".incoming-", dir=data) as scratch:
            incoming = Path(scratch, "set")  # the scratch folder itself has mode 700
            if source.is_dir():
                _copy(_find_valid_root(name, card, source), incoming)
                root = incoming
            else:
                root = _unpack_set(name, card, source, incoming)
            root.replace(target)
    except OSError as error:
        raise IsbenchError(
            f"cannot import {source} into {data}: {error.strerror or error}"
        ) from error
    return target


def place(name: str, card: DatasetCard, data: Path) -> Path:
    """Return the folder for the data set; raises IsbenchError if it already exists."""
    target = data / card.folders[0]
    if target.exists():
        raise IsbenchError(f"{target} already exists; remove it to import {name} again")
    return target


def _unpack_set(name: str, card: DatasetCard, archive: Path, into: Path) -> Path:
    """Unpack an archive and return the folder of the data set in it."""
    _check_digest(card, archive)
    unpack(archive, into)
    try:
        return _find_valid_root(name, card, into)
    except IsbenchError as error:  # `into` is removed before the user reads the message
        raise Unusable(str(error).replace(str(into), str(archive))) from error


def _find_valid_root(name: str, card: DatasetCard, folder: Path) -> Path:
    """Return the folder of the data set in `folder` after its reader accepts it."""
    root = _find_root(folder, card)
    card.read(name, root)
    return root


def _copy(root: Path, into: Path) -> None:
    """Copy the files of a data set as writable, without the scratch folders of imports."""
    incoming = shutil.ignore_patterns(".incoming-*")
    shutil.copytree(root, into, copy_function=shutil.copyfile, ignore=incoming)
    for path in (into, *into.rglob("*")):
        if path.is_dir():
            path.chmod(path.stat().st_mode | stat.S_IRWXU)


def _find_root(folder: Path, card: DatasetCard) -> Path:
    """Return the shallowest folder that contains the landmark of the data set."""
    level = [folder]
    for _ in range(_DEPTH + 1):
        for candidate in level:
            if (candidate / card.landmark).is_dir():
                return candidate
        children = (child for parent in level for child in sorted(parent.iterdir()))
        level = [child for child in children if child.is_dir() and child.name not in _STRAY]
    raise IsbenchError(
        f"no folder {card.landmark} in {folder}; wanted the layout of {card.folders[0]} (see "
        "docs/datasets.md)"
    )


def _check_digest(card: DatasetCard, archive: Path) -> None:
    wanted = card.archive.sha256 if card.archive else None
    if wanted is None:
        return
    found = digest_file(archive)
    if found != wanted:
        raise Unusable(
            f"{archive} has sha256 {found}, the published archive {wanted}; download it again, or "
            "unpack it and import the folder if you trust it"
        )
