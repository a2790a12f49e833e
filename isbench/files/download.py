"""Resumable downloads: from a list of mirrors to one checked file.

A partial download is `<name>.<mirror>.part`; nothing else is left by a process that is killed. Not
here: the content of the files (`archives`).
"""

from __future__ import annotations

import glob
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import sleep
from typing import TypeAlias

import requests
from urllib3.exceptions import HTTPError as TransferError

from isbench.errors import IsbenchError, Remedy
from isbench.files.digests import describe_mismatch
from isbench.types import File

_TIMEOUT = (10, 30)  # seconds to connect, and between two blocks
_BLOCK = 1 << 16  # bytes that a reset connection may lose
_TRIES = 5  # consecutive tries of one mirror without new bytes
_PAUSE = 0.2  # seconds before the next try, doubled after each try without new bytes
_MOST_UNSTATED = 1_000_000_000  # bytes of a file whose size neither the card nor the server states

REMEDY = Remedy(
    "pass another address as `urls`, or download it by other means and use `isbench data import`",
    setting="urls",
)

# called with (bytes so far, total bytes or None)
Progress: TypeAlias = Callable[[int, int | None], None]


def fetch(
    file: File,
    folder: Path,
    progress: Progress = lambda done, total: None,
    remedy: Remedy = REMEDY,
) -> Path:
    """Return the local copy of a file; download it if it is not in `folder`.

    Mirrors are tried in order, each one repeatedly as long as it sends new bytes. A copy that does
    not have the known size or hash is deleted. A partial download is kept as
    `<name>.<mirror>.part` and resumed, unless the mirror's file has changed. Of a file whose size
    is not known, no more is written than the server states, than the disk has room for, and than
    1 GB if it states nothing. Raises IsbenchError with the answer of each mirror and the remedy.
    """
    answers = []
    for url in file.urls:
        try:
            return _fetch_from(url, file, folder, progress)
        except (IsbenchError, OSError, ValueError) as error:  # requests' errors are OSErrors
            answers.append(f"{url}: {_describe_error(error)}")
    message = f"{file.name} could not be downloaded ({'; '.join(answers)}); {remedy.text}"
    raise IsbenchError(message, setting=remedy.setting)


