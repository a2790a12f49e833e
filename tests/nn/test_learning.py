"""Networks can learn: gradients reach every part, and one image is learned by heart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from isbench.nn.clickmaps import encode_points
from isbench.types import Click
from tests.support.networks import network

CLICKS = [Click(20, 24, True), Click(4, 40, False), Click(30, 20, True)]
# their weights are in official files and decide nothing: see isbench.nn.ocr
IDLE = ("f_pixel", "f_object")


def scene() -> tuple[Tensor, Tensor, Tensor]:
    """Return inputs (1, 4, 48, 64), points, and the truth: a disk on noise."""
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.random((1, 4, 48, 64), dtype=np.float32))
    image[:, 3] = 0
    row, col = np.ogrid[:48, :64]
    truth = torch.from_numpy((row - 24) ** 2 + (col - 26) ** 2 < 13**2)[None, None].float()
    return image, encode_points(CLICKS), truth


@pytest.mark.parametrize(
    "name",
    [
        "csfpn-mini",
        "csfpn-hrnet18",
        "ritm-mini",
        "ritm-hrnet18s",
        "csfpn-r50",
    ],
)
def test_gradients_reach_every_parameter(name: str) -> None:
    made = network(name).train()
    for key, parameter in made.named_parameters():
        if key.endswith("gamma"):  # it starts at 0, and what it scales learns once it has moved
            nn.init.constant_(parameter, 0.1)
    inputs, clicks, truth = scene()
    inputs, clicks = torch.cat([inputs, inputs.flip(2)]), torch.cat([clicks, clicks])
    main, aux = made.forward_with_aux(inputs, clicks)  # type: ignore[operator]
    loss = nn.functional.binary_cross_entropy_with_logits(main, torch.cat([truth, truth.flip(2)]))
    if aux is not None:
        loss = loss + aux.mean()
    loss.backward()
    still = [
        key
        for key, parameter in made.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert [key for key in still if not any(idle in key for idle in IDLE)] == []


@pytest.mark.slow
@pytest.mark.parametrize("graphs", ["on", "off"])
def test_csfpn_learns_an_image_with_three_clicks_by_heart(graphs: str) -> None:
    made = network("csfpn-mini", sgm=graphs, hsgm=graphs).train()
    inputs, clicks, truth = scene()
    inputs, clicks, truth = (torch.cat([x, x]) for x in (inputs, clicks, truth))
    optimiser = torch.optim.Adam(made.parameters(), 2e-3)
    iou = 0.0
    for step in range(300):
        logits = made.forward_with_aux(inputs, clicks).main  # type: ignore[operator]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        answered = logits[0] > 0
        iou = float((answered * truth[0]).sum() / torch.maximum(answered, truth[0]).sum())
        if step > 20 and iou > 0.97:
            break
    assert iou > 0.97
    if graphs == "on":
        gammas = [value for key, value in made.named_parameters() if key.endswith("gamma")]
        assert all(value.abs() > 0 for value in gammas)  # the graphs took part
