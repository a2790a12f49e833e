"""Files are read within limits, and JSON by one function whose errors are ValueErrors."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isbench.errors import IsbenchError
from isbench.files.json_text import parse_json
from isbench.files.limits import (
    find_whole_size,
    read_first_line,
    read_limited,
    read_lines,
    read_regular,
)
from tests.support import hostile


@given(data=st.lists(st.sampled_from([b"a", b"\r", b"\n", b"bc" * 40_000])).map(b"".join))
def test_lines_are_the_bytes_up_to_the_last_line_break(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("lines") / "file"
    path.write_bytes(data)
    whole = data[: data.rfind(b"\n") + 1]
    assert b"".join(read_lines(path)) == whole
    assert b"".join(read_lines(path, torn=True)) == data
    assert find_whole_size(path) == len(whole)
    assert read_first_line(path) == whole.partition(b"\n")[0] + whole.partition(b"\n")[1]


def test_a_missing_file_has_no_lines_unless_it_is_packed(tmp_path: Path) -> None:
    assert list(read_lines(tmp_path / "file")) == []
    assert find_whole_size(tmp_path / "file") == 0
    with pytest.raises(IsbenchError, match="does not exist"):
        list(read_lines(tmp_path / "file.gz"))


@pytest.mark.parametrize("name", ["file", "file.gz"])
def test_a_line_beyond_its_limit_is_named(tmp_path: Path, name: str) -> None:
    data = b"a\n" + b"b" * 2_000_000 + b"\n"
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert read_first_line(tmp_path / name) == b"a\n"
    with pytest.raises(IsbenchError, match=r"is damaged \(line 2 has more than 1 MB\)"):
        list(read_lines(tmp_path / name))


def test_a_file_beyond_its_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(1 << 20))
    assert read_limited(path, 1 << 20) == bytes(1 << 20)
    path.write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(ValueError, match="more than 1 MB"):
        read_limited(path, 1 << 20)


@given(value=hostile.json_values())
def test_json_that_utf8_can_contain_is_read_as_it_was_written(value: Any) -> None:
    text = json.dumps(value)
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        with pytest.raises(ValueError, match="which is no text"):
            parse_json(text.encode())
    else:
        assert repr(parse_json(text.encode())) == repr(json.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        hostile.nest(),
        hostile.nest(brackets="{}"),
        b'{"a":' * 50_000,
        b"9" * 5_000,
        b'"\\ud800"',
        b'"\\uDFFF"',
        '"\ud800"',
        b'"a\xed\xa0\x80"',  # half of a pair of surrogates, as bytes
        b"",
        b"\xff",
        b"\0" * 9,
    ],
)
def test_whatever_is_no_json_is_a_value_error(text: bytes | str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (the decoder words it)
        parse_json(text)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("name", ["file", "file.gz"])
def test_a_pipe_or_a_device_is_refused_at_once(tmp_path: Path, name: str) -> None:
    pipe, link = tmp_path / name, tmp_path / f"link-{name}"
    os.mkfifo(pipe)
    link.symlink_to("/dev/zero")
    for path in (pipe, link):
        for read in (find_whole_size, read_first_line):
            with pytest.raises(IsbenchError, match="is a pipe or a device; wanted a file"):
                read(path)
        for whole in (read_regular, read_limited):
            with pytest.raises(OSError, match="pipe or a device"):
                whole(path)
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path)
