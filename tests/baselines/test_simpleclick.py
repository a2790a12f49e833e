"""SimpleClick equal to the official network; laws of its windows, positions and files."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.simpleclick import network as vit
from baselines.simpleclick.cards import vit_b
from baselines.simpleclick.network import Block, SimpleClick
from baselines.simpleclick.predictor import build_predictor, make_networks
from baselines.simpleclick.sizes import VIT_B, VIT_H, VIT_L, Sizes
from isbench.errors import IsbenchError, Unfit
from isbench.nn.runtime import openvino
from isbench.nn.runtime.backends import TOLERANCE, accelerate
from isbench.nn.runtime.cost import count_cost
from isbench.types import Runtime
from tests.support.networks import eager
from tests.support.official_networks import check, fill_network
from tests.support.synthetic import POINTS, draw_picture

Isbench = Callable[..., tuple[int, str, str]]
GOLDEN = Path(__file__).parents[1] / "golden"
SIZES = {"base": VIT_B, "large": VIT_L, "huge": VIT_H}
TINY = Sizes(16, 2, 2, 16, (8, 8, 8, 8), 2, 16)
tiny = replace(
    vit_b,
    name="simpleclick-tiny",
    build=partial(build_predictor, TINY),
    networks=partial(make_networks, TINY),
    place="",
)


def make_tiny() -> SimpleClick:
    network = fill_network(SimpleClick(TINY))
    assert isinstance(network, SimpleClick)
    return network


def golden(folder: str) -> Any:
    return json.loads((GOLDEN / folder / "simpleclick.json").read_text())


# The network


@pytest.mark.parametrize("name", SIZES)
def test_keys_and_shapes_are_those_of_the_official_checkpoint(name: str) -> None:
    with torch.device("meta"):
        state = SimpleClick(SIZES[name]).state_dict()
    lines = [
        f"{key} {list(value.shape)} {str(value.dtype).removeprefix('torch.')}\n"
        for key, value in sorted(state.items())
    ]
    wanted = golden("manifests")[f"simpleclick_vit_{name}448"]
    assert len(lines) == wanted["keys"]
    assert sha256("".join(lines).encode()).hexdigest() == wanted["sha256"]


@pytest.mark.parametrize(
    ("name", "parameters", "gmac"),
    [
        ("base", 98_025_513, 80.76),
        ("large", 324_206_377, 262.81),
        ("huge", 662_184_793, 699.96),
    ],
)
def test_the_network_costs_what_the_official_one_does(
    name: str, parameters: int, gmac: float
) -> None:
    found = count_cost(partial(make_networks, SIZES[name]), (448, 448)).whole
    assert found.parameters == parameters
    assert found.macs / 1e9 == pytest.approx(gmac, abs=5e-3)


@pytest.mark.slow
def test_vit_b_answers_as_the_official_one() -> None:
    network, found = fill_network(SimpleClick(VIT_B)), dict[str, Tensor]()
    assert isinstance(network, SimpleClick)

    def keep_tokens(module: nn.Module, inputs: Any, output: Tensor) -> None:
        found["tokens_as_map"] = output

    def keep_maps(module: nn.Module, inputs: Any, output: tuple[Tensor, ...]) -> None:
        found.update({f"neck_{k}": x for k, x in enumerate(output)})

    network.backbone.register_forward_hook(keep_tokens)
    network.neck.register_forward_hook(keep_maps)
    with torch.inference_mode():
        (found["instances"],) = network(draw_picture(4, 448, 448), POINTS)
    wanted = golden("networks")["simpleclick_vit_base448"]
    assert sum(parameter.numel() for parameter in network.parameters()) == wanted["params"]
    assert found.keys() <= wanted.keys()
    for name, x in found.items():
        check(x, wanted[name])


def test_what_the_original_does_not_compute_has_no_effect() -> None:
    network, inputs = make_tiny(), (draw_picture(4, 224, 224), POINTS)
    unused = ("cls_token", "fc_norm", "backbone.head", "up_conv")
    with torch.inference_mode():
        before = network(*inputs)[0]
        for key, value in network.named_parameters():
            if any(name in key for name in unused):
                value.fill_(torch.nan)
        network.backbone.pos_embed[:, 0] = torch.nan
        assert torch.equal(network(*inputs)[0], before)


@settings(max_examples=20)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 5), st.integers(1, 2))
def test_windows_are_squares_of_the_map_and_are_joined_where_they_were(
    down: int, across: int, window: int, batch: int
) -> None:
    x = torch.arange(batch * down * across * window**2 * 2.0).reshape(
        batch, down * window, across * window, 2
    )
    windows = vit.split_windows(x, window)
    squares = [
        x[b, r * window : (r + 1) * window, c * window : (c + 1) * window].flatten(0, 1)
        for b in range(batch)
        for r in range(down)
        for c in range(across)
    ]
    assert torch.equal(windows, torch.stack(squares))
    assert torch.equal(vit.join_windows(windows, window, *x.shape[1:3]), x)


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (2, 2), (2, 3)])
def test_a_windowed_block_is_a_global_one_in_each_window(rows: int, cols: int) -> None:
    windowed, everywhere = Block(TINY, 14), Block(TINY, None)
    everywhere.load_state_dict(windowed.state_dict())
    x = torch.randn(2, 14 * rows, 14 * cols, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = windowed(x)
        for window in (
            np.s_[:, 14 * r : 14 * r + 14, 14 * c : 14 * c + 14]
            for r in range(rows)
            for c in range(cols)
        ):
            assert torch.allclose(found[window], everywhere(x[window]), atol=1e-5)
        alike = torch.allclose(found, everywhere(x), atol=1e-3)
    assert alike == (rows * cols == 1)


@pytest.mark.parametrize(
    ("sizes", "everywhere", "window"),
    [(VIT_B, (6, 12), 14), (VIT_L, (6, 12, 18, 24), 14), (VIT_H, (8, 16, 24, 32), 16)],
    ids=SIZES,
)
def test_the_blocks_that_attend_to_all_tokens_are_the_papers(
    sizes: Sizes, everywhere: tuple[int, ...], window: int
) -> None:
    with torch.device("meta"):
        windows = [block.window for block in SimpleClick(sizes).backbone.blocks]
    assert windows == [None if k in everywhere else window for k in range(1, sizes.depth + 1)]


@pytest.mark.parametrize("side", [14, 28, 42])
def test_positions_are_resized_bicubically_and_stay_as_they_are(side: int) -> None:
    backbone = make_tiny().backbone
    kept = backbone.pos_embed.clone()
    grid = kept[:, 1:].reshape(1, 28, 28, 16).permute(0, 3, 1, 2)
    wanted = F.interpolate(grid, (side, side), mode="bicubic", align_corners=False)
    assert torch.equal(backbone.resize_positions(side, side), wanted.permute(0, 2, 3, 1))
    assert torch.equal(backbone.pos_embed, kept)
    if side == 28:
        assert torch.equal(wanted, grid)


@pytest.mark.parametrize("size", [(448, 400), (100, 224), (225, 224)])
def test_a_size_that_windows_do_not_tile_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(IsbenchError, match=rf"{size[0]}x{size[1]} pixels; wanted multiples of 224"):
        make_tiny()(draw_picture(4, *size), POINTS)


@pytest.mark.skipif(not openvino.is_installed(), reason="openvino is not installed")
@pytest.mark.slow
def test_openvino_answers_as_pytorch_does_at_every_size() -> None:
    network = make_tiny().requires_grad_(False)
    fast = accelerate(network, Runtime(backend="openvino"))
    for size in ((224, 224), (448, 448), (672, 672), (224, 448)):
        inputs = [torch.cat([x, x]) for x in network.example_inputs(size, 6)]
        with torch.inference_mode():
            (wanted,), (found,) = network(*inputs), fast(*inputs)
        assert (found - wanted).abs().max().item() <= TOLERANCE * max(1, wanted.abs().max().item())


def test_a_network_of_more_than_a_gibibyte_is_refused_by_openvino() -> None:
    with torch.device("meta"):
        network = SimpleClick(VIT_L)
    with pytest.raises(Unfit, match=r"take 1\.2 GiB and OpenVINO would need five times as much"):
        openvino.CompiledNetwork(network, Runtime(backend="openvino"))


# The files


def save_official(path: Path, **settings: Any) -> None:
    """Save tiny weights in the container of the official files."""
    params = {
        "backbone_params": {"embed_dim": 16, "img_size": (448, 448)},
        "head_params": {"upsample": "x1"},
        **settings,
    }
    config = {
        "class": "isegm.model.is_plainvit_model.PlainVitModel",
        "params": {
            name: {"type": "builtin", "value": value, "specified": True}
            for name, value in params.items()
        },
    }
    state = OrderedDict(make_tiny().state_dict())
    torch.save({"state_dict": state, "config": config}, path)


def test_an_official_file_loads_unmodified(tmp_path: Path) -> None:
    save_official(tmp_path / "tiny.pth", with_prev_mask=True, use_disks=True, norm_radius=5)
    model = eager(tiny, str(tmp_path / "tiny.pth"))
    predictor = tiny.build(**model.options, runtime=model.runtime)
    (network,) = predictor.answer.args  # type: ignore[attr-defined]
    inputs = draw_picture(4, 224, 224), POINTS
    with torch.inference_mode():
        assert torch.allclose(network(*inputs)[0], make_tiny()(*inputs)[0], atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"with_prev_mask": False}, "a network with with_prev_mask=False; wanted with_prev_mask"),
        ({"use_disks": False}, "a network with use_disks=False; wanted use_disks=True"),
    ],
)
def test_a_file_of_other_settings_is_refused(
    settings: dict[str, Any], said: str, tmp_path: Path
) -> None:
    save_official(tmp_path / "tiny.pth", **settings)
    model = eager(tiny, str(tmp_path / "tiny.pth"))
    with pytest.raises(IsbenchError, match=said):
        tiny.build(**model.options, runtime=model.runtime)


def test_a_file_of_another_size_is_refused_with_its_keys(tmp_path: Path) -> None:
    save_official(tmp_path / "tiny.pth")
    deeper = replace(TINY, depth=3)
    runtime = Runtime(weights=(tmp_path / "tiny.pth",))
    with pytest.raises(IsbenchError, match=r"another network: missing keys: backbone\.blocks\.2\."):
        build_predictor(deeper, runtime=runtime, **tiny.options)
