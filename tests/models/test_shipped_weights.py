"""The weights that come with isbench: small, with a card, made by the documented commands."""

from __future__ import annotations

import csv
import itertools
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from isbench.cli.options import parse_settings
from isbench.evaluation import job
from isbench.files.digests import digest_file
from isbench.models.predictor import build_model
from isbench.models.registry import list_model_names, load_card
from isbench.training.recipe import fill_defaults
from isbench.training.settings import choose_recipe
from isbench.training.weight_card import read_card
from tests.support.networks import eager

Isbench = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).parents[2]
MOST, MOST_IN_ALL = 8e6, 40e6  # bytes
SHIPPED = [(name, weights) for name in list_model_names() for weights in load_card(name).bundled]
# what docs/training.md calls the folder of a training -> the model and the name of its weights
MADE = {
    "lite": ("ritm-lite", "pack"),
    "csfpn-lite": ("csfpn-lite", "pack"),
    "crowds": ("csfpn-lite", "crowds"),
    "pack": ("ritm-mini", "pack"),
    "csfpn": ("csfpn-mini", "pack"),
}


@pytest.mark.parametrize(("name", "weights"), SHIPPED)
def test_weights_fit_their_network_and_are_small(name: str, weights: str) -> None:
    job.check_model(build_model(eager(name, weights)))
    card = load_card(name)
    assert card.bundled[weights].stat().st_size <= MOST


@pytest.mark.parametrize(("name", "weights"), SHIPPED)
def test_the_command_prints_the_licence_of_each_file(
    name: str, weights: str, isbench: Isbench
) -> None:
    code, printed, _ = isbench("models", name)
    card = load_card(name)
    assert code == 0
    assert "for research only" in card.bundled_terms
    assert ("Apache-2.0" in card.bundled_terms) == name.endswith("-lite")
    assert printed.count(f"licence: {card.bundled_terms}") == len(card.bundled)
    assert read_card(card.bundled[weights])["licence"] in printed


def test_they_are_small_together() -> None:
    files = {load_card(name).bundled[weights] for name, weights in SHIPPED}
    assert sum(file.stat().st_size for file in files) <= MOST_IN_ALL


@pytest.mark.parametrize(("name", "weights"), MADE.values())
def test_the_card_names_the_data(name: str, weights: str) -> None:
    card = read_card(load_card(name).bundled[weights])
    assert card["data"].startswith("pack:train ")
    assert "held-out images left out" in card["data"]
    assert set(json.loads(card["sources"])) > {"coco", "duts", "ecssd"}
    assert card["steps"] == " of ".join(2 * [card["steps"].partition(" ")[0]])


def commands() -> dict[str, list[str]]:
    """Return the documented trainings by the folder they write."""
    page = (ROOT / "docs/training.md").read_text().split("## The weights that come with")[1]
    block = page.split("\n\n    ")[1].split("\n\n")[0].replace("\\\n", " ")
    lines = [line.split("#")[0] for line in block.splitlines()]
    known = {"P": "pack:data/train", "B": "baselines/weights/ritm-mini.safetensors"}
    text = "\n".join(line for line in lines if '="' not in line)
    for name, value in {**dict(re.findall(r'([A-Z])="(.*)"', block)), **known}.items():
        text = text.replace(f"${name}", value)
    found = [shlex.split(line) for line in text.splitlines() if "isbench train" in line]
    return {Path(line[line.index("--out") + 1]).name: line for line in found}


@pytest.mark.parametrize("folder", MADE)
def test_the_documented_command_is_the_recipe_on_the_card(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    name, weights = MADE[folder]
    line = commands()[folder]
    settings = [value for key, value in itertools.pairwise(line) if key == "--set"]
    model = choose_recipe(line[2], settings=parse_settings(settings))
    card = read_card(load_card(name).bundled[weights])
    assert model.name == name == card["model"]
    asked = model.card.recipe.list_deciding_settings()
    stored = fill_defaults(json.loads(card["recipe"]))
    start, stored["init"] = asked.pop("init"), stored.pop("init") and ""
    assert asked == {key: value for key, value in stored.items() if key in asked}
    if Path(start).is_file():  # where it lay is not what it was
        assert card["origin"].split()[-1] == digest_file(Path(start))


def test_the_figures_that_choices_were_made_by_are_on_record() -> None:
    with (ROOT / "results/training/held_out.csv").open() as file:
        lines = {
            (row["model"], row["weights"], row["options"]): row for row in csv.DictReader(file)
        }
    tried = [float(lines["csfpn-mini", "pack", option]["noc90"]) for option in (
        "", "overview=256", "overview=400"
    )]  # fmt: skip
    assert load_card("csfpn-mini").options["overview"] == 320
    assert tried[0] == min(tried)


def test_the_sizes_that_light_models_see_were_chosen_on_held_out_objects() -> None:
    with (ROOT / "results/training/trials.csv").open() as file:
        lines = {row["options"]: row for row in csv.DictReader(file) if row["trial"] == "lite"}
    chosen = lines["zoom_target=400 overview=256"]
    assert {key: load_card("ritm-lite").options[key] for key in ("zoom_target", "overview")} == {
        "zoom_target": 400, "overview": 256,
    }  # fmt: skip
    larger = [row for options, row in lines.items() if "overview=192" not in options]
    assert chosen["noc90"] == min((row["noc90"] for row in larger), key=float)


def test_the_clicks_with_g2l_were_chosen_on_held_out_objects() -> None:
    with (ROOT / "results/training/trials.csv").open() as file:
        lines = {
            row["options"]: row for row in csv.DictReader(file) if row["trial"] == "csfpn-lite"
        }
    count = load_card("csfpn-lite").options["global_clicks"]
    for size in ("overview=112 ", "overview=176 ", ""):  # the card's own is not named
        chosen, without = lines[f"{size}global_clicks={count}"], lines[f"{size}g2l=off"]
        for figure in ("noc85", "noc90"):
            assert float(chosen[figure]) < float(without[figure])


def test_the_figures_of_the_crowds_weights_are_on_record() -> None:
    page = (ROOT / "docs/training.md").read_text().split("### Objects that look alike")[1]
    with (ROOT / "results/training/crowds.csv").open() as file:
        rows = list(csv.DictReader(file))
    shown = [line for line in page.split("\n###")[0].splitlines() if line.startswith("| ")][1:]
    pairs = list(zip(rows[::2], rows[1::2], strict=True))
    assert len(shown) == len(pairs)
    for pack, crowds in pairs:
        low, high = (
            f"{float(crowds[end]):+.2f}".replace("+0.00", "0.00") for end in ("low", "high")
        )
        figures = (
            f"{float(pack['noc90']):.2f} | {float(crowds['noc90']):.2f} | "
            f"{float(crowds['difference']):+.2f} [{low}, {high}] | "
            f"{float(pack['iou1']):.2f}, {float(crowds['iou1']):.2f} |"
        )
        (line,) = (line for line in shown if figures in line)
        assert line.startswith(f"| {pack['objects']} ")
