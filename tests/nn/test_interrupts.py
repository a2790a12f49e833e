"""Ctrl-C during a conversion ends the program instead of passing for a failure."""

from __future__ import annotations

import signal
import threading

import pytest

from isbench.errors import IsbenchError
from isbench.nn.runtime.interrupts import defer_interrupts


@pytest.fixture(autouse=True)
def _usual_handler() -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("fails", [False, True])
def test_an_interrupt_takes_effect_after_the_block(fails: bool) -> None:
    reached = []

    def convert() -> None:
        with defer_interrupts():
            signal.raise_signal(signal.SIGINT)
            reached.append(True)
            if fails:
                raise IsbenchError("cannot convert this network")

    with pytest.raises(KeyboardInterrupt):
        convert()
    assert reached == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_an_interrupt_an_error_passes_through() -> None:
    with pytest.raises(IsbenchError, match="cannot convert"), defer_interrupts():
        raise IsbenchError("cannot convert this network")


def test_other_threads_are_left_alone() -> None:
    seen = []

    def work() -> None:
        with defer_interrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
