"""Waiting for what another process does, never for a time in which it should have done it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

HUNG = 300.0  # seconds after which a process must be taken to hang, on however slow a machine


def wait_until(
    happened: Callable[[], object], process: subprocess.Popen[str] | None = None
) -> None:
    """Return once `happened` is true; fail where the process ends before, or nothing ever does."""
    began = time.monotonic()
    while not happened():
        ended = process is not None and process.poll() is not None
        if ended and not happened():
            raise AssertionError(f"the process ended, {process.returncode}, before it happened")
        assert time.monotonic() - began < HUNG, "nothing happened"
        time.sleep(0.005)
