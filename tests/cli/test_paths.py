"""Paths on the command line: `~` is the home folder, and folders that are created are said."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from isbench.cli import cli
from isbench.cli.paths import OUTPUT, OUTPUT_FILE, OUTPUT_FOLDER, PATH
from isbench.datasets.data_root import find_data_folder
from isbench.datasets.user_datasets import list_user_datasets
from isbench.models.registry import load_card
from isbench.models.weights import load_weights
from tests.conftest import write_folder_set

Isbench = Callable[..., tuple[int, str, str]]


def list_parameters(
    command: click.Command = cli, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Parameter]]:
    """Yield every parameter of every command, with the words that name the command."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from list_parameters(inner, (*path, name))
    yield from ((path, parameter) for parameter in command.params)


PARAMETERS = [
    pytest.param(parameter, id=f"{' '.join(path)} {parameter.opts[0]}")
    for path, parameter in list_parameters()
    if isinstance(parameter.type, click.Path)
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home folder with a folder set; the working folder is another one."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ISBENCH_DATA", "~/data")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    write_folder_set(tmp_path / "home" / "set", objects=2)
    return tmp_path / "home"


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_a_tilde_is_the_home_folder_in_every_path(home: Path, parameter: click.Parameter) -> None:
    assert parameter.type in (PATH, OUTPUT, OUTPUT_FILE, OUTPUT_FOLDER)
    assert parameter.type.convert("~/x", None, None) == home / "x"
    if parameter.type is not OUTPUT_FILE:
        assert parameter.type.convert("~", None, None) == home
    assert parameter.type.convert("x~/y", None, None) == Path("x~/y")
    with pytest.raises(click.BadParameter, match="no user"):
        parameter.type.convert("~no-such-user-here/x", None, None)


