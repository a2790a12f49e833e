"""CDNet equal to the official network; laws of diffusion and of the base segmenter around it."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from baselines import cards
from baselines.baseline import Baseline
from baselines.cdnet import CDNet, Refinement
from baselines.fdm import Fdm, attend, click_proximity
from baselines.parts import Parts
from baselines.pdm import Pdm
from baselines.ritm import Ritm
from isbench.errors import IsbenchError
from isbench.nn.backbones.deeplab import DeepLab
from isbench.nn.backbones.mini import Mini
from isbench.nn.backbones.resnet import BasicBlock, ResNet
from isbench.nn.clickmaps import draw_disks, encode_points
from isbench.nn.trunk import deeplab
from isbench.types import Click, Runtime
from tests.support.official_games import read_golden
from tests.support.official_networks import check
from tests.support.synthetic import CLICK, POINTS, draw_picture, fill_state

SEED = st.integers(0, 2**32 - 1)
SMALL = (32, 48)  # an image on which pixels diffuse in no time
FEW = encode_points([Click(9, 12, True), Click(20, 40, False)])


def ready(network: nn.Module) -> Any:
    """Fill a network with synthetic weights, except for constant kernels, and freeze its norms."""
    state = network.state_dict()
    kept = {key: value for key, value in state.items() if key.startswith("PDM.")}
    network.load_state_dict({**fill_state(state), **kept})
    return network.eval()


def cdnet() -> CDNet:
    return CDNet(deeplab(34, 128))


def tiny() -> CDNet:
    """Return CDNet on a trunk that takes no time."""
    return CDNet(DeepLab(ResNet(BasicBlock, (1, 1, 1, 1)), 8))


def find_golden(name: str) -> dict[str, Any]:
    """Return the one golden entry whose name begins so."""
    (found,) = (value for key, value in read_golden("clickseg").items() if key.startswith(name))
    entry: dict[str, Any] = found
    return entry


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_keys_are_those_of_the_official_checkpoint() -> None:
    with torch.device("meta"):
        state = cdnet().state_dict()
    lines = "".join(
        f"{key} {list(value.shape)} {str(value.dtype).removeprefix('torch.')}\n"
        for key, value in sorted(state.items())
    )
    entry = read_golden("manifests")["cdnet_r34_dh128"]
    assert len(state) == entry["keys"]
    assert sha256(lines.encode()).hexdigest() == entry["sha256"]


def test_cdnet_answers_as_the_official_one_before_its_pixels_diffuse() -> None:
    network, entry = ready(cdnet()), find_golden("cdnet_r34")
    assert count(network) == entry["params"]
    with torch.inference_mode():
        outputs = network.forward_with_aux(draw_picture(3, 64, 96), POINTS)
    check(outputs.main, entry["instances"])
    check(outputs.gate, entry["fdm_instances"])
    check(outputs.latents, entry["latent_instances"])


def test_the_answer_alone_is_the_answer_with_all_others_and_ignores_a_fourth_channel() -> None:
    network, inputs = ready(tiny()), draw_picture(4, 64, 96)
    with torch.inference_mode():
        main = network.forward_with_aux(inputs, POINTS).main
        assert torch.equal(network(inputs[:, :3], POINTS)[0], main)


def test_feature_diffusion_is_that_of_the_released_module() -> None:
    entry = find_golden("FDM_v3")
    clicked = torch.zeros(1, 2, 6, 7)
    clicked[0, 0, 1, 2], clicked[0, 1, 4, 5] = 1, 0.5
    with torch.inference_mode():
        features, gate = ready(Fdm(8))(draw_picture(8, 6, 7) * 2 - 1, clicked)
    check(features, entry["out"])
    check(gate, entry["gate_pos"])


def test_pixel_diffusion_is_that_of_the_released_module() -> None:
    drawn = torch.zeros(1, 2, 24, 30)
    drawn[0, 0, 4:7, 5:8], drawn[0, 1, 15:18, 20:24] = 1, 1
    refined = Pdm()(draw_picture(3, 24, 30), draw_picture(1, 24, 30, 5) * 6 - 3, drawn)
    check(refined, find_golden("PDM"))


def dense(query: Tensor, key: Tensor, value: Tensor, weights: Tensor) -> Tensor:
    """Return what `attended` does, from the whole matrix of cells by cells, sign by sign."""
    energy = torch.einsum("bdi,bdj->bij", query.flatten(2), key.flatten(2))
    signs = []
    for weight in weights.flatten(2).unbind(dim=1):
        shares = (energy * weight[:, None]).softmax(dim=2)
        signs.append(torch.einsum("bij,bdj->bdi", shares, value.flatten(2)))
    return torch.stack(signs, dim=1).reshape(*weights.shape[:2], *query.shape[1:])


@settings(max_examples=20)
@given(SEED, st.tuples(*[st.integers(1, 9)] * 2), st.sampled_from([1, 4, 8]), st.integers(1, 3))
def test_attention_is_the_dense_one_and_so_are_its_gradients(
    seed: int, size: tuple[int, int], channels: int, batch: int
) -> None:
    rng = torch.Generator().manual_seed(seed)
    shapes = [(batch, channels, *size)] * 3
    parts = [torch.randn(shape, generator=rng, requires_grad=True) for shape in shapes]
    weights = torch.randint(0, 3, (batch, 2, *size), generator=rng) / 2
    pull = torch.randn(batch, 2, channels, *size, generator=rng)
    answers, slopes = [], []
    for attention in (attend, dense):
        answers.append(attention(*parts, weights))
        slopes.append(torch.autograd.grad((answers[-1] * pull).sum(), parts))
    torch.testing.assert_close(*answers, rtol=1e-4, atol=1e-5)
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("learning", [True, False])
def test_no_matrix_of_cells_by_cells_is_made(gated: bool, learning: bool) -> None:
    x, clicked = draw_picture(32, 20, 30), draw_disks(POINTS, (20, 30), 5)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION), torch.set_grad_enabled(learning):
        features = Fdm(32, gated=gated)(x, clicked).features  # raises where no such kernel takes it
        assert features.requires_grad is learning
        if learning:
            features.sum().backward()


def test_without_clicks_and_gate_every_cell_receives_the_same() -> None:
    fdm, x = ready(Fdm(8, 4, gated=False)), draw_picture(8, 6, 7)
    with torch.inference_mode():
        features, gate = fdm(x, torch.zeros(1, 2, 6, 7))
        mean = fdm.g(x).mean(dim=(2, 3), keepdim=True)
        shift = fdm.bn(fdm.z(mean)) + fdm.bn2(fdm.z2(mean))
    assert gate is None
    assert torch.allclose(features, x + shift, atol=1e-5)


@settings(max_examples=20)
@given(SEED, st.lists(CLICK, max_size=6))
def test_diffusion_does_not_care_where_cells_lie(seed: int, clicks: list[Click]) -> None:
    fdm, rng = ready(Fdm(8, 4, gated=False)), torch.Generator().manual_seed(seed)
    x, order = torch.randn(1, 8, 5, 6, generator=rng), torch.randperm(30, generator=rng)
    clicked = click_proximity(encode_points(clicks), (20, 30), (5, 6))

    def moved(y: Tensor) -> Tensor:
        return y.flatten(2)[..., order].reshape(y.shape)

    with torch.inference_mode():
        before, after = fdm(x, clicked).features, fdm(moved(x), moved(clicked)).features
    torch.testing.assert_close(moved(before), after, rtol=1e-4, atol=1e-4)


def test_only_a_loss_of_its_own_trains_the_gate() -> None:
    fdm, x = Fdm(8), draw_picture(8, 6, 7)
    gate = dict(fdm.gate_head_pos.named_parameters())  # type: ignore[union-attr]
    clicked = torch.zeros(1, 2, 6, 7)
    fdm(x, clicked).features.square().sum().backward()
    assert all(parameter.grad is None for parameter in gate.values())
    fdm(x, clicked).gate.sum().backward()
    assert all(parameter.grad is not None for parameter in gate.values())


def test_features_diffuse_in_half_the_precision_too() -> None:
    fdm, x, clicked = ready(Fdm(8)), draw_picture(8, 6, 7), torch.eye(6, 7).expand(1, 2, -1, -1)
    with torch.inference_mode():
        full = fdm(x, clicked).features
        with torch.autocast("cpu", torch.bfloat16):
            half = fdm(x.bfloat16(), clicked).features
    torch.testing.assert_close(half.float(), full, rtol=0.05, atol=0.1)


def test_attention_wider_than_its_map_is_an_error() -> None:
    with pytest.raises(ValueError, match="inner is 64; wanted at most the 32 channels"):
        Fdm(32, 64)


MAP = (16, 64)
SPOT = st.builds(Click, st.integers(0, 15), st.integers(0, 63), st.booleans())


def spread(clicks: list[Click], logits: Tensor) -> Tensor:
    return Pdm()(draw_picture(3, *MAP), logits, draw_disks(encode_points(clicks), MAP, 5))  # type: ignore[no-any-return]


@settings(max_examples=10)
@given(SEED, st.lists(SPOT, max_size=5))
def test_object_and_background_diffuse_alike(seed: int, clicks: list[Click]) -> None:
    logits = 2 * torch.randn(1, 1, *MAP, generator=torch.Generator().manual_seed(seed))
    turned = [Click(click.row, click.col, not click.positive) for click in clicks]
    torch.testing.assert_close(spread(turned, -logits), -spread(clicks, logits))


@settings(max_examples=10)
@given(SEED, st.lists(SPOT, max_size=4), SPOT)
def test_a_click_is_felt_no_further_than_five_steps_of_eight_pixels(
    seed: int, clicks: list[Click], click: Click
) -> None:
    logits = 2 * torch.randn(1, 1, *MAP, generator=torch.Generator().manual_seed(seed))
    rows, cols = torch.meshgrid(*map(torch.arange, MAP), indexing="ij")
    far = torch.maximum((rows - click.row).abs(), (cols - click.col).abs()) > 5 + 5 * 8
    before, after = spread(clicks, logits), spread([*clicks, click], logits)
    assert torch.equal(before[0, 0][far], after[0, 0][far])


def test_answers_diffuse_in_full_precision_whatever_the_network_runs_in() -> None:
    logits = (draw_picture(1, *MAP) * 8 - 4).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        lowered = spread([Click(5, 6, True)], logits)
    assert torch.equal(lowered, spread([Click(5, 6, True)], logits.float()))


def test_an_undecided_answer_without_clicks_stays_as_it_is() -> None:
    logits = draw_picture(1, *MAP) - 0.5  # 2p - 1 is within a quarter of 0
    assert torch.equal(spread([], logits), 2 * torch.sigmoid(logits) - 1)


def test_an_answer_that_is_sure_of_one_thing_stays_sure() -> None:
    refined = spread([], torch.full((1, 1, *MAP), 3.0))
    torch.testing.assert_close(refined, 2 * (2 * torch.sigmoid(torch.full_like(refined, 3)) - 1))


@pytest.mark.parametrize(
    "parts", [Parts(), Parts(low=True, high=True, inner=8), Parts(joined=True)]
)
def test_the_callers_tensors_are_never_written(parts: Parts) -> None:
    inputs, clicks = draw_picture(4, *SMALL), FEW.clone()
    network, pixels = ready(Baseline(Mini(16), parts)), ready(tiny())
    with torch.inference_mode():
        (logits,) = network(inputs, clicks)
        kept = logits.clone()
        pixels.forward_with_aux(inputs, clicks)
        Refinement(pixels.PDM)(inputs[:, :3], clicks, logits)
    assert torch.equal(inputs, draw_picture(4, *SMALL))
    assert torch.equal(clicks, FEW)
    assert torch.equal(logits, kept)


def test_refinement_diffuses_along_the_colours_with_disks_of_the_clicks() -> None:
    image, logits = draw_picture(3, 24, 30), draw_picture(1, 24, 30, 5) * 6 - 3
    clicks = encode_points([Click(5, 6, True), Click(16, 22, False)])
    (refined,) = Refinement(Pdm())(image, clicks, logits)
    assert torch.equal(refined, Pdm()(image, logits, draw_disks(clicks, (24, 30), 5)))


@pytest.mark.parametrize(
    ("parts", "parameters"),
    [
        (Parts(), 31_405_842),
        (Parts(joined=True), 31_396_604),
        (Parts(joined=True, low=True), 31_396_604 + 20_992),  # Table 4 prints 31.42 M
        (Parts(joined=True, low=True, high=True), 31_396_604 + 2 * 20_992),  # and 31.44 M
    ],
    ids=str,
)
def test_the_base_segmenter_has_the_parameters_of_table_4(parts: Parts, parameters: int) -> None:
    with torch.device("meta"):
        assert count(Baseline(deeplab(50, 128), parts, False)) == parameters


def test_the_released_diffusion_is_five_times_as_large_as_the_tables() -> None:
    with torch.device("meta"):
        assert count(Fdm(128)) == 100_353
        assert count(Fdm(128, 32, gated=False)) == 20_992


def products(parts: Parts) -> float:
    """Return the billions of multiplications of the base segmenter on an input of 320 x 480."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        network = Baseline(deeplab(50, 128), parts, False).eval()
        network(torch.empty(1, 3, 320, 480), torch.empty(1, 2, 3))
    return counter.get_total_flops() / 2e9


