"""COCO's annotation files with any values in any place: read, or refused in one line."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.fuzz.reading import Reader, open_reader
from tests.support.fuzzing import SECONDS
from tests.support.layouts import HEIGHT, WIDTH, coco_json

NUMBERS = st.sampled_from(
    [0, -1, 1, 3, 7, 1.5, -0.0, 1e9, -1e9, 1e400, float("nan"), 2**31, 2**63, 10**400, 60_000]
)
LEAVES = st.one_of(
    NUMBERS,
    st.sampled_from(
        [None, True, False, "", "0", "7", "../x.jpg", "/etc/passwd", "a\x00", "\ud800"]
    ),
    st.text(max_size=8),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=8),
        st.dictionaries(st.sampled_from(["size", "counts", "id"]), inner, max_size=3),
        st.lists(NUMBERS, min_size=6, max_size=8).map(lambda one: [one]),
        st.fixed_dictionaries({"size": st.just([HEIGHT, WIDTH]), "counts": inner}),
    ),
    max_leaves=8,
)
PLACES = st.one_of(
    st.tuples(
        st.just("images"),
        st.integers(0, 3),
        st.sampled_from(["id", "file_name", "height", "width"]),
    ),
    st.tuples(
        st.just("annotations"),
        st.integers(0, 4),
        st.sampled_from(["id", "image_id", "segmentation", "iscrowd"]),
    ),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    root = tmp_path_factory.mktemp("coco")
    return root, json.loads(coco_json(root).read_text())


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with open_reader("coco") as one:
        yield one


SQUARE = [3, 2, 8, 2, 8, 6]
START = monotonic()


@given(st.lists(st.tuples(PLACES, VALUES), min_size=1, max_size=3))
@example([(("annotations", 0, "segmentation"), [[*SQUARE[:-1], float("nan")]])])
@example([(("annotations", 0, "segmentation"), [[*SQUARE[:-1], 1e9]])])
@example([(("annotations", 0, "segmentation"), [[*SQUARE, 3]])])
@example([(("annotations", 0, "segmentation"), [[1.0, 1.0, 5.0, 5.0], SQUARE])])
@example([(("annotations", 0, "iscrowd"), "0")])
@example([(("images", 0, "height"), 60_000), (("images", 0, "width"), 60_000)])
@example([(("images", 1, "id"), 7)])
@example([(("images", 0, "file_name"), "../secret.jpg")])
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_value_in_any_place_is_read_or_refused(
    place: tuple[Path, dict[str, Any]],
    reader: Reader,
    edits: list[tuple[tuple[str, int, str], Any]],
) -> None:
    root, content = place
    content = copy.deepcopy(content)
    for (part, entry, field), value in edits:
        content[part][entry][field] = value
    (root / "instances.json").write_text(json.dumps(content))
    reader.check(root)


def test_mutated_bytes_are_read_or_refused(
    place: tuple[Path, dict[str, Any]], reader: Reader
) -> None:
    import random

    root, content = place
    whole, rng, end = json.dumps(content).encode(), random.Random(0), monotonic() + SECONDS
    while monotonic() < end:
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            data[at : at + rng.choice([1, 1, 8])] = rng.choice(
                [b"", b"9", b"-", b"[", b"{", b'"', b"e99", b"\xff", bytes(data[:40])]
            )
        (root / "instances.json").write_bytes(data)
        reader.check(root)
