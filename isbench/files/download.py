"""Files from the network: from a list of mirrors to one checked file, resumed where it broke off.

pooch keeps the files and checks hashes; how one is fetched, byte range by byte range, is here. Not
here: what is in the files (`archives`).
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
from urllib3.exceptions import HTTPError as BrokenOff

from isbench.errors import IsbenchError
from isbench.types import File

_TIMEOUT = (10, 30)  # seconds to connect, and between two blocks
_BLOCK = 1 << 16  # what a reset connection may lose
_TRIES = 5  # of one mirror in a row that bring nothing
_PAUSE = 0.2  # seconds before another try, doubled after each that brings nothing

# told (bytes so far, bytes in all or None)
Progress: TypeAlias = Callable[[int, int | None], None]


def fetch(
    file: File,
    folder: Path,
    progress: Progress = lambda done, total: None,
    remedy: str = "name another address by --url, or fetch it by other means and use `isbench "
    "data import`",
) -> Path:
    """Return the local copy of a file, downloading it if it is not in `folder` yet.

    Mirrors are tried in order, each again and again as long as it brings bytes. A size or hash
    that is known must agree, else the copy is thrown away. What a broken connection left is kept
    as `<name>.<mirror>.part` and gone on with. Raises IsbenchError with what each mirror answered,
    and with the remedy.
    """
    pooch.get_logger().setLevel(logging.ERROR)
    known = f"sha256:{file.sha256}" if file.sha256 else f"md5:{file.md5}" if file.md5 else None
    if file.size not in (None, _size(folder / file.name)):
        (folder / file.name).unlink(missing_ok=True)
    answers = []
    for url in file.urls:
        downloader = _Resumed(file, folder, progress)
        try:
            return Path(pooch.retrieve(url, known, file.name, folder, downloader=downloader))
        except (IsbenchError, OSError, ValueError) as error:  # requests' errors are OSErrors
            answers.append(f"{url}: {_reason(error, file)}")
    raise IsbenchError(f"{file.name} could not be downloaded ({'; '.join(answers)}); {remedy}")


def describe_mismatch(file: File, path: Path) -> str:
    """Return in words how a copy differs from what was published of the file, '' if it does not."""
    if file.size not in (None, _size(path)):
        return f"it has {_size(path)} bytes, wanted {file.size}"
    for kind, wanted in (("sha256", file.sha256), ("md5", file.md5)):
        found = pooch.file_hash(str(path), alg=kind) if wanted else wanted
        if found != wanted:
            return f"its {kind} is {found}, wanted {wanted}"
    return ""


class _Short(IsbenchError):
    """A transfer ended before its end; the next try goes on."""


@dataclass(frozen=True)
class _Resumed:
    """Downloads for pooch, going on with what an earlier try left."""

    file: File
    folder: Path
    progress: Progress

    def __call__(self, url: str, output_file: Any, pooch_object: Any) -> None:
        """Write what `url` serves to `output_file`, whole."""
        # a part belongs to one mirror: another may serve another edition of the file
        part = self.folder / f"{self.file.name}.{sha256(url.encode()).hexdigest()[:8]}.part"
        idle, most = 0, _size(part)
        while True:
            have = _size(part)
            try:
                self._go_on(url, part, have)
                break
            except (requests.RequestException, _Short) as error:
                # a server without ranges begins anew each time: only what no try had counts
                idle = 0 if _size(part) > most else idle + 1
                most = max(most, _size(part))
                if idle == _TRIES or not _passing(error):
                    raise
                sleep(_PAUSE * 2**idle)
        size = _size(part)
        if self.file.size not in (None, size):
            part.unlink()
            raise IsbenchError(f"it has {size} bytes, wanted {self.file.size}")
        part.replace(output_file)

    def _go_on(self, url: str, part: Path, have: int) -> None:
        """Fetch the bytes that the part lacks, or all anew if the server knows no ranges."""
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                if have == _total(response, 0):
                    return  # the last try ended exactly at the end
                part.unlink()
                raise _Short("its file is shorter than what was fetched before")
            response.raise_for_status()
            if "text/html" in response.headers.get("Content-Type", "").lower():
                raise IsbenchError("it answered with a web page instead of the file")
            if response.status_code != requests.codes.partial_content:
                have = 0
            elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                part.unlink(missing_ok=True)
                raise _Short("it sent other bytes than were asked for")
            self._write(response, part, have)

    def _write(self, response: requests.Response, part: Path, have: int) -> None:
        """Write what is served after the `have` bytes of the part."""
        total = _total(response, have)
        try:
            with part.open("ab" if have else "wb") as out:
                # not decoded: some servers take the gzip of a .tgz for one of the transfer
                for block in response.raw.stream(_BLOCK, decode_content=False):
                    have += out.write(block)
                    self.progress(have, total)
        except BrokenOff as error:
            raise _Short(f"it broke off after {have} bytes") from error
        if total is not None and have != total:
            raise _Short(f"it broke off at {have} of {total} bytes")


def _passing(error: Exception) -> bool:
    """Whether another try may go better: anything but a refusal of the request itself."""
    refused = isinstance(error, requests.HTTPError) and error.response.status_code < 500
    return not refused and not isinstance(error, (requests.exceptions.InvalidURL, ValueError))


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _total(response: requests.Response, have: int) -> int | None:
    """Return the size of the whole file as the server states it, None if it does not."""
    with suppress(ValueError, KeyError):
        stated = response.headers.get("Content-Range", "").rpartition("/")[2]
        return int(stated) if stated else have + int(response.headers["Content-Length"])
    return None


def _reason(error: Exception, file: File) -> str:
    if isinstance(error, requests.HTTPError):
        return f"HTTP {error.response.status_code}"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    if isinstance(error, ValueError) and "hash" in str(error):
        hashed = f"sha256 is {file.sha256}" if file.sha256 else f"md5 is {file.md5}"
        return f"not the published file, whose {hashed}"
    return str(error) or type(error).__name__
