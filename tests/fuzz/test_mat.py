"""SBD's instance files with any damage: read as SciPy reads them, or refused in one line."""

from __future__ import annotations

import io
import random
from contextlib import suppress
from pathlib import Path
from time import monotonic

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from isbench.datasets.mat_file import read_field
from tests.fuzz.reading import open_reader
from tests.support.fuzzing import SECONDS
from tests.support.layouts import box, sbd

SEGMENTATION = box(2, 6, 8, box(1, 1, 1))


def write_mat(compressed: bool, **fields: object) -> bytes:
    file = io.BytesIO()
    savemat(file, {"a": [1.0], "GTinst": fields}, do_compression=compressed)
    return file.getvalue()


WHOLE = [
    write_mat(compressed, Boundaries=np.array([[1, 2]]), Segmentation=SEGMENTATION, Categories=[7])
    for compressed in (False, True)
]
KINDS = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]


@given(
    st.sampled_from(KINDS), st.tuples(st.integers(0, 9), st.integers(0, 9)), st.booleans(),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_arrays_of_any_kind_are_read_as_scipy_reads_them(
    kind: str, shape: tuple[int, int], compressed: bool, seed: int
) -> None:
    numbers = np.random.default_rng(seed).integers(0, 100, shape).astype(kind)
    data = write_mat(compressed, Categories=[1, 2], Segmentation=numbers, Z="text")
    expected = np.asarray(loadmat(io.BytesIO(data))["GTinst"]["Segmentation"][0, 0])
    found = read_field(data, "GTinst", "Segmentation")
    np.testing.assert_array_equal(found, expected)


@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
    st.floats(0, 1),
)
@example(WHOLE[0], [(0.5, 255)], 1.0)
@settings(max_examples=100, deadline=None)
def test_damage_raises_value_error_and_nothing_else(
    data: bytes, edits: list[tuple[float, int]], end: float
) -> None:
    content = bytearray(data)
    for where, byte in edits:
        content[int(where * (len(content) - 1))] = byte
    for damaged in (bytes(content), bytes(content[: int(end * len(content))])):
        with suppress(ValueError):
            read_field(damaged, "GTinst", "Segmentation")


def test_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    root = sbd(tmp_path / "SBD")
    path, rng = root / "inst" / "2008_000002.mat", random.Random(0)
    with open_reader("sbd") as reader:
        end = monotonic() + SECONDS
        while monotonic() < end:
            data = bytearray(rng.choice(WHOLE))
            for _ in range(rng.randint(1, 6)):
                at = rng.randrange(100, len(data))
                data[at : at + rng.choice([1, 1, 1, 4])] = rng.choice(
                    [b"\0", b"\xff", b"\x80", b"\x7f\xff\xff\xff", bytes([rng.randrange(256)])]
                )
            path.write_bytes(data)
            reader.check(tmp_path)


@pytest.mark.parametrize("number", [256, 258, 255, -1, 1.5, 1e300, float("nan"), float("inf")])
def test_numbers_that_are_no_instance_are_refused(tmp_path: Path, number: float) -> None:
    root = sbd(tmp_path / "SBD")
    numbers = np.where(SEGMENTATION == 2, number, SEGMENTATION.astype(np.float64))
    kind = np.int16 if float(number).is_integer() and abs(number) < 1000 else np.float64
    (root / "inst" / "2008_000002.mat").write_bytes(
        write_mat(True, Segmentation=numbers.astype(kind))
    )
    with open_reader("sbd") as reader:
        assert "wanted whole numbers, 0 to 254" in reader.check(tmp_path)
