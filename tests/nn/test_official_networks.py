"""Networks equal to the official ones under synthetic weights."""

from __future__ import annotations

from hashlib import sha256

import pytest
import torch

from csfpn.network import Csfpn
from csfpn.propagation import Hsgm, Sgm, find_clicked_cells
from isbench.nn.clickmaps import encode_points
from tests.support.official_games import read_golden
from tests.support.official_networks import BLOWN_UP, NETWORKS, ROUNDING, check, fill_network
from tests.support.synthetic import POINTS, draw_picture

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", NETWORKS)
def test_keys_and_shapes_are_those_of_the_official_checkpoint(name: str) -> None:
    with torch.device("meta"):
        state = NETWORKS[name]().state_dict()
    lines = [
        f"{key} {list(value.shape)} {str(value.dtype).removeprefix('torch.')}\n"
        for key, value in sorted(state.items())
    ]
    wanted = read_golden("manifests")[name]
    assert len(lines) == wanted["keys"]
    assert sha256("".join(lines).encode()).hexdigest() == wanted["sha256"]


@pytest.mark.parametrize("name", [name for name in NETWORKS if name.startswith("ritm")])
def test_ritm_networks_answer_as_the_official_ones(name: str) -> None:
    wanted = read_golden("ritm")[name]
    network = fill_network(NETWORKS[name]())
    assert sum(parameter.numel() for parameter in network.parameters()) == wanted["params"]
    tolerance = BLOWN_UP.get(name, ROUNDING)
    with torch.inference_mode():
        main, aux = network.forward_with_aux(draw_picture(wanted["in_ch"], 64, 96), POINTS)  # type: ignore[operator]
    check(main, wanted["instances"], tolerance)
    assert (aux is not None) == ("hrnet" in name)
    if aux is not None:
        check(aux, wanted["instances_aux"], tolerance)


def test_sgm_alone_answers_as_the_released_one() -> None:
    (name,) = [name for name in read_golden("csfpn") if name.startswith("SGM")]
    at = find_clicked_cells(POINTS, (16, 24), 4, released=True)
    with torch.inference_mode():
        check(fill_network(Sgm(12, 3, 3))(draw_picture(12, 16, 24), at), read_golden("csfpn")[name])


def test_hsgm_alone_answers_as_the_released_one() -> None:
    (name,) = [name for name in read_golden("csfpn") if name.startswith("HSGM")]
    at = find_clicked_cells(POINTS, (32, 48), 2, released=True)
    with torch.inference_mode():
        answer = fill_network(Hsgm(12, 6, 3))(
            draw_picture(12, 16, 24), draw_picture(6, 32, 48, 7), at
        )
    check(answer, read_golden("csfpn")[name])


def test_csfpn_as_a_whole_answers_as_the_released_one() -> None:
    network = fill_network(NETWORKS["csfpn_hrnet18_ocr64"]())
    left = POINTS.clone()
    left[0, 1, 1] = -6
    cases = {
        "full": POINTS,
        "full_no_valid_clicks": encode_points([]),
        "full_click_left_of_crop(50,-6)": left,
    }
    assert isinstance(network, Csfpn)
    for name, clicks in cases.items():
        with torch.inference_mode():
            main, aux = network.forward_with_aux(draw_picture(4, 64, 96), clicks)
        assert aux is not None
        wanted = read_golden("csfpn")[name]
        check(main, wanted["instances"], BLOWN_UP["csfpn_hrnet18_ocr64"])
        check(aux, wanted["instances_aux"], BLOWN_UP["csfpn_hrnet18_ocr64"])
