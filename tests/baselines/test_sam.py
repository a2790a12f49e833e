"""SAM's networks equal the official ones, and all systems answer as transformers' models do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

pytest.importorskip("transformers")

from baselines.sam.image_step import Frame, draw_frame, enlarge, fit_frame
from baselines.sam.keys import POSITIONS, POSITIONS_AGAIN, SAM
from baselines.sam.network import (
    configure_hq_sam,
    configure_sam,
    encode_prompts,
    make_sam,
)
from baselines.sam.network2 import configure_sam2, make_sam2
from baselines.sam.predictor import build_hq_sam, build_sam, build_sam2
from baselines.sam.sizes import TINY, VIT_B, Hiera, Vit
from isbench.models.registry import load_card
from isbench.testing import check_predictor
from isbench.types import Click, Turn
from tests.support import sam
from tests.support.official_games import draw_gradient, read_golden
from tests.support.official_networks import check
from tests.support.synthetic import draw_picture

CLICKS = (Click(30, 40, True), Click(10, 70, False), Click(45, 50, True))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def decoders() -> dict[str, Any]:
    return sam.make_networks("sam")


# the points and the mask that the golden values are about
POINTS, LABELS = torch.tensor([[[300.0, 200], [700, 500]]]), torch.tensor([[1.0, 0]])
YES, NO = torch.ones(1, 1), torch.zeros(1, 1)


def make_prompts() -> tuple[Tensor, Tensor, Tensor]:
    return POINTS, LABELS, draw_picture(1, 256, 256, 3) * 8 - 4


def test_prompts_are_encoded_as_the_official_sam_does(decoders: dict[str, Any]) -> None:
    wanted = read_golden("networks/sam_vit_b")
    sparse, dense = encode_prompts(decoders["decoder"].prompt_encoder, *make_prompts(), YES)
    check(sparse[:, 0], wanted["sparse"])
    check(dense, wanted["dense"])


def test_masks_are_decoded_as_the_official_sam_does(decoders: dict[str, Any]) -> None:
    wanted, embedding = read_golden("networks/sam_vit_b"), draw_picture(256, 64, 64) * 2 - 1
    several = wanted["decoder multimask, embedding=img(256,64,64)*2-1, with mask prompt"]
    masks, scores = decoders["decoder"](embedding, *make_prompts(), YES)
    check(masks, several["low_res"])
    check(scores, several["iou"])
    single = wanted["decoder single, no mask prompt"]
    masks, scores = decoders["single_decoder"](embedding, *make_prompts(), NO)
    check(masks, single["low_res"])
    assert scores.tolist() == [pytest.approx(single["iou"]["values"][:1], abs=1e-5)]


@pytest.mark.slow
def test_images_are_encoded_as_the_official_sam_does() -> None:
    networks = make_sam(VIT_B, "never")
    sam.fill(networks, SAM)
    mean, deviation = (torch.tensor(x).reshape(3, 1, 1) for x in MEAN_AND_DEVIATION)
    frame = (draw_picture(3, 1024, 1024) * 255 - mean) / deviation
    (embedding,) = networks["encoder"](frame)
    check(
        embedding,
        read_golden("networks/sam_vit_b")["vit_b encoder on normalised img(3,1024,1024)*255"],
    )


MEAN_AND_DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def make_reference(kind: str, size: Vit | Hiera, networks: dict[str, Any]) -> Any:
    """Return transformers' model with the weights of our networks, all of them and no others."""
    import transformers

    classes: dict[str, tuple[Any, Callable[[Any], Any]]] = {
        "sam": (transformers.SamModel, configure_sam),
        "hq_sam": (transformers.SamHQModel, configure_hq_sam),
        "sam2": (transformers.Sam2Model, configure_sam2),
    }
    model_class, configure = classes[kind]
    model, state = model_class(configure(size)).eval(), sam.list_tensors(networks)
    model.load_state_dict({**state, POSITIONS_AGAIN: state[POSITIONS]}, strict=True)
    return model


