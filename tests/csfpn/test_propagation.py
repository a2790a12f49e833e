"""Laws of CSFPN's graphs: which clicks propagate, from where, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from baselines.ritm import Ritm
from csfpn.config import PropagationConfig
from csfpn.network import Csfpn
from csfpn.propagation import Cells, Hsgm, Sgm, find_clicked_cells, sample, spread
from isbench.nn.backbones.mini import Mini
from isbench.nn.clickmaps import encode_points
from isbench.types import Click
from tests.support.official_networks import fill_network
from tests.support.synthetic import draw_picture

pytestmark = pytest.mark.usefixtures("one_thread")


INSIDE = st.builds(Click, st.integers(0, 63), st.integers(0, 95), st.booleans())


def make_attention() -> tuple[Sgm, Hsgm]:
    sgm, hsgm = fill_network(Sgm(12, 3, 3)), fill_network(Hsgm(12, 6, 3))
    assert isinstance(sgm, Sgm)
    assert isinstance(hsgm, Hsgm)
    return sgm, hsgm


def propagate(clicks: Tensor) -> tuple[Tensor, Tensor]:
    sgm, hsgm = make_attention()
    high, low = draw_picture(12, 16, 24), draw_picture(6, 32, 48, 7)
    kept = clicks.clone()
    with torch.inference_mode():
        out = sgm(high, find_clicked_cells(clicks, (16, 24), 4))
        finer = hsgm(out, low, find_clicked_cells(clicks, (32, 48), 2))
    assert torch.equal(clicks, kept)
    return out, finer


@settings(max_examples=25)
@given(
    st.lists(INSIDE, max_size=6),
    st.sampled_from([(-1.0, 5.0), (5.0, -3.0), (64.0, 5.0), (5.0, 96.0), (-9.0, -9.0), (200, 300)]),
    st.booleans(),
)
def test_a_click_outside_the_crop_changes_nothing(
    clicks: list[Click], outside: tuple[float, float], positive: bool
) -> None:
    with_it = encode_points([*clicks, (*outside, positive)])
    for one, other in zip(propagate(encode_points(clicks)), propagate(with_it), strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-5)


@settings(max_examples=25)
@given(st.lists(INSIDE, min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_clicks_changes_nothing(clicks: list[Click], rng: Any) -> None:
    shuffled = list(clicks)
    rng.shuffle(shuffled)
    for one, other in zip(
        propagate(encode_points(clicks)), propagate(encode_points(shuffled)), strict=True
    ):
        assert torch.allclose(one, other, rtol=0, atol=1e-5)


def test_a_hundred_clicks_and_none_are_taken() -> None:
    many = [Click(k % 64, 7 * k % 96, k % 3 > 0) for k in range(100)]
    for clicks in (many, []):
        assert all(torch.isfinite(x).all() for x in propagate(encode_points(clicks)))


def test_without_a_click_nothing_is_spread_and_a_click_in_the_first_cell_counts() -> None:
    none, first = (propagate(encode_points(clicks))[0] for clicks in ([], [Click(1, 2, True)]))
    sgm, _ = make_attention()
    with torch.inference_mode():
        assert torch.allclose(none, sgm.conv1(draw_picture(12, 16, 24)), atol=1e-6)
    assert not torch.allclose(none, first, atol=1e-3)


def test_attention_gathered_first_is_dense_attention_at_the_clicks() -> None:
    torch.manual_seed(0)
    query, keys, values = torch.randn(1, 4, 5, 6), torch.randn(1, 4, 5, 6), torch.randn(1, 8, 5, 6)
    chosen = [3, 17, 29]
    dense = (query.flatten(2).transpose(1, 2) @ keys.flatten(2))[..., chosen] / 2
    wanted = values.flatten(2)[..., chosen] @ dense.softmax(dim=2).transpose(1, 2)
    at = Cells(torch.tensor([chosen]), torch.ones(1, 3, dtype=torch.bool))
    key, value = (x.flatten(2)[:, :, chosen, None] for x in (keys, values))
    found = spread(query, key, value, at.counts)
    assert torch.allclose(found.flatten(2), wanted, atol=1e-6)


def open_csfpn(released: bool = False) -> nn.Module:
    """Return a small CSFPN whose graphs propagate."""
    torch.manual_seed(0)
    graphs = PropagationConfig(heads=2, reduction=4, light=True, out=32, released=released)
    network = Csfpn(Mini(), graphs).eval()
    for key, value in network.named_parameters():
        if key.endswith("gamma"):
            nn.init.constant_(value, 0.3)
    return network


@settings(max_examples=15)
@given(st.lists(INSIDE, min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_clicks_of_a_sign_changes_no_answer(clicks: list[Click], rng: Any) -> None:
    shuffled = list(clicks)
    rng.shuffle(shuffled)  # `points` puts each sign into its half, in the order they come
    network, inputs = open_csfpn(), draw_picture(4, 64, 96)
    with torch.inference_mode():
        one, other = (network(inputs, encode_points(table))[0] for table in (clicks, shuffled))
    assert torch.allclose(one, other, rtol=0, atol=1e-5)


@pytest.mark.parametrize("make", [lambda: open_csfpn(True), open_csfpn, lambda: Ritm(Mini())])
def test_networks_never_write_what_they_are_given(make: Callable[[], nn.Module]) -> None:
    inputs, clicks = (
        draw_picture(4, 64, 96),
        encode_points([Click(70, 10, True), Click(0, 0, False)]),
    )
    clicks[0, 0, 1] = -7
    kept = inputs.clone(), clicks.clone()
    with torch.inference_mode():
        make().eval()(inputs, clicks)
    assert torch.equal(inputs, kept[0])
    assert torch.equal(clicks, kept[1])


def test_the_released_code_draws_no_click_below_or_right_of_the_crop() -> None:
    inputs, base = draw_picture(4, 64, 96), [Click(20, 30, True)]
    beyond = [[*base, Click(66, 20, False)], [*base, Click(20, 98, False)]]
    with torch.inference_mode():
        alone, *others = (open_csfpn(True)(inputs, encode_points(t))[0] for t in (base, *beyond))
        (usual,) = open_csfpn()(inputs, encode_points(beyond[0]))
    assert all(torch.allclose(alone, other, atol=1e-6) for other in others)
    assert not torch.allclose(alone, usual, atol=1e-6)


def test_half_the_precision_samples_keys_where_the_clicks_are() -> None:
    rows, cols = torch.meshgrid(torch.arange(60.0), torch.arange(107.0), indexing="ij")
    ramps = torch.stack([rows, cols])[None] / 128  # exact in bf16 to a 256th of itself
    at = Cells(torch.tensor([[213 * 119 + 201]]), torch.ones(1, 1, dtype=torch.bool))
    wanted = sample(ramps, at, torch.Size((120, 213)))
    with torch.autocast("cpu", torch.bfloat16):
        found = sample(ramps.bfloat16(), at, torch.Size((120, 213)))
    assert torch.allclose(found.float(), wanted, rtol=0.01)
