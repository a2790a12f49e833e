"""A network's description: equal in every process, different where anything decides otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from isbench.nn.runtime.contents import describe_value
from tests.support.networks import network
from tests.test_docs import ROOT


def describe(value: object) -> bytes:
    return b"".join(describe_value(value))


def fill(made: nn.Module) -> nn.Module:
    """Return the network with the same numbers in all tensors of a shape."""
    for tensor in made.state_dict().values():
        tensor.fill_(0.5)
    return made


@pytest.mark.parametrize(
    ("name", "option", "values"),
    [
        ("cdnet-lite", "previous_mask", (True, False)),
        ("pseudoclick-lite", "pseudo_radius", (5.0, 3.0)),
        ("csfpn-hrnet18", "released", (False, True)),
    ],
)
def test_options_that_no_tensor_shows_are_seen(
    name: str, option: str, values: tuple[object, object]
) -> None:
    first, again, other = (
        describe(fill(network(name, **{option: value}))) for value in (values[0], *values)
    )
    assert first == again
    assert first != other


DESCRIBE = """
from hashlib import sha256
from isbench.nn.runtime.contents import describe_value
from tests.nn.test_contents import fill
from tests.support.networks import network
for name in ("csfpn-mini", "focalclick-lite"):
    print(sha256(b"".join(describe_value(fill(network(name))))).hexdigest())
"""


@pytest.mark.slow
def test_every_process_describes_alike() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", DESCRIBE],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


class Bare:
    """Has no representation of its own."""

    def __init__(self, value: object) -> None:
        self.value = value


class Slotted:
    """Has no dictionary of attributes."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


@dataclass
class Options:
    """Says only the first and last numbers of a large array."""

    value: object


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.tensor(1.0), torch.tensor(2.0)),
        (torch.ones(2, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.bfloat16)),
        (torch.ones(2, 3), torch.ones(3, 2)),
        (torch.ones(2), torch.ones(2, dtype=torch.float64)),
        (torch.tensor([True]), torch.tensor([False])),
        (np.arange(5000), np.arange(5000)[::-1]),
        ([1, 2], [2, 1]),
        ({"a": 1}, {"a": 2}),
        ({"a", "b"}, {"a"}),
        (Bare(1), Bare(2)),
        (Bare([torch.ones(1)]), Bare([torch.zeros(1)])),
        (partial(max, 1), partial(max, 2)),
        (nn.Conv2d(1, 1, 1, stride=1), nn.Conv2d(1, 1, 1, stride=2)),
        (nn.ReLU(), nn.ReLU6()),
        (Options(np.arange(5000)), Options(np.arange(5000) % 4999)),
        (Options(nn.Linear(1, 1)), Options(nn.Linear(1, 1))),
        (Slotted(1), Slotted(2)),
        (partial(max, torch.ones(5000)), partial(max, torch.zeros(5000))),
        (deque([torch.ones(1)]), deque([torch.zeros(1)])),
        (1, 1.0),
    ],
)
def test_values_that_differ_are_described_differently(one: object, other: object) -> None:
    assert describe(one) != describe(other)


def test_what_is_equal_is_described_alike() -> None:
    assert describe([(1, 2), (1, 2)]) == describe([pair := (1, 2), pair])
    assert describe(np.random.default_rng(0)) == describe(np.random.default_rng(0))
    assert describe(lambda: 1) == describe(lambda: 1)


def test_a_cycle_ends() -> None:
    value = Bare(None)
    value.value = [value, value]
    assert describe(value) == describe(value)
