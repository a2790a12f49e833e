"""Installation of data sets by download, from archives and from folders, and names for others.

A data set is checked and then moved into the data folder in one step.
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from isbench.datasets import user_datasets
from isbench.datasets.catalogue import DatasetCard
from isbench.datasets.data_root import find_data_folder
from isbench.datasets.faults import list_faults
from isbench.datasets.readers import resolve_place
from isbench.datasets.registry import BUILT_IN, find_root, load_dataset_card, suggest_installation
from isbench.datasets.verify import Verdict, verify_named
from isbench.errors import IsbenchError
from isbench.extensions import name_errors
from isbench.files.archives import Unusable, unpack
from isbench.files.digests import digest_file
from isbench.files.download import fetch
from isbench.types import File

_DOWNLOADS = "downloads"
_REMEDY = "download it again, or unpack it yourself and import the folder if you trust it"
_DEPTH = 4  # folders that may be nested around a data set in an archive
_STRAY = frozenset({"__MACOSX"})  # metadata that macOS adds for every file in an archive


class Addition(NamedTuple):
    """A data set that got a name: its `READER:PLACE` with absolute paths, and the verdict on it."""

    place: str
    verdict: Verdict


def download_dataset(
    name: str,
    data: Path | str | None = None,
    urls: Sequence[str] = (),
    progress: Callable[[File, int, int | None], None] = lambda file, done, total: None,
) -> Path:
    """Download a published data set into the data folder and return its folder.

    A data set that is there already is not downloaded again; an interrupted download is resumed.

    Parameters
    ----------
    name : str
        The name of a data set of isbench or of a package.
    data : Path, str or None
        The folder of the data sets, as for `load_dataset`.
    urls : sequence of str
        Addresses to try before the published ones.
    progress : callable
        Called with the file, the bytes so far and the total or None.

    Returns
    -------
    Path
        The folder of the data set.

    Raises
    ------
    IsbenchError
        For an unknown name, a data set without a published archive, and a failed download.
    """
    card, root = find_installable(name), _find_target(data)
    if (found := find_root(card, root)) is not None:
        if card.archive is not None:  # left by a process that was killed after unpacking it
            with suppress(OSError):
                (root / _DOWNLOADS / card.archive.name).unlink(missing_ok=True)
        return found
    place(name, card, root)  # raises before the download, not after it
    if card.archive is None:
        raise IsbenchError(
            f"data set {name} has no published archive; {suggest_installation(name, card)}"
        )
    file = replace(card.archive, urls=(*urls, *card.archive.urls))
    archive = fetch(file, root / _DOWNLOADS, partial(progress, file))
    try:
        target = install(name, card, archive, root)
    except Unusable:
        archive.unlink()
        raise
    archive.unlink()
    return target


def import_dataset(name: str, source: Path | str, data: Path | str | None = None) -> Path:
    """Copy a data set into the data folder and return its folder.

    Parameters
    ----------
    name : str
        The name of a data set of isbench or of a package.
    source : Path or str
        A folder, zip or tar that contains the official layout, at any depth.
    data : Path, str or None
        The folder of the data sets, as for `load_dataset`.

    Returns
    -------
    Path
        The folder of the data set.

    Raises
    ------
    IsbenchError
        For an unknown name, a data set that is there already, and a source without the layout.
    """
    return install(name, find_installable(name), Path(source), _find_target(data))


def add_dataset(name: str, place: str, data: Path | str | None = None) -> Addition:
    """Give a `READER:PLACE` a data set name, which is stored in the data folder.

    The images stay where they are. Every object is read first.

    Parameters
    ----------
    name : str
        Works like that of any other data set.
    place : str
        `folder:PATH`, `coco:IMAGES_DIR,ANNOTATIONS.json` or the form of another reader.
    data : Path, str or None
        The folder of the data sets, as for `load_dataset`.

    Returns
    -------
    Addition
        What is stored, and the counts and the fingerprint.

    Raises
    ------
    IsbenchError
        For an invalid or taken name, an unknown reader, and an object that cannot be read.
    """
    root = _find_target(data)
    resolved = resolve_place(place)  # what is read now is what is stored
    verdict = verify_named(resolved, root)
    if verdict.faults:
        raise list_faults(f"not added: {resolved}", verdict.faults)
    return Addition(user_datasets.add(name, resolved, root), verdict)


def find_installable(name: str) -> DatasetCard:
    """Return the card of a named data set; raises IsbenchError if it comes with a package."""
    card = load_dataset_card(name)
    if card.bundled is not None:
        origin = "isbench" if name in BUILT_IN else "its package"
        raise IsbenchError(f"data set {name} comes with {origin}; there is nothing to download")
    return card


def _find_target(data: Path | str | None) -> Path:
    return find_data_folder(None if data is None else Path(data))


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
        with _open_scratch(data, target.name) as scratch:
            incoming = scratch / "set"  # the scratch folder itself has mode 700
            if source.is_dir():
                _copy(_find_valid_root(name, card, source), incoming)
                root = incoming
            else:
                root = _unpack_set(name, card, source, incoming)
            root.replace(target)
    except OSError as error:
        raise IsbenchError(f"cannot import {source} into {data}: {_describe(error)}") from error
    return target


def _describe(error: OSError) -> str:
    """Return the reason of an error; the first one, of the copy of a whole folder."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        path, _, reason = error.args[0][0]
        return f"{path}: {reason}"
    return error.strerror or str(error)


