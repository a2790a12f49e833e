"""Data sets and readers of packages: found by entry point, listed, played, refused by name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest

import isbench as library
from isbench.cli.completion import complete_datasets
from isbench.datasets import load_dataset
from isbench.datasets.fingerprints import fingerprint
from isbench.datasets.readers import Reader, list_forms
from isbench.datasets.registry import BUILT_IN, is_known, list_dataset_names
from isbench.datasets.user_datasets import list_user_datasets
from isbench.errors import IsbenchError
from isbench.evaluation.runner import run
from isbench.storage import store
from isbench.training import leakage
from isbench.types import Dataset, Rules
from tests.conftest import write_folder_set
from tests.support import toys
from tests.support.layouts import box, draw_picture
from tests.support.packages import install_package

Isbench = Callable[..., tuple[int, str, str]]
Install = Callable[..., None]
PLUGIN = Path(__file__).parents[1] / "plugin" / "isbench_toy_plugin"
EXAMPLE = (PLUGIN / "tiles.py").read_text()  # the documentation shows it
CARD = """
from isbench import DatasetCard
from isbench.datasets import folder
card = DatasetCard(
    "Scans", "CC0", folder.read, folders=("Scans", "scans-1"), landmark="masks", images=4,
    objects=6, fingerprints={"0" * 64: "the first release"}, zoom_target=500,
)
"""
READERS, DATASETS = "isbench.readers", "isbench.datasets"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Return a function that installs a package: modules, and objects by group and name."""
    before = set(sys.modules)

    def call(modules: dict[str, str], name: str = "toy", **groups: dict[str, str]) -> None:
        points = {f"isbench.{group}": entries for group, entries in groups.items()}
        install_package(monkeypatch, tmp_path / "site" / name, modules, points)

    yield call
    for name in set(sys.modules) - before:
        if name.startswith("toy_"):
            del sys.modules[name]


@pytest.fixture
def tiles(install: Install, tmp_path: Path) -> Path:
    """Install the reader of the documentation and return a folder that it reads."""
    install({"toy_tiles": EXAMPLE}, readers={"tiles": "toy_tiles:reader"})
    folder = tmp_path / "tiles"
    folder.mkdir()
    for number in range(3):
        truth = box(1, number, 3) == 1
        ignore = np.zeros_like(truth)
        np.savez(folder / f"{number}.npz", image=draw_picture(number), truth=truth, ignore=ignore)
    return folder


@pytest.fixture
def scans(install: Install, tmp_path: Path) -> Path:
    """Install a named data set and return the data folder that contains it."""
    install({"toy_scans": CARD}, datasets={"scans": "toy_scans:card"})
    write_folder_set(tmp_path / "data" / "scans-1", objects=6, images=4)
    return tmp_path / "data"


def refuse(name: str, data: Path | None = None) -> str:
    with pytest.raises(IsbenchError) as raised:
        load_dataset(name, data)
    return str(raised.value)


# Readers


def test_the_reader_of_the_documentation_has_at_most_20_lines() -> None:
    assert len([line for line in EXAMPLE.splitlines() if line.strip()]) <= 20


def test_the_built_in_readers_are_entry_points_too() -> None:
    assert {"folder:PATH", "coco:IMAGES_DIR,ANNOTATIONS.json"} <= set(list_forms())


def test_a_reader_of_a_package_plays_like_a_built_in_one(
    isbench: Isbench, tiles: Path, tmp_path: Path
) -> None:
    place, out = f"tiles:{tiles}", tmp_path / "runs"
    asked = ("run", "--model", "nearest", "--dataset", place, "--max-clicks", 3, "--out", out)
    code, _, said = isbench(*asked, "--workers", 2)
    assert code == 0, said
    (path,) = store.find(out)
    played = store.read(path)
    dataset = load_dataset(place)
    assert (played.spec.dataset, played.spec.objects) == ("tiles:tiles", 3)
    assert played.spec.fingerprint == fingerprint(dataset)
    assert load_dataset(played.spec.dataset, tmp_path).keys == dataset.keys
    page = ("report", path, "--html", tmp_path / "r.html", "--data", tmp_path)
    code, _, said = isbench(*page)
    assert (code, "no pictures" in said) == (0, False)


