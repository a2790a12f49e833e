"""Encodings kept on disk change no game, whatever is done to their files."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from isbench.errors import IsbenchError, PredictorError
from isbench.evaluation.encoding_cache import describe_encoder
from isbench.evaluation.runner import Silent, run
from isbench.models.loading import load_model
from isbench.storage.encodings import (
    DamagedEncoding,
    EncodingFolder,
    digest_image,
    open_folder,
    read_encoding,
    write_encoding,
)
from isbench.testing import check_predictor
from isbench.types import LoadedModel, ModelCard, Rules, Runtime
from tests.support import encoders, toys

Isbench = Callable[..., tuple[int, str, str]]
IMAGES = 4
DATA = toys.blobs(3 * IMAGES)
RULES = Rules(4, 1.01)


class Notes(Silent):
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


class Bench:
    """Plays the same data set again and again, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.counts, self.cache = folder / "counts", folder / "cache"
        self.folder, self.runs, self.notes = folder, 0, list[str]()
        self.counts.mkdir()

    def play(self, cache: bool = True, workers: int = 1, **options: Any) -> bytes:
        """Return the file of a run; `options` are those of the model."""
        self.runs += 1
        values = {"folder": str(self.counts), **options}
        notes = Notes()
        kept = {"cache": self.cache} if cache else {}
        model = load_model(encoders.card, values)
        out = self.folder / f"runs{self.runs}"
        recorded = run(model, DATA, RULES, out=out, workers=workers, watch=notes, **kept)
        self.notes = [text for text in notes.texts if "fingerprint" not in text]
        return recorded.path.read_bytes()

    def take_count(self) -> int:
        """Return how many images were encoded since the last call."""
        marks = list(self.counts.iterdir())
        for mark in marks:
            mark.unlink()
        return len(marks)

    def list_files(self) -> list[Path]:
        return sorted(self.cache.rglob("*.safetensors"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("workers", [1, 2])
def test_games_are_those_without_a_cache_and_images_are_encoded_once(
    bench: Bench, workers: int
) -> None:
    plain = bench.play(cache=False)
    assert bench.take_count() == len(DATA.keys)  # its images are made again for every object
    assert not bench.cache.exists()
    assert bench.play(workers=workers) == plain
    assert bench.take_count() == IMAGES
    assert len(bench.list_files()) == IMAGES
    assert bench.play(workers=workers) == plain
    assert bench.take_count() == 0
    assert bench.notes == []


def test_other_options_have_other_encodings(bench: Bench) -> None:
    first = bench.play()
    assert bench.play(scale=0.05) != first
    assert bench.take_count() == 2 * IMAGES
    assert len(bench.list_files()) == 2 * IMAGES
    assert bench.play() == first
    assert bench.take_count() == 0


class Trap:
    """Does something when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("unpickled"),)


def cut(path: Path, other: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip_last_bit(path: Path, other: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def swap(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes())


def replace_by_foreign_arrays(path: Path, other: Path) -> None:
    save_file({"features": np.zeros((20, 30, 3), np.float32), "bias": np.zeros(())}, path)


def replace_by_pickle(path: Path, other: Path) -> None:
    path.write_bytes(pickle.dumps(Trap()))


def empty(path: Path, other: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "damage", [cut, flip_last_bit, swap, replace_by_foreign_arrays, replace_by_pickle, empty]
)
def test_a_damaged_or_foreign_file_is_computed_again_with_a_note(
    bench: Bench,
    damage: Callable[[Path, Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = bench.play()
    bench.take_count()
    damaged, other = bench.list_files()[:2]
    whole = damaged.read_bytes()
    damage(damaged, other)
    assert bench.play() == plain
    assert bench.take_count() == 1
    (note,) = bench.notes
    assert str(damaged) in note
    assert note.endswith("it is computed and written again")
    assert damaged.read_bytes() == whole
    assert not Path("unpickled").exists()


IMAGE = digest_image(np.zeros((2, 3, 3), np.uint8))
ARRAYS = {
    "map": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.array([0.5, -0.0, np.inf, np.nan], np.float16),
    "count": np.array(7),
    "mask": np.array([[True], [False]]),
    "none": np.zeros((0, 3), np.uint8),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> EncodingFolder:
    folder = open_folder(tmp_path_factory.mktemp("encodings"), "model", {"options": {}})
    write_encoding(folder, IMAGE, ARRAYS)
    return folder


def check_equal(found: Any) -> None:
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


def test_arrays_are_read_as_they_were_written(written: EncodingFolder) -> None:
    check_equal(read_encoding(written, IMAGE))
    assert read_encoding(written, digest_image(np.zeros((3, 2, 3), np.uint8))) is None


def test_arrays_in_any_order_of_bytes_and_strides_are_kept(written: EncodingFolder) -> None:
    turned = np.arange(6, dtype=">f4").reshape(2, 3).T
    image = digest_image(np.ones((2, 3, 3), np.uint8))
    write_encoding(written, image, {"turned": turned})
    found = read_encoding(written, image)
    assert found is not None
    assert np.array_equal(found["turned"], turned)


@given(st.data())
def test_no_changed_byte_is_read_as_an_encoding(
    written: EncodingFolder, data: st.DataObject
) -> None:
    (path,) = written.path.glob(f"{IMAGE[:32]}*")
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[at]))
    path.write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
    try:
        check_equal(read_encoding(written, IMAGE))  # what changed may have been a space
    except DamagedEncoding:
        pass
    finally:
        path.write_bytes(whole)


def test_many_may_write_and_read_one_encoding_at_once(tmp_path: Path) -> None:
    def write_and_read(number: int) -> None:
        folder = open_folder(tmp_path, "model", {"options": {}})
        write_encoding(folder, IMAGE, ARRAYS)
        check_equal(read_encoding(folder, IMAGE))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write_and_read, range(40)))
    assert len(list(tmp_path.rglob("*.tmp"))) == 0


def build(sizes: Any = (), **options: Any) -> encoders.Encoder:
    return encoders.Encoder(folder="", scale=1.0)


BASE = LoadedModel(ModelCard("one", build, {"scale": 1.0}), {"scale": 1.0}, Runtime())


@pytest.mark.parametrize(
    "other",
    [
        replace(BASE, options={"scale": 2.0}),
        replace(BASE, card=replace(BASE.card, name="two")),
        replace(BASE, card=replace(BASE.card, version="2")),
        replace(BASE, card=replace(BASE.card, libraries={"torch": "0.1"})),
        replace(BASE, card=replace(BASE.card, build=partial(build, 3))),
        replace(BASE, card=replace(BASE.card, build=encoders.Encoder)),
        replace(BASE, runtime=Runtime(digest="0" * 64)),
        replace(BASE, runtime=Runtime(threads=2)),
        replace(BASE, runtime=Runtime(precision="bf16")),
        replace(BASE, runtime=Runtime(backend="openvino")),
        replace(BASE, runtime=None),
    ],
)
def test_all_that_may_decide_an_encoding_gives_it_another_folder(
    other: LoadedModel, tmp_path: Path
) -> None:
    one, two = (open_folder(tmp_path, "m", describe_encoder(model)) for model in (BASE, other))
    assert one.path != two.path


def test_the_same_facts_are_the_same_in_every_process() -> None:
    card = replace(BASE.card, build=partial(build, (1, partial(build, int))))
    facts = describe_encoder(replace(BASE, card=card))
    assert " at 0x" not in str(facts)
    assert facts == describe_encoder(replace(BASE, card=replace(card)))


@pytest.mark.parametrize("model", ["ritm-mini", "nearest"])
def test_a_model_without_encodings_is_refused_in_a_line(
    model: str, isbench: Isbench, folder_set: Path, tmp_path: Path
) -> None:
    asked = ("--dataset", f"folder:{folder_set}", "--out", tmp_path / "runs", "--backend", "eager")
    code, _, said = isbench("run", "--model", model, *asked, "--cache", tmp_path / "cache")
    assert (code, said.count("\n")) == (2, 1)
    assert f"model {model} has no encodings of images to keep" in said
    assert "(--cache)" in said
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "cache").exists()


def test_a_model_that_learns_keeps_no_encodings(tmp_path: Path) -> None:
    card = replace(encoders.card, adaptive=True)
    with pytest.raises(IsbenchError, match="it learns from object to object; leave cache out"):
        run(card, DATA, RULES, out=tmp_path / "runs", cache=tmp_path / "cache")


def test_a_builder_with_an_argument_that_cannot_be_identified_keeps_no_encodings(
    tmp_path: Path,
) -> None:
    card = replace(BASE.card, build=partial(build, {"sizes": object()}))
    with pytest.raises(IsbenchError, match="an argument of its builder has no text that says what"):
        run(card, DATA, RULES, out=tmp_path / "runs", cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_folder_that_cannot_be_written_is_an_error_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(IsbenchError, match=r"cannot write .*choose another folder"):
        run(encoders.card, DATA, RULES, out=tmp_path / "runs", cache=tmp_path / "cache")
    assert not (tmp_path / "runs").exists()


def test_an_encoding_that_is_not_numbers_is_an_error_of_the_model(tmp_path: Path) -> None:
    with pytest.raises(PredictorError, match=r"model wordy: pack returned 'words' of <U1; wanted"):
        run(encoders.wordy, DATA, RULES, out=tmp_path / "runs", cache=tmp_path / "cache")


def test_packing_is_part_of_the_contract_of_predictors() -> None:
    check_predictor(encoders.card)
    with pytest.raises(PredictorError, match="when encodings were packed and unpacked"):
        check_predictor(encoders.forgetful)
    with pytest.raises(PredictorError, match="pack returned 'words'"):
        check_predictor(encoders.wordy)


def test_a_run_from_the_command_line_keeps_encodings(
    isbench: Isbench, folder_set: Path, tmp_path: Path
) -> None:
    asked = ("--model", "tests.support.encoders:card", "--dataset", f"folder:{folder_set}")
    places = ("--out", tmp_path / "runs", "--cache", tmp_path / "cache")
    code, _, said = isbench("run", *asked, *places, "--max-clicks", 2)
    assert code == 0, said
    assert list((tmp_path / "cache").glob("encoder-*/*.safetensors"))
