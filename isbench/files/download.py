"""Resumable downloads: from a list of mirrors to one checked file.

pooch stores the files and checks hashes; this module downloads them by byte range. Not here: the
content of the files (`archives`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import sleep
from typing import Any, TypeAlias

import pooch
import requests
from urllib3.exceptions import HTTPError as TransferError

from isbench.errors import IsbenchError, Remedy
from isbench.types import File

_TIMEOUT = (10, 30)  # seconds to connect, and between two blocks
_BLOCK = 1 << 16  # bytes that a reset connection may lose
_TRIES = 5  # consecutive tries of one mirror without new bytes
_PAUSE = 0.2  # seconds before the next try, doubled after each try without new bytes

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
    `<name>.<mirror>.part` and resumed. Raises IsbenchError with the answer of each mirror and the
    remedy.
    """
    pooch.get_logger().setLevel(logging.ERROR)
    known = f"sha256:{file.sha256}" if file.sha256 else f"md5:{file.md5}" if file.md5 else None
    if file.size not in (None, _size(folder / file.name)):
        (folder / file.name).unlink(missing_ok=True)
    answers = []
    for url in file.urls:
        downloader = _ResumingDownloader(file, folder, progress)
        try:
            return Path(pooch.retrieve(url, known, file.name, folder, downloader=downloader))
        except (IsbenchError, OSError, ValueError) as error:  # requests' errors are OSErrors
            answers.append(f"{url}: {_describe_error(error, file)}")
    message = f"{file.name} could not be downloaded ({'; '.join(answers)}); {remedy.text}"
    raise IsbenchError(message, setting=remedy.setting)


def describe_mismatch(file: File, path: Path) -> str:
    """Return how a copy differs from the published size or hash, '' if it does not."""
    if file.size not in (None, _size(path)):
        return f"it has {_size(path)} bytes, wanted {file.size}"
    for kind, wanted in (("sha256", file.sha256), ("md5", file.md5)):
        found = pooch.file_hash(str(path), alg=kind) if wanted else wanted
        if found != wanted:
            return f"its {kind} is {found}, wanted {wanted}"
    return ""


class _Incomplete(IsbenchError):
    """A transfer is incomplete; the next try resumes it."""


@dataclass(frozen=True)
class _ResumingDownloader:
    """A downloader for pooch that resumes partial downloads."""

    file: File
    folder: Path
    progress: Progress

    def __call__(self, url: str, output_file: Any, pooch_object: Any) -> None:
        """Write the whole file at `url` to `output_file`."""
        # a part belongs to one mirror: another mirror may serve another version of the file
        part = self.folder / f"{self.file.name}.{sha256(url.encode()).hexdigest()[:8]}.part"
        idle, most = 0, _size(part)
        while True:
            have = _size(part)
            try:
                self._download_rest(url, part, have)
                break
            except (requests.RequestException, _Incomplete) as error:
                # a server without ranges starts over each time, so only new bytes count
                idle = 0 if _size(part) > most else idle + 1
                most = max(most, _size(part))
                if idle == _TRIES or not _is_temporary(error):
                    raise
                sleep(_PAUSE * 2**idle)
        size = _size(part)
        if self.file.size not in (None, size):
            part.unlink()
            raise IsbenchError(f"it has {size} bytes, wanted {self.file.size}")
        part.replace(output_file)

    def _download_rest(self, url: str, part: Path, have: int) -> None:
        """Download the missing bytes, or all bytes if the server does not support ranges."""
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                if have == _total(response, 0):
                    return  # the last try stopped exactly at the end of the file
                part.unlink()
                raise _Incomplete("its file is shorter than the partial download")
            response.raise_for_status()
            if "text/html" in response.headers.get("Content-Type", "").lower():
                raise IsbenchError("it answered with a web page instead of the file")
            if response.status_code != requests.codes.partial_content:
                have = 0
            elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                part.unlink(missing_ok=True)
                raise _Incomplete("it sent another byte range than requested")
            self._write(response, part, have)

    def _write(self, response: requests.Response, part: Path, have: int) -> None:
        """Append the response after the first `have` bytes of the part."""
        total = _total(response, have)
        try:
            with part.open("ab" if have else "wb") as out:
                # not decoded: some servers declare the gzip of a .tgz as a transfer encoding
                for block in response.raw.stream(_BLOCK, decode_content=False):
                    have += out.write(block)
                    self.progress(have, total)
        except TransferError as error:
            raise _Incomplete(f"the transfer stopped after {have} bytes") from error
        if total is not None and have != total:
            raise _Incomplete(f"the transfer stopped after {have} of {total} bytes")


def _is_temporary(error: Exception) -> bool:
    """Whether another try may succeed: any error but a rejection of the request itself."""
    refused = isinstance(error, requests.HTTPError) and error.response.status_code < 500
    return not refused and not isinstance(error, (requests.exceptions.InvalidURL, ValueError))


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _total(response: requests.Response, have: int) -> int | None:
    """Return the size of the whole file as stated by the server, None if it states none."""
    with suppress(ValueError, KeyError):
        stated = response.headers.get("Content-Range", "").rpartition("/")[2]
        return int(stated) if stated else have + int(response.headers["Content-Length"])
    return None


def _describe_error(error: Exception, file: File) -> str:
    if isinstance(error, requests.HTTPError):
        return f"HTTP {error.response.status_code}"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    if isinstance(error, ValueError) and "hash" in str(error):
        hashed = f"sha256 is {file.sha256}" if file.sha256 else f"md5 is {file.md5}"
        return f"not the published file, whose {hashed}"
    return str(error) or type(error).__name__
