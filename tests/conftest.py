"""Data for the tests: small sets made on the spot, and the real ones where they are at hand."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import settings

from isbench.cli import main
from isbench.types import ModelCard

# pytest -n auto starts a process per core: more threads than one would wait for each other, which
# takes several times as long; torch, which reads this, is imported later
if os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# machines differ in speed: no test fails for being slow
settings.register_profile("isbench", deadline=None)
settings.load_profile("isbench")

REFERENCE = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def _cache_of_our_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what OpenVINO compiles out of the user's cache, in one place for all test processes.

    The user's own list of data sets is not read either.
    """
    folder = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        yield


@pytest.fixture(scope="module")
def third_party_clickers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Install the clickers of `tests.support.third_party_clickers`; return the folder."""
    from isbench.types import Clicker
    from tests.support import third_party_clickers

    folder = tmp_path_factory.mktemp("site")
    facts = folder / "third_party_clickers-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: strange-clickers\nVersion: 1.0\n")
    names = [name for name, one in vars(third_party_clickers).items() if isinstance(one, Clicker)]
    points = "".join(
        f"{name.replace('_', '-')} = tests.support.third_party_clickers:{name}\n" for name in names
    )
    (facts / "entry_points.txt").write_text(f"[isbench.clickers]\n{points}")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of the real data sets, or skip."""
    for folder in (os.environ.get("ISBENCH_DATA"), REFERENCE / "data"):
        if folder and (Path(folder) / "GrabCut").is_dir():
            return Path(folder)
    if os.environ.get("ISBENCH_NEED_DATA"):  # set by CI where the data are known to be
        pytest.fail("no real data, and ISBENCH_NEED_DATA is set")
    pytest.skip("no real data: neither ISBENCH_DATA nor ../shared/data has GrabCut")


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Any]:
    """Return a reader of the original evaluator's games, or skip."""
    folder = REFERENCE / "golden" / "clicks"
    if not folder.is_dir():
        if os.environ.get("ISBENCH_NEED_DATA"):
            pytest.fail("no golden games, and ISBENCH_NEED_DATA is set")
        pytest.skip("no golden games: ../shared/golden is not there")
    return lambda name: json.loads((folder / name).read_text())


@pytest.fixture(scope="session")
def bs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of weights of ritm-mini."""
    from safetensors.torch import save_file  # torch, which only tests of networks wait for

    from tests.support.networks import network

    path = tmp_path_factory.mktemp("weights") / "bs.safetensors"
    save_file(network("ritm-mini").state_dict(), path)
    return path


def write_folder_set(root: Path, objects: int = 6, images: int | None = None) -> Path:
    """Write a `folder:` set of small pictures, each with a bright blob on noise."""
    images = objects if images is None else images
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for number in range(objects):
        stem = f"picture{number % images:05d}"
        rng = np.random.default_rng(number % images)
        picture = rng.integers(0, 100, (24, 32, 3), dtype=np.uint8)
        mask = np.zeros((24, 32), np.uint8)
        centre = 4 + 5 * number % 24, 5 + 3 * number % 14
        cv2.ellipse(mask, centre, (4 + number % 5, 3 + number % 4), 30 * number, 0, 360, 255, -1)
        picture[mask > 0] += np.uint8(100)
        cv2.imwrite(str(root / "images" / f"{stem}.png"), picture)
        cv2.imwrite(str(root / "masks" / f"{stem}__{1 + number // images}.png"), mask)
    return root


@pytest.fixture
def folder_set(tmp_path: Path) -> Path:
    """Return a small `folder:` set of six objects on four images."""
    return write_folder_set(tmp_path / "set", objects=6, images=4)


@pytest.fixture
def cheap_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave CSFPN's Table 4 out, whose networks take seconds to count."""
    from csfpn.paper import tables

    first = replace(tables.paper, tables=tables.paper.tables[:3])
    monkeypatch.setattr(tables, "paper", first)


@pytest.fixture
def no_bundled_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the weights that come with the cards: a test that wants some brings its own."""
    import baselines.adaptation.cards
    import baselines.cards
    import baselines.fbrs.cards
    import csfpn.cards

    ours = (baselines.cards, baselines.adaptation.cards, baselines.fbrs.cards, csfpn.cards)
    for module in ours:
        for name, card in list(vars(module).items()):
            if isinstance(card, ModelCard) and card.bundled:
                monkeypatch.setattr(module, name, replace(card, bundled={}))


@pytest.fixture
def isbench(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Return the command line as a function: arguments to exit code, output and errors."""

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Let torch compute in one thread, whose numbers are the same everywhere."""
    import torch  # only the tests that ask for it wait for it

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def toy_pack(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a training pack of 60 small images, one of which is broken."""
    from tests.training.test_pack import write_pack

    return f"pack:{write_pack(tmp_path_factory.mktemp('packs') / 'toy', broken=(7,))}"


@pytest.fixture(scope="session")
def whole(toy_pack: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a training that nobody stopped."""
    import torch

    from isbench.training import train
    from tests.support.tiny import RECIPE, card

    out = tmp_path_factory.mktemp("trainings") / "whole"
    torch.set_num_threads(1)
    assert train(card, toy_pack, out, recipe=RECIPE).complete
    return out
