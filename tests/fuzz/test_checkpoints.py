"""Weight files and checkpoints of trainings, whatever is in them: loaded or refused."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.torch import save
from torch import nn

from isbench.errors import IsbenchError
from isbench.nn.runtime.checkpoint import load_checkpoint
from isbench.training import checkpoints
from isbench.training.recipe import Recipe
from isbench.training.weight_card import read_card, read_origin
from isbench.training.weights import start_from
from tests.support import hostile
from tests.support.fuzzing import Sandbox, fuzz

ABOUT = json.dumps({"options": {}, "recipe": Recipe(steps=1).list_deciding_settings()})


def make_network(options: Any = None) -> nn.Module:
    return nn.Linear(3, 2)


def load(data: bytes) -> None:
    """Read a file in every way that isbench reads weights."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        path.write_bytes(data)
        for read in (
            lambda: read_origin(path),
            lambda: load_checkpoint([make_network()], path),
            lambda: read_card(path),
            lambda: start_from(make_network(), path),
            lambda: checkpoints.load(path, ABOUT, make_network),
        ):
            _refuse_or_read(read)


def _refuse_or_read(read: Callable[[], object]) -> None:
    with suppress(IsbenchError):
        read()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(load) as process:
        yield process


def to_bytes(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


STATE = {key: value.detach() for key, value in make_network().state_dict().items()}
TENSORS = save(STATE, {"card": json.dumps({"origin": "a"})})
PICKLE = to_bytes(STATE)
TRAINING = to_bytes(
    checkpoints.Checkpoint(ABOUT, 1, STATE, STATE, {}, {}, 1.0, [0.0] * 4)._asdict()
)
HEADER: dict[str, Any] = json.loads(TENSORS[8 : 8 + int.from_bytes(TENSORS[:8], "little")])


def with_header(header: bytes, length: int | None = None) -> bytes:
    size = len(header) if length is None else length
    body = TENSORS[8 + int.from_bytes(TENSORS[:8], "little") :]
    return size.to_bytes(8, "little", signed=False) + header + body


@fuzz(0.4)
@example(header={**HEADER, "__metadata__": {"card": hostile.nest().decode()}})
@example(header={**HEADER, "__metadata__": {"card": "[]"}})
@example(header={**HEADER, "__metadata__": {"card": '{"origin": 3}'}})
@example(header={**HEADER, "weight": {**HEADER["weight"], "shape": [2**62, 2**62]}})
@example(header={**HEADER, "weight": {**HEADER["weight"], "data_offsets": [0, 2**63]}})
@given(header=hostile.change(HEADER))
def test_safetensors_with_another_header_are_loaded_or_refused(
    sandbox: Sandbox, header: Any
) -> None:
    sandbox.check(with_header(hostile.encode(header)))


@fuzz(0.6)
@example(data=b"")
@example(data=with_header(hostile.nest()))
@example(data=with_header(b"{}", 2**63))
@example(data=with_header(b"{}", 10**8))
@example(data=to_bytes({"state_dict": {}}))
@example(data=to_bytes([]))
@example(data=to_bytes(3))
@example(data=to_bytes({"about": hostile.nest().decode(), "step": 1}))
@example(data=b"\x80\x02" + b"(" * 2_000 + b".")
@example(data=b"\x80\x02" + b"]" * 1_000 + b"a" * 999 + b".")
@given(data=st.sampled_from([TENSORS, PICKLE, TRAINING]).flatmap(hostile.corrupt))
def test_weights_with_other_bytes_are_loaded_or_refused(sandbox: Sandbox, data: bytes) -> None:
    sandbox.check(data)