def _fetch_from(url: str, file: File, folder: Path, progress: Progress) -> Path:
    """Return the local copy of a file, downloaded from one mirror if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / file.name
    if target.is_file() and not describe_mismatch(file, target):
        return target
    target.unlink(missing_ok=True)
    # a part belongs to one mirror: another mirror may serve another version of the file
    part = folder / f"{file.name}.{sha256(url.encode()).hexdigest()[:8]}.part"
    transfer = _Transfer(url, file, part, progress)
    transfer.run()
    if mismatch := describe_mismatch(file, part):
        transfer.drop()
        raise IsbenchError(f"it is not the published file: {mismatch}")
    part.replace(target)
    for left in folder.glob(f"{glob.escape(file.name)}.*.part*"):  # of other mirrors too
        left.unlink(missing_ok=True)
    return target


class _Incomplete(IsbenchError):
    """A transfer is incomplete; the next try resumes it."""


@dataclass(frozen=True)
class _Transfer:
    """A download from one mirror into a part, resumed where the part ends.

    The ETag of the mirror's file, or else its date, is in `<part>-version`, so that bytes of two
    versions are never joined.
    """

    url: str
    file: File
    part: Path
    progress: Progress

    def run(self) -> None:
        """Write the whole file to the part."""
        idle, most = 0, _measure_size(self.part)
        while True:
            try:
                self._download_rest(_measure_size(self.part))
                return
            except (requests.RequestException, _Incomplete) as error:
                # a server without ranges starts over each time, so only new bytes count
                idle = 0 if _measure_size(self.part) > most else idle + 1
                most = max(most, _measure_size(self.part))
                if idle == _TRIES or not _is_temporary(error):
                    raise
                sleep(_PAUSE * 2**idle)

    def drop(self) -> None:
        """Remove the part."""
        self.part.unlink(missing_ok=True)
        self._version.unlink(missing_ok=True)

    @property
    def _version(self) -> Path:
        return self.part.with_name(f"{self.part.name}-version")

    def _download_rest(self, have: int) -> None:
        """Download the missing bytes, or all bytes if the server does not support ranges."""
        version = self._read_version() if have else ""
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        if version:
            headers["If-Range"] = version
        with requests.get(self.url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                if have == _find_total(response, 0):
                    return  # the last try stopped exactly at the end of the file
                self.drop()
                raise _Incomplete("its file is shorter than the partial download")
            response.raise_for_status()
            if "text/html" in response.headers.get("Content-Type", "").lower():
                raise IsbenchError("it answered with a web page instead of the file")
            if response.status_code != requests.codes.partial_content:
                have = 0
            self._check_continues(response, have, version)
            self._write(response, have)

    def _check_continues(self, response: requests.Response, have: int, version: str) -> None:
        """Raise _Incomplete, and drop the part, if a partial response does not belong to it."""
        if have and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            self.drop()
            raise _Incomplete("it sent another byte range than requested")
        if have and version not in ("", _find_version(response) or version):
            self.drop()
            raise _Incomplete("its file changed after the first part was downloaded")

    def _write(self, response: requests.Response, have: int) -> None:
        """Append the response after the first `have` bytes of the part."""
        total = _find_total(response, have)
        most = self._find_most(total, have)
        if not have:
            self.drop()
            with self._version.open("wb") as out:
                out.write(_find_version(response).encode())
        try:
            with self.part.open("ab" if have else "wb") as out:
                # not decoded: some servers declare the gzip of a .tgz as a transfer encoding
                for block in response.raw.stream(_BLOCK, decode_content=False):
                    have += out.write(block)
                    if have > most:
                        break
                    self.progress(have, total)
        except TransferError as error:
            raise _Incomplete(f"the transfer stopped after {have} bytes") from error
        if have > most:
            self.drop()
            raise IsbenchError(
                f"it sent more than {most} bytes, {_describe_bound(self.file, total)}"
            )
        if total is not None and have != total:
            raise _Incomplete(f"the transfer stopped after {have} of {total} bytes")

    def _find_most(self, total: int | None, have: int) -> int:
        """Return the most bytes of the file; raises IsbenchError if the server states too many."""
        if self.file.size is not None:
            if total is not None and total > self.file.size:
                raise IsbenchError(f"it has {total} bytes, wanted {self.file.size}")
            return self.file.size
        if total is None:
            return _MOST_UNSTATED
        free = shutil.disk_usage(self.part.parent).free
        if total - have > free:
            raise IsbenchError(f"it has {total} bytes, but only {free} are free on the disk")
        return total

    def _read_version(self) -> str:
        with suppress(OSError, UnicodeDecodeError):
            return self._version.read_bytes().decode("latin-1")
        return ""


def _find_version(response: requests.Response) -> str:
    """Return the ETag or the date of a file as If-Range takes it, '' if the server states none."""
    tag = response.headers.get("ETag", "")
    strong = tag.startswith('"') and tag.isascii() and tag.isprintable()
    return tag if strong else _find_date(response)


def _find_date(response: requests.Response) -> str:
    date = response.headers.get("Last-Modified", "")
    return date if date.isascii() and date.isprintable() else ""


def _describe_bound(file: File, total: int | None) -> str:
    if file.size is not None:
        return "the published size"
    return "the size that it states" if total is not None else "and did not state its size"


def _is_temporary(error: Exception) -> bool:
    """Whether another try may succeed: any error but a rejection of the request itself."""
    refused = isinstance(error, requests.HTTPError) and error.response.status_code < 500
    return not refused and not isinstance(error, (requests.exceptions.InvalidURL, ValueError))


def _measure_size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _find_total(response: requests.Response, have: int) -> int | None:
    """Return the size of the whole file as stated by the server, None if it states none."""
    with suppress(ValueError, KeyError):
        stated = response.headers.get("Content-Range", "").rpartition("/")[2]
        total = int(stated) if stated else have + int(response.headers["Content-Length"])
        return total if total >= have else None
    return None


def _describe_error(error: Exception) -> str:
    if isinstance(error, requests.HTTPError):
        return f"HTTP {error.response.status_code}"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return str(error) or type(error).__name__