@pytest.mark.parametrize(
    ("kind", "place", "message"),
    [
        (OUTPUT_FILE, "folder", "folder: it is a folder; wanted the name of a file"),
        (OUTPUT_FOLDER, "file", "file: it is a file; wanted the name of a folder"),
        *(
            (kind, place, "file is a file; wanted a folder")
            for kind in (OUTPUT, OUTPUT_FILE, OUTPUT_FOLDER)
            for place in ("file/x", "file/x/y")
        ),
    ],
)
def test_an_output_that_cannot_be_written_is_refused(
    kind: click.Path, place: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(click.BadParameter, match=f"cannot write {tmp_path}.*{message}$"):
        kind.convert(str(tmp_path / place), None, None)


@pytest.mark.parametrize("place", ["folder", "new", "folder/new", "new/newer", "folder/new/newer"])
def test_an_output_that_can_be_written_is_taken(place: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    kinds = [OUTPUT, OUTPUT_FOLDER] + ([] if place == "folder" else [OUTPUT_FILE])
    for kind in kinds:
        assert kind.convert(str(tmp_path / place), None, None) == tmp_path / place
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", [OUTPUT, OUTPUT_FILE, OUTPUT_FOLDER])
def test_a_name_that_is_too_long_is_refused(kind: click.Path, tmp_path: Path) -> None:
    with pytest.raises(click.BadParameter, match="File name too long"):
        kind.convert(str(tmp_path / ("x" * 300) / "page"), None, None)


@pytest.mark.parametrize(
    ("kind", "place", "allowed"),
    [
        (OUTPUT_FILE, "page.html", False),
        (OUTPUT_FILE, "read.html", False),  # written in one step, by a draft in the folder
        (OUTPUT_FILE, "open/read.html", True),
        (OUTPUT_FOLDER, ".", True),  # it may have all runs already
        (OUTPUT_FOLDER, "new", False),
        (OUTPUT, "new/newer", False),
        (OUTPUT_FOLDER, "open/new", True),
    ],
)
def test_permission_is_asked_of_the_folder_that_changes(
    kind: click.Path, place: str, allowed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "open").mkdir()
    for file in (tmp_path / "read.html", tmp_path / "open" / "read.html"):
        file.touch(0o400)
    # root may write everywhere, so the permission itself cannot be tested
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    if allowed:
        assert kind.convert(str(tmp_path / place), None, None) == tmp_path / place
    else:
        with pytest.raises(click.BadParameter, match=f"no permission to write to {tmp_path}$"):
            kind.convert(str(tmp_path / place), None, None)


@pytest.mark.parametrize(
    "command",
    [
        ("compare", "nothing", "here", "--html"),
        ("report", "--html"),
        ("predict", "no-picture.png", "--out"),
        ("export", "--format", "csv", "--out"),
        ("export", "--format", "bundle", "--out"),
    ],
)
def test_a_command_says_so_before_its_work(
    command: tuple[str, ...], isbench: Isbench, tmp_path: Path
) -> None:
    code, printed, said = isbench(*command, str(tmp_path))
    assert (code, printed) == (2, "")
    assert "it is a folder; wanted the name of a file" in said


def test_there_are_many_paths() -> None:
    assert len(PARAMETERS) > 20


@pytest.mark.slow
def test_no_command_makes_a_folder_that_is_named_by_a_tilde(isbench: Isbench, home: Path) -> None:
    run = ("run", "--model", "nearest", "--max-clicks", 2, "--out", "~/runs")
    predict = (
        "predict",
        "~/set/images/picture00000.png",
        "--model",
        "nearest",
        "--clicks",
        "9,9,+",
    )
    lines: tuple[tuple[object, ...], ...] = (
        (*run, "--dataset", "folder:~/set"),
        ("data", "add", "desk", "folder:~/set"),
        (*run, "--dataset", "desk", "--data", "~/data"),
        ("data", "verify", "folder:~/set"),
        ("report", "~/runs", "--html", "~/pages/page.html"),
        ("report", "--runs", "~/runs", "--plot", "noc_hist", "--out", "~/plots"),
        (*predict, "--out", "~/mask.png"),
        ("reproduce", "--budget", "none", "--results", "~/results"),
    )
    for line in lines:
        code, _, errors = isbench(*line)
        assert code == 0, (line, errors)
    assert list(Path.cwd().iterdir()) == []
    for name in ("runs", "pages/page.html", "plots/noc_hist.png", "mask.png", "results"):
        assert (home / name).exists(), name
    assert find_data_folder() == home / "data"
    assert list_user_datasets() == {"desk": f"folder:{home / 'set'}"}


def test_weights_are_found_in_the_home_folder(home: Path) -> None:
    for name in ("a.pth", "b.pth"):
        (home / name).write_bytes(name.encode())
    card = load_card("ritm-mini")
    assert load_weights(card, "~/a.pth").weights == (home / "a.pth",)
    assert load_weights(card, "~/a.pth,~/b.pth").weights == (home / "a.pth", home / "b.pth")


@pytest.mark.parametrize(
    ("option", "place", "folder"),
    [
        ("--out", "a/b", "a"),
        ("--out", "a/b/c", "a/b"),
        ("--out", "~/a/b", "~/a"),
        ("--out", "a", None),
        ("--html", "a/page.html", "a"),
        ("--html", "a/b/page.html", "a/b"),
        ("--html", "page.html", None),
    ],
)
def test_a_folder_that_has_to_be_created_is_said(
    isbench: Isbench, home: Path, option: str, place: str, folder: str | None
) -> None:
    assert isbench("run", "--model", "nearest", "--dataset", "sample", "--limit", 1)[0] == 0
    plot = ("--plot", "noc_hist") if option == "--out" else ()
    code, _, errors = isbench("report", *plot, option, place)
    assert code == 0
    assert Path(place).expanduser().exists()
    said = [line for line in errors.splitlines() if "will be created" in line]
    if folder is None:
        assert said == []
    else:
        path = Path(folder).expanduser()
        assert said == [f"isbench: folder {path} does not exist and will be created"]


def test_a_default_folder_needs_no_note(home: Path) -> None:
    command = "from isbench.cli import main; main(['train', 'ritm-mini', '--data', 'pack:none'])"
    done = subprocess.run(
        [sys.executable, "-c", command], env=os.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "will be created" not in done.stderr