def answer_with_transformers(
    model: Any, image: dict[str, Any], prompts: dict[str, Any], frame: Frame
) -> tuple[Tensor, Tensor]:
    """Return the (1, 1, 256, 256) and the (H, W) logits of the best mask."""
    found = model(**image, **prompts)
    low = found.pred_masks[0, 0, int(found.iou_scores[0, 0].argmax())][None, None]
    return low, enlarge(low, frame)[0, 0]


def encode_with_transformers(kind: str, model: Any, pixels: Tensor) -> dict[str, Any]:
    """Return an encoded image as transformers' models take it."""
    encoded = model.get_image_embeddings(pixels)
    if kind != "hq_sam":
        return {"image_embeddings": encoded}
    return {"image_embeddings": encoded[0], "intermediate_embeddings": encoded[1]}


def compare_games(
    kind: str, size: Vit | Hiera, networks: dict[str, Any], encode: bool, **options: Any
) -> None:
    """Play a game in both ways and compare masks and logits after each click.

    With `encode` transformers' model encodes the image again at every click.
    """
    predictor = sam.make_predictor(networks, kind, **options)
    model = make_reference(kind, size, networks)
    image = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)
    frame = fit_frame((60, 90), kind == "sam2")
    pixels = draw_frame(image, frame, "rclicks")
    seen = {"pixel_values": pixels} if encode else encode_with_transformers(kind, model, pixels)
    state, fed = predictor.start(predictor.begin(image), None), None
    for k in range(1, 4):
        positive = sum(click.positive for click in CLICKS[:k])
        rows, cols = frame.inside
        points = [[float(c.col * cols / 90), float(c.row * rows / 60)] for c in CLICKS[:k]]
        prompts = {
            "input_points": torch.tensor([[points]]),
            "input_labels": torch.tensor([[[int(click.positive) for click in CLICKS[:k]]]]),
            "input_masks": fed if max(positive, k - positive) > 1 else None,
            "multimask_output": predictor.options["multimask"] == "always",
        }
        low, logits = answer_with_transformers(model, seen, prompts, frame)
        ((mask, state),) = predictor.predict([Turn(state, CLICKS[:k])])
        fed = low.clamp(-32, 32) if kind == "sam2" else low
        assert float((state.answer - fed).abs().max()) <= 1e-4 * float(fed.abs().max())
        sure = logits.abs() > 1e-3 * float(logits.abs().max())
        assert np.array_equal(mask[sure.numpy()], (logits > 0)[sure].numpy())


@pytest.mark.parametrize(
    ("kind", "policy"),
    [
        ("sam", "always"),
        ("hq_sam", "always"),
        ("sam2", "never"),
        pytest.param("sam", "never", marks=pytest.mark.slow),
        pytest.param("hq_sam", "never", marks=pytest.mark.slow),
        pytest.param("sam2", "always", marks=pytest.mark.slow),
    ],
)
def test_games_are_those_of_transformers_own_models(kind: str, policy: str) -> None:
    size = sam.HIERA if kind == "sam2" else sam.VIT
    networks = sam.make_networks(kind, policy)
    compare_games(kind, size, networks, encode=False, multimask=policy)


@pytest.mark.slow
def test_the_game_of_sam_b_is_that_of_transformers_own_loop() -> None:
    networks = make_sam(VIT_B, "always")
    sam.fill(networks, SAM)
    compare_games("sam", VIT_B, networks, encode=True)


@pytest.mark.slow
def test_the_game_of_sam_2_tiny_is_that_of_transformers_own_loop() -> None:
    networks = make_sam2(TINY, "never")
    sam.fill(networks, sam.LAYOUTS["sam2"])
    compare_games("sam2", TINY, networks, encode=True)


