"""Fuzzing by the clock, within limits, in this process or in one of its own for readers in C."""

from __future__ import annotations

import functools
import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from traceback import format_exc
from typing import Any

from hypothesis import HealthCheck, settings

from isbench.errors import IsbenchError

SECONDS = float(os.environ.get("ISBENCH_FUZZ_SECONDS", "1.5"))  # for a file of tests
MEMORY = 1 << 30  # most bytes that an input may take
TIME = 10.0  # most seconds that an input may take
_ROUND = 20  # examples between two looks at the clock


def fuzz(share: float = 1.0) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that repeats a `@given` test until its share of SECONDS has passed.

    Put it above `@example` and `@given`. Every round starts with the examples.
    """

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
        checks.append(HealthCheck.function_scoped_fixture)
        run = settings(max_examples=_ROUND, deadline=None, suppress_health_check=checks)(test)

        @functools.wraps(run)
        def repeat(*arguments: Any, **more: Any) -> None:
            end = time.monotonic() + share * SECONDS
            run(*arguments, **more)
            while time.monotonic() < end:
                run(*arguments, **more)

        return repeat

    return decorate


def check(read: Callable[..., object], *arguments: Any) -> object:
    """Call a reader and return its value, None if it refuses its input.

    Raises AssertionError if it takes too much memory or time, and lets any exception but
    IsbenchError through.
    """
    before, started, value = _measure_peak(), time.monotonic(), None
    with suppress(IsbenchError):
        value = read(*arguments)
    seconds = time.monotonic() - started
    assert _measure_peak() - before < MEMORY, "it takes too much memory"
    assert seconds < TIME, f"it takes {seconds:.0f} s"
    return value


def _measure_peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


class Sandbox:
    """A process with limited memory that calls a function: its death is an AssertionError.

    The function must be picklable; it is called with b"" first, so that it imports what it needs
    before memory is limited. A context manager.
    """

    def __init__(self, read: Callable[..., object]) -> None:
        self._read = read
        self._process: Any = None

    def __enter__(self) -> Sandbox:
        context = multiprocessing.get_context("spawn")
        self._pipe, child = context.Pipe()
        self._process = context.Process(target=_serve, args=(child, self._read), daemon=True)
        self._process.start()
        child.close()
        assert self._pipe.recv() == "ready"
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.join()

    def check(self, *arguments: Any) -> None:
        """Call the function; raises AssertionError for anything but a value or IsbenchError."""
        self._pipe.send(arguments)
        fault = f"it takes more than {TIME:.0f} s"
        if self._pipe.poll(TIME):
            try:
                fault = self._pipe.recv()
            except EOFError:
                self._process.join()
                fault = f"the process ended, {self._process.exitcode}"
        if fault:
            self.__exit__()
            self.__enter__()
        assert not fault, fault


def _serve(pipe: Connection, read: Callable[..., object]) -> None:
    with suppress(Exception):
        read(b"")  # imports what it needs
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    pipe.send("ready")
    with suppress(EOFError):
        while True:
            arguments = pipe.recv()
            try:
                read(*arguments)
                pipe.send("")
            except IsbenchError:
                pipe.send("")
            except BaseException:
                pipe.send(format_exc())