def test_diffusion_is_cheap_at_an_eighth_and_expensive_at_a_half() -> None:
    base, low, high = products(Parts()), products(Parts(low=True)), products(Parts(high=True))
    assert base == pytest.approx(81.470, abs=5e-4)
    assert low < 1.01 * base
    assert high > 3 * base


def test_the_base_segmenter_without_diffusion_is_ritms_network() -> None:
    base, ritm = ready(Baseline(Mini(16))), ready(Ritm(Mini(16)))
    with torch.inference_mode():
        inputs = draw_picture(4, 64, 96)
        assert torch.equal(base(inputs, POINTS)[0], ritm(inputs, POINTS)[0])


@pytest.mark.parametrize("high", [True, False])
def test_batching_never_changes_an_answer(high: bool) -> None:
    # in double precision: synthetic weights blow up what single precision rounds off
    network = ready(Baseline(Mini(16), Parts(low=True, high=high, inner=8))).double()
    inputs = torch.cat([draw_picture(4, *SMALL), draw_picture(4, *SMALL, 5)]).double()
    clicks = torch.cat([FEW, FEW.flip(1)]).double()
    with torch.inference_mode():
        (both,) = network(inputs, clicks)
        alone = [network(inputs[k : k + 1], clicks[k : k + 1])[0] for k in range(2)]
    torch.testing.assert_close(both, torch.cat(alone))


def test_all_of_the_base_segmenter_learns() -> None:
    network = Baseline(Mini(16), Parts(low=True, high=True, inner=8, joined=True))
    (logits,) = network(draw_picture(4, *SMALL).expand(2, -1, -1, -1), FEW.expand(2, -1, -1))
    logits.sum().backward()
    still = [key for key, parameter in network.named_parameters() if parameter.grad is None]
    assert still == []


@pytest.mark.parametrize("size", [0, 4097])
def test_a_size_without_sense_is_refused(size: int) -> None:
    options = {**cards.cdnet_r34.options, "size": size}
    with pytest.raises(IsbenchError, match=f"option size is {size}; wanted from 1 to 4096 pixels"):
        cards.cdnet_r34.build(**options, runtime=Runtime())