def place(name: str, card: DatasetCard, data: Path) -> Path:
    """Return the folder for the data set; raises IsbenchError if it already exists."""
    target = data / card.folders[0]
    if target.exists():
        raise IsbenchError(f"{target} already exists; remove it to import {name} again")
    return target


@contextmanager
def _open_scratch(data: Path, name: str) -> Iterator[Path]:
    """Yield an empty folder in `data` and remove it; what a killed process left is removed first.

    Raises IsbenchError if another process has it open.
    """
    lock_path, scratch = data / f".incoming-{name}.lock", data / f".incoming-{name}"
    lock = FileLock(lock_path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise IsbenchError(
            f"another process is importing {name} into {data}; wait until it has finished"
        ) from None
    try:
        if scratch.exists():
            shutil.rmtree(scratch)
        scratch.mkdir(mode=0o700)
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        lock_path.unlink(missing_ok=True)
        lock.release()


def _unpack_set(name: str, card: DatasetCard, archive: Path, into: Path) -> Path:
    """Unpack an archive and return the folder of the data set in it."""
    _check_digest(card, archive)
    try:
        unpack(archive, into)
    except Unusable as error:
        raise Unusable(f"{error}; {_REMEDY}") from error
    try:
        return _find_valid_root(name, card, into)
    except IsbenchError as error:  # `into` is removed before the user reads the message
        raise Unusable(str(error).replace(str(into), str(archive))) from error


def _find_valid_root(name: str, card: DatasetCard, folder: Path) -> Path:
    """Return the folder of the data set in `folder` after its reader accepts it."""
    root = _find_root(folder, card)
    with name_errors(f"data set {name} cannot read {root}"):
        card.read(name, root)
    return root


def _copy(root: Path, into: Path) -> None:
    """Copy the files of a data set as writable, without the scratch folders of imports.

    Raises IsbenchError for an entry that cannot be copied as a file or a folder.
    """
    ignore = shutil.ignore_patterns(".incoming-*")

    def choose(folder: str, names: list[str]) -> set[str]:
        for name in names:
            _check_entry(Path(folder, name))
        return ignore(folder, names)

    shutil.copytree(root, into, copy_function=shutil.copyfile, ignore=choose)
    for path in (into, *into.rglob("*")):
        if path.is_dir():
            path.chmod(path.stat().st_mode | stat.S_IRWXU)


def _check_entry(path: Path) -> None:
    """Raise IsbenchError for an entry that is no file and no folder, or leads to one above it."""
    fault = ""
    if path.is_symlink() and path.is_dir():
        if path.parent.resolve().is_relative_to(path.resolve()):
            fault = "is a link to a folder that contains it"
    elif not path.exists():
        fault = "is a dangling link"
    elif not (path.is_file() or path.is_dir()):
        fault = "is neither a file nor a folder"
    if fault:
        raise IsbenchError(f"{path} {fault}; remove it")


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
        raise Unusable(f"{archive} has sha256 {found}, the published archive {wanted}; {_REMEDY}")