def complete(start: str) -> list[str]:
    context = click.Context(click.Command("run"))
    return [one.value for one in complete_datasets(context, click.Option(["-x"]), start)]


def test_a_reader_of_a_package_is_listed_completed_and_suggested(
    isbench: Isbench, tiles: Path
) -> None:
    assert "  tiles:PATH  NumPy archives\n" in isbench("datasets")[1]
    assert complete("ti") == ["tiles:"]
    assert "did you mean tiles:PATH?" in refuse("tile:PATH")


def test_a_place_of_any_reader_gets_a_name(
    isbench: Isbench, tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiles.parent)
    data = tmp_path / "data"
    code, printed, said = isbench("data", "add", "mine", "tiles:tiles", "--data", data)
    assert code == 0, said
    assert "3/3 images/objects" in printed
    assert list_user_datasets(data) == {"mine": f"tiles:{tiles}"}
    monkeypatch.chdir(tmp_path / "site")
    assert load_dataset("mine", data).name == "mine"
    assert load_dataset("mine", data).keys == ("0#1", "1#1", "2#1")


def test_a_place_is_kept_as_it_is_unless_the_reader_resolves_it() -> None:
    reader = Reader("web", "URL", lambda place, data: Dataset("web:x", (), toys.load_blob))
    assert reader.resolve("https://example.org/set") == "https://example.org/set"


