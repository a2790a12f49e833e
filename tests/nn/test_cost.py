"""What networks cost."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from isbench.models.registry import list_model_names, load_card, parse_options
from isbench.nn.runtime.cost import PARTS, REST, Cost, count_cost
from tests.support.models import mark_heavy

NETWORKS = [name for name in list_model_names() if load_card(name).networks is not None]
Isbench = Callable[..., tuple[int, str, str]]


def count(name: str, size: tuple[int, int] = (320, 480), **options: str) -> Cost:
    card = load_card(name)
    assert card.networks is not None
    return count_cost(partial(card.networks, **parse_options(card, options)), size)


@pytest.mark.parametrize("name", mark_heavy(NETWORKS))
def test_the_parts_of_a_network_are_all_of_it(name: str) -> None:
    found = count(name, (64, 96))
    assert sum(part.parameters for part in found.parts.values()) == found.whole.parameters
    assert sum(part.macs for part in found.parts.values()) == found.whole.macs
    assert found.parts.keys() <= {REST, *PARTS}
    assert all(part.macs >= 0 and part.parameters >= 0 for part in found.parts.values())


@pytest.mark.parametrize(
    ("name", "parameters", "gmac"),
    [  # counted in the official networks, f_pixel and f_object of OCR left out of the GMAC
        ("baseline-r50", 31_405_842, 81.470),
        ("ritm-r50", 31_405_858, 81.472),
        ("ritm-r34", 23_350_930, 58.624),
        ("ritm-r101", 58_440_866, 146.983),
        ("ritm-hrnet18s", 4_220_047, None),
        ("ritm-hrnet18", 10_032_019, None),
        ("ritm-hrnet32", 30_951_363, None),
        ("csfpn-hrnet18", 12_062_603, None),
        ("csfpn-r50", 31_964_710, None),
        ("csfpn-r101", 60_377_766, None),
        ("cdnet-r34", 23_465_815, None),
    ],
)
def test_networks_cost_what_the_official_ones_do(
    name: str, parameters: int, gmac: float | None
) -> None:
    found = count(name).whole
    assert found.parameters == parameters
    if gmac is not None:
        assert found.macs / 1e9 == pytest.approx(gmac, abs=5e-4)


@pytest.mark.parametrize(
    ("name", "side", "parameters", "gmac"),
    [
        ("focuscut-r50", 384, 40_356_449, 39.238),
        ("focuscut-r101", 512, 59_348_577, 89.150),
        ("fcanet-r101", 512, 73_034_658, 113.25),
        ("fcanet-res2net101", 512, 73_705_722, None),
    ],
)
def test_networks_that_see_squares_cost_what_the_official_ones_do(
    name: str, side: int, parameters: int, gmac: float | None
) -> None:
    found = count(name, (side, side)).whole
    assert found.parameters == parameters
    if gmac is not None:
        assert found.macs / 1e9 == pytest.approx(gmac, abs=5e-3)


def test_the_baseline_with_clicks_joined_to_the_colours_has_fbrs_parameters() -> None:
    assert count("baseline-r50", joined="on").whole.parameters == 31_396_604


def test_sparse_graphs_add_little_and_dense_diffusion_at_high_resolution_more_than_all() -> None:
    base = count("baseline-r50").whole.macs
    assert 1 < count("baseline-r50-csfp").whole.macs / base < 1.05
    assert 1 < count("baseline-r50-fdm").whole.macs / base < 1.05
    assert count("baseline-r50-fdm2").whole.macs / base > 2


@pytest.mark.parametrize("name", ["csfpn-mini", "ritm-mini"])
def test_a_mini_has_at_most_three_million_parameters(name: str) -> None:
    assert count(name).whole.parameters <= 3_000_000


def test_a_switch_takes_its_part_away() -> None:
    whole = count("csfpn-mini").parts
    assert "SGM" not in count("csfpn-mini", sgm="off").parts
    assert "HSGM" not in count("csfpn-mini", hsgm="off").parts
    assert {"SGM", "HSGM"} <= whole.keys()


def test_costs_are_printed(isbench: Isbench) -> None:
    names = ("baseline-r50", "nearest", "csfpn-mini")  # the costs of all are counted above
    code, out, _ = isbench("models", *names, "--cost", "--size", "64x96")
    assert code == 0
    assert "31,405,842" in out
    assert f"{count('csfpn-mini').whole.parameters:,}" in out
    assert "nearest" not in out
    assert "multiply-adds of convolutions and matrix products" in out


def test_costs_of_one_model_are_printed_by_name(isbench: Isbench) -> None:
    code, out, _ = isbench("models", "ritm-mini", "--cost", "--size", "64x96")
    assert code == 0
    assert f"{count('ritm-mini').whole.parameters:,}" in out
    assert "csfpn" not in out


def test_a_model_that_is_not_installed_is_refused_by_name(isbench: Isbench) -> None:
    code, _, said = isbench("models", "ritm-mino")
    assert code == 2
    assert "did you mean ritm-mini?" in said


@pytest.mark.parametrize("size", ["64", "0x5", "64x", "axb", "-3x4", "64x96x3"])
def test_a_size_that_is_none_is_refused(isbench: Isbench, size: str) -> None:
    code, _, said = isbench("models", "--cost", "--size", size)
    assert code == 2
    assert "wanted rows x columns" in said