@pytest.mark.slow
def test_hq_sam_alone_is_the_mask_of_its_token() -> None:
    both, alone = (sam.make_networks("hq_sam", "always", hq_only=only) for only in (False, True))
    inputs = both["decoder"].example_inputs((64, 64), 4)
    (sum_of_both, score), (hq, score_alone) = both["decoder"](*inputs), alone["decoder"](*inputs)
    model = make_reference("hq_sam", sam.VIT, both)
    found = model(
        image_embeddings=inputs[0],
        intermediate_embeddings=[inputs[1]],
        input_points=inputs[2][:, None],
        input_labels=inputs[3][:, None],
        input_masks=inputs[4],
        hq_token_only=True,
    )
    assert torch.allclose(hq, found.pred_masks[:, 0], atol=1e-5)
    assert not torch.allclose(hq, sum_of_both, atol=1e-2)
    assert torch.equal(score, score_alone)
    assert hq.shape == sum_of_both.shape == (1, 1, 256, 256)


@pytest.mark.parametrize(
    "kind", ["sam", *(pytest.param(k, marks=pytest.mark.slow) for k in ("hq_sam", "sam2"))]
)
def test_stacked_passes_answer_as_single_ones(kind: str) -> None:
    decoder = sam.make_networks(kind)["decoder"]
    first = decoder.example_inputs((64, 64), 4)
    second = [x.flip(-1) for x in first]
    stacked = decoder(*(torch.cat(pair) for pair in zip(first, second, strict=True)))
    for k, inputs in enumerate((first, second)):
        for found, alone in zip(stacked, decoder(*inputs), strict=True):
            assert torch.allclose(found[k : k + 1], alone, atol=1e-4)


@pytest.mark.slow
def test_the_decoders_and_a_small_encoder_run_on_openvino(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    from isbench.nn.runtime.backends import accelerate
    from isbench.types import Runtime

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for kind in sam.MAKERS:
        for network in sam.make_networks(kind).values():
            accelerated = accelerate(network, Runtime(backend="openvino"))
            inputs = network.example_inputs((64, 64), 6)  # type: ignore[operator]
            for found, wanted in zip(accelerated(*inputs), network(*inputs), strict=True):
                assert torch.allclose(found, wanted, atol=1e-4 * max(1, float(wanted.abs().max())))


def test_an_encoding_from_the_cache_lies_in_memory_as_a_computed_one() -> None:
    def encode(frame: Tensor) -> tuple[Tensor]:
        (embedding,) = sam.encode_colours(frame)
        return (embedding.contiguous(memory_format=torch.channels_last),)  # as networks return it

    predictor, image = sam.make_predictor({"encoder": encode}), draw_gradient()
    encoded = predictor.begin(image)
    arrays = {name: shift(array) for name, array in predictor.pack(encoded).items()}
    for computed, read in zip(encoded.maps, predictor.unpack(arrays, image).maps, strict=True):
        assert torch.equal(computed, read)
        assert computed.stride() == read.stride()  # sums are rounded by the order of numbers,
        assert computed.data_ptr() % 64 == read.data_ptr() % 64 == 0  # and by their alignment


def shift(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the array in the order of its indices, at an address that is no multiple of 64."""
    place = np.empty(array.size + 16, array.dtype)
    start = next(k for k in range(16) if place[k:].ctypes.data % 64)
    shifted = place[start : start + array.size].reshape(array.shape)
    shifted[...] = array
    return shifted


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("sam-vit-b", partial(build_sam, sam.VIT)),
        ("sam-hq-vit-b", partial(build_hq_sam, sam.VIT)),
        ("sam2.1-hiera-tiny", partial(build_sam2, sam.HIERA)),
    ],
)
def test_small_models_keep_the_contract(name: str, build: Any) -> None:
    kinds = {"sam-vit-b": "sam", "sam-hq-vit-b": "hq_sam", "sam2.1-hiera-tiny": "sam2"}
    card = load_card(name)
    check_predictor(replace(card, build=build, networks=sam.MAKERS[kinds[name]]))