FAULTY = {
    "none": ("lambda place, data: None", "returned a NoneType; wanted an isbench.Dataset"),
    "nameless": ('made(None, ("a#1",))', "a data set named None; wanted toy:..."),
    "unnamed": ('made("grabcut", ("a#1",))', "a data set named 'grabcut'; wanted toy:..."),
    "list": ('made("toy:a", ["a#1"])', "returned keys in a list; wanted a tuple"),
    "plain": ('made("toy:a", ("a#1", "b"))', "returned object 'b'; wanted '<image>#<object>'"),
    "blank": ('made("toy:a", ("",))', "returned object ''; wanted"),
    "half": ('made("toy:a", ("a#",))', "returned object 'a#'; wanted"),
    "number": ('made("toy:a", (3,))', "returned object 3; wanted"),
    "twice": ('made("toy:a", ("a#1", "a#1"))', "two objects 'a#1'; wanted unique keys"),
    "raises": ("lambda place, data: 1 / 0", "cannot read here: ZeroDivisionError: division by"),
    "exits": ("lambda place, data: exit()", "cannot read here: SystemExit"),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_what_a_reader_must_not_return_is_refused_with_its_name(
    install: Install, fault: str
) -> None:
    read, wanted = FAULTY[fault]
    code = f"""
from isbench import Dataset, Reader
def made(name, keys):
    return lambda place, data: Dataset(name, keys, lambda key: None)
reader = Reader("toy", "PATH", {read})
"""
    install({"toy_faulty": code}, readers={"toy": "toy_faulty:reader"})
    said = refuse("toy:here")
    assert said.startswith("reader toy ")
    assert wanted in said


def test_a_data_set_without_objects_is_refused(install: Install) -> None:
    code = """
from isbench import Dataset, Reader
reader = Reader("toy", "PATH", lambda place, data: Dataset("toy:a", (), None))
"""
    install({"toy_empty": code}, readers={"toy": "toy_empty:reader"})
    assert refuse("toy:here") == "data set toy:here has no objects; wanted at least 1"


def test_an_object_of_another_size_than_its_image_is_refused_when_it_is_played(
    tiles: Path, tmp_path: Path
) -> None:
    truth = np.ones((3, 3), bool)
    np.savez(tiles / "1.npz", image=draw_picture(1), truth=truth, ignore=~truth)
    with pytest.raises(IsbenchError, match=r"object 1#1: truth is \(3, 3\) of bool; wanted"):
        run(toys.card, f"tiles:{tiles}", Rules(2), out=tmp_path / "runs")


# Named data sets


def test_a_data_set_of_a_package_is_found_read_and_played_like_a_built_in_one(
    isbench: Isbench, scans: Path, tmp_path: Path
) -> None:
    dataset = load_dataset("scans", scans)
    assert (dataset.name, len(dataset.keys), dataset.zoom_target) == ("scans", 6, 500)
    out = tmp_path / "runs"
    asked = ("--dataset", "scans", "--data", scans, "--max-clicks", 2, "--out", out)
    code, _, said = isbench("run", "--model", "nearest", *asked)
    assert code == 0, said
    assert "the files of scans are not a known version" in said
    assert [path.parent.name for path in store.find(out)] == ["scans"]


def test_a_data_set_of_a_package_is_listed_after_the_built_in_ones(
    isbench: Isbench, scans: Path
) -> None:
    assert list_dataset_names() == (*BUILT_IN, "scans")
    code, printed, _ = isbench("datasets", "--data", scans)
    row = next(line for line in printed.splitlines() if line.split()[:1] == ["scans"])
    assert (code, row.split()) == (0, ["scans", "4", "6", "yes", "Scans", "CC0"])
    assert str(scans / "scans-1") in isbench("data", "list", "--data", scans)[1]
    assert isbench("data", "path", "scans", "--data", scans)[1] == f"{scans / 'scans-1'}\n"
    code, printed, _ = isbench("data", "verify", "--data", scans)
    assert "scans: 4/6 images/objects" in printed
    assert "warning: not one of the 1 known fingerprints" in printed
    assert f"scans: {scans / 'scans-1'}" in isbench("doctor", "--data", scans)[1]
    assert complete("sc") == ["scans"]
    assert "did you mean scans?" in refuse("scan")


def test_a_data_set_of_a_package_is_imported_into_the_data_folder(
    isbench: Isbench, install: Install, tmp_path: Path
) -> None:
    install({"toy_scans": CARD}, datasets={"scans": "toy_scans:card"})
    source, data = write_folder_set(tmp_path / "source"), tmp_path / "data"
    assert "data set scans is not in" in refuse("scans", data)
    answer = isbench("data", "import", "scans", source, "--data", data)
    assert answer == (0, f"scans is in {data / 'Scans'}\n", "")
    assert len(load_dataset("scans", data).keys) == 6
    assert "no published archive" in isbench("data", "get", "scans", "--data", tmp_path / "b")[2]


def test_a_data_set_that_comes_with_its_package_needs_no_data_folder(
    isbench: Isbench, install: Install, tmp_path: Path
) -> None:
    root = write_folder_set(tmp_path / "site" / "toy" / "images of mine")
    code = f"""
from pathlib import Path
from isbench import DatasetCard
from isbench.datasets import folder
card = DatasetCard("Mine", "CC0", folder.read, bundled=Path({str(root)!r}))
"""
    (tmp_path / "site" / "toy").rename(tmp_path / "site" / "kept")
    install({"toy_mine": code}, datasets={"mine": "toy_mine:card"})
    (tmp_path / "site" / "kept" / root.name).rename(root)
    assert len(load_dataset("mine").keys) == 6
    assert "mine comes with its package" in isbench("data", "get", "mine")[2]


def test_a_user_may_not_take_the_name_of_a_data_set_of_a_package(
    isbench: Isbench, scans: Path, folder_set: Path
) -> None:
    words = ("data", "add", "scans", f"folder:{folder_set}", "--data", scans)
    assert "scans is a data set of a package" in isbench(*words)[2]


def test_a_name_that_a_user_and_then_a_package_gave_is_refused(
    isbench: Isbench, install: Install, folder_set: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    assert isbench("data", "add", "scans", f"folder:{folder_set}", "--data", data)[0] == 0
    install({"toy_scans": CARD}, datasets={"scans": "toy_scans:card"})
    assert "remove yours with `isbench data remove scans`" in refuse("scans", data)
    assert isbench("data", "remove", "scans", "--data", data)[0] == 0
    assert "is not in" in refuse("scans", data)


@pytest.mark.parametrize(
    ("group", "name", "asked"),
    [
        ("datasets", "grabcut", "grabcut"),
        ("datasets", "two", "two"),
        ("readers", "folder", "folder:x"),
    ],
)
def test_a_name_that_two_have_is_refused_and_listed(
    isbench: Isbench, install: Install, group: str, name: str, asked: str
) -> None:
    for package in ("toy", "toy2"):
        install({f"toy_{package}": CARD}, package, **{group: {name: f"toy_{package}:card"}})
    noun = "reader" if group == "readers" else "data set"
    said = refuse(asked)
    assert said.startswith(f"two {noun}s named {name!r}: ")
    assert "toy_toy" in said
    code, printed, _ = isbench("datasets")
    assert code == 0
    assert f"two {noun}s named {name!r}" in printed
    assert load_dataset("sample").keys


def test_a_broken_package_shows_its_error_and_breaks_no_command(
    isbench: Isbench, install: Install, folder_set: Path, tmp_path: Path
) -> None:
    install(
        {"toy_broken": "raise RuntimeError('the toy is broken')"},
        readers={"bad": "toy_broken:reader"},
        datasets={"worse": "toy_broken:card"},
    )
    error = "(toy_broken:{}) cannot be imported: RuntimeError: the toy is broken"
    code, printed, _ = isbench("datasets")
    assert code == 0
    assert f"bad: reader 'bad' {error.format('reader')}" in printed
    assert error.format("card") in printed
    for words in (["data", "list"], ["doctor"]):
        code, printed, _ = isbench(*words, "--data", tmp_path / "none")
        assert code == 0
        assert error.format("card") in printed
    code, printed, said = isbench("data", "verify", "--data", tmp_path / "none")
    assert (code, printed.count("images/objects")) == (0, 1)
    assert "data set worse is left out: " in said
    for asked, place in (("worse", "card"), ("bad:x", "reader")):
        assert error.format(place) in refuse(asked)
    assert "did you mean sample?" in refuse("sampel")
    assert load_dataset(f"folder:{folder_set}").keys
    assert is_known("worse", "0")
    leakage.check_place(folder_set)


def test_data_that_a_package_names_are_not_trained_on(
    scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISBENCH_DATA", str(scans))
    with pytest.raises(IsbenchError, match="data set scans"):
        leakage.check_place(scans / "scans-1" / "images")
    with pytest.raises(IsbenchError, match="scans is a data set of the benchmark"):
        leakage.check_name("scans")


def test_a_card_without_a_folder_or_of_another_type_is_refused(install: Install) -> None:
    code = CARD.replace('folders=("Scans", "scans-1"), ', "") + "\nother = 3\n"
    points = {"homeless": "toy_scans:card", "number": "toy_scans:other"}
    install({"toy_scans": code}, datasets=points)
    assert refuse("homeless") == "data set homeless has no folder; wanted `folders` or `bundled`"
    assert refuse("number") == "toy_scans:other is a int; wanted an isbench.DatasetCard"


def test_a_reader_that_is_named_otherwise_than_its_entry_point_is_refused(
    install: Install,
) -> None:
    install({"toy_tiles": EXAMPLE}, readers={"tile": "toy_tiles:reader"})
    assert refuse("tile:x").startswith("reader 'tile' is named 'tiles'; wanted the same name")


def test_the_values_of_packages_are_public() -> None:
    assert library.Reader is Reader
    assert replace(BUILT_IN["sample"]) == BUILT_IN["sample"]
    assert isinstance(BUILT_IN["sample"], library.DatasetCard)
