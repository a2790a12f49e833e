"""Weight files of SAM, HQ-SAM and SAM 2.1, official ones and those of transformers, load as is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

pytest.importorskip("transformers")

from baselines.sam.keys import HQ_SAM, POSITIONS, POSITIONS_AGAIN, SAM, SAM2, name_officially
from baselines.sam.network import make_hq_sam, make_sam
from baselines.sam.network2 import make_sam2
from baselines.sam.sizes import TINY, VIT_B, VIT_H, VIT_L
from isbench.errors import IsbenchError
from isbench.models.registry import load_card, parse_options
from isbench.nn.runtime.checkpoint import load_checkpoint
from isbench.nn.runtime.cost import count_cost
from tests.support import sam
from tests.support.official_games import read_golden


@pytest.mark.parametrize("letter", "blh")
def test_keys_and_shapes_are_those_of_the_official_sam(letter: str) -> None:
    with torch.device("meta"):
        networks = make_sam({"b": VIT_B, "l": VIT_L, "h": VIT_H}[letter], "first")
    official = sam.list_official(networks, SAM)
    lines = [f"{key} {list(x.shape)} float32\n" for key, x in sorted(official.items())]
    wanted = read_golden("manifests/sam")[f"sam_vit_{letter}"]
    assert len(lines) == wanted["keys"]
    assert sha256("".join(lines).encode()).hexdigest() == wanted["sha256"]
    assert len(official) == len(sam.list_tensors(networks))  # none is lost or named twice


@pytest.mark.parametrize(
    ("name", "parameters", "gmac"),
    [  # of the official networks; decoders are counted with more clicks here
        ("sam-vit-b", 93_735_472, 486.0),
        pytest.param("sam-vit-l", 312_342_832, 1492.8, marks=pytest.mark.slow),
        pytest.param("sam-vit-h", 641_090_608, 2980.5, marks=pytest.mark.slow),
        ("sam-hq-vit-b", 93_735_472 + 1_071_104, None),
        pytest.param("sam-hq-vit-l", 312_342_832 + 1_333_248, None, marks=pytest.mark.slow),
        pytest.param("sam-hq-vit-h", 641_090_608 + 1_595_392, None, marks=pytest.mark.slow),
    ],
)
def test_networks_cost_what_the_official_ones_do(
    name: str, parameters: int, gmac: float | None
) -> None:
    card = load_card(name)
    assert card.networks is not None
    make = card.networks
    found = count_cost(lambda: make(**parse_options(card, {})), (64, 96))
    assert found.whole.parameters == parameters
    if gmac is not None:
        assert found.parts["backbone"].macs / 1e9 == pytest.approx(gmac, abs=0.05)
        assert found.parts["decoder"].macs / 1e9 == pytest.approx(1.84, abs=0.3)


@pytest.mark.parametrize(
    ("official", "ours"),
    [  # from the public code of HQ-SAM and SAM 2
        ("mask_decoder.hf_token.weight", "mask_decoder.hq_token.weight"),
        ("mask_decoder.hf_mlp.layers.1.bias", "mask_decoder.hq_mask_mlp.layers.0.bias"),
        ("mask_decoder.compress_vit_feat.3.weight", "mask_decoder.compress_vit_conv2.weight"),
        ("mask_decoder.embedding_encoder.1.weight", "mask_decoder.encoder_norm.weight"),
        ("mask_decoder.embedding_maskfeature.0.bias", "mask_decoder.mask_conv1.bias"),
        ("image_encoder.neck.3.bias", "vision_encoder.neck.layer_norm2.bias"),
    ],
)
def test_hq_sam_is_named_as_in_its_code(official: str, ours: str) -> None:
    tensors = sam.list_tensors(make_on_meta("hq_sam"))
    assert name_officially(HQ_SAM, tensors)[official] is tensors[ours]


@pytest.mark.parametrize(
    ("official", "ours"),
    [
        ("no_mem_embed", "no_memory_embedding"),
        ("image_encoder.trunk.pos_embed_window", "vision_encoder.backbone.pos_embed_window"),
        (
            "image_encoder.trunk.patch_embed.proj.bias",
            "vision_encoder.backbone.patch_embed.projection.bias",
        ),
        (
            "image_encoder.trunk.blocks.1.mlp.layers.1.bias",
            "vision_encoder.backbone.blocks.1.mlp.proj_out.bias",
        ),
        ("image_encoder.neck.convs.2.conv.weight", "vision_encoder.neck.convs.2.weight"),
        ("sam_mask_decoder.conv_s1.bias", "mask_decoder.conv_s1.bias"),
        (
            "sam_mask_decoder.pred_obj_score_head.layers.2.bias",
            "mask_decoder.pred_obj_score_head.proj_out.bias",
        ),
        (
            "sam_mask_decoder.transformer.layers.0.self_attn.out_proj.bias",
            "mask_decoder.transformer.layers.0.self_attn.o_proj.bias",
        ),
        (
            "sam_mask_decoder.transformer.norm_final_attn.bias",
            "mask_decoder.transformer.layer_norm_final_attn.bias",
        ),
    ],
)
def test_sam_2_is_named_as_in_its_code(official: str, ours: str) -> None:
    tensors = sam.list_tensors(make_on_meta("sam2"))
    assert name_officially(SAM2, tensors)[official] is tensors[ours]


def make_on_meta(kind: str) -> dict[str, nn.Module]:
    with torch.device("meta"):
        made: dict[str, nn.Module] = sam.MAKERS[kind](multimask="always", hq_only=False)
    return made


def make_official(kind: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return an official state dict, and what the networks must have once it is loaded."""
    networks = sam.make_networks(kind, "always")
    tensors = {key: x.clone() for key, x in sam.list_tensors(networks).items()}
    return name_officially(sam.LAYOUTS[kind], tensors), tensors


def load(kind: str, path: Path) -> dict[str, Tensor]:
    options: dict[str, Any] = {"hq_only": False} if kind == "hq_sam" else {}
    networks: dict[str, nn.Module] = sam.MAKERS[kind](multimask="always", **options)
    load_checkpoint(list(networks.values()), path)
    return sam.list_tensors(networks)


def check_equal(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert torch.equal(found[key], value), key


# what official files of SAM 2.1 have for videos, by the names in its code
VIDEO = ("maskmem_tpos_enc", "memory_attention.norm.weight", "memory_encoder.out_proj.bias",
         "mask_downsample.weight", "no_mem_pos_enc", "no_obj_ptr", "no_obj_embed_spatial",
         "obj_ptr_proj.layers.0.weight", "obj_ptr_tpos_proj.weight")  # fmt: skip
# and those of transformers
HUB_VIDEO = ("memory_temporal_positional_encoding", "memory_attention.layer_norm.weight",
             "memory_encoder.projection.bias", "mask_downsample.weight", "no_object_pointer",
             "no_memory_positional_encoding", "object_pointer_proj.proj_in.weight",
             "temporal_positional_encoding_projection_layer.weight",
             "occlusion_spatial_embedding_parameter")  # fmt: skip


@pytest.mark.parametrize("kind", sam.MAKERS)
def test_official_files_load_unmodified(kind: str, tmp_path: Path) -> None:
    official, wanted = make_official(kind)
    stored: Any = official
    if kind == "sam2":
        stored = {"model": {**official, **{key: torch.zeros(2) for key in VIDEO}}}
    torch.save(stored, tmp_path / "w.pt")
    check_equal(load(kind, tmp_path / "w.pt"), wanted)


@pytest.mark.parametrize("kind", sam.MAKERS)
@pytest.mark.parametrize("names", ["first", "second", "both"])
def test_files_of_transformers_load_unmodified(kind: str, names: str, tmp_path: Path) -> None:
    _, wanted = make_official(kind)
    stored = {key: x.contiguous() for key, x in wanted.items()}
    if names != "first":
        stored[POSITIONS_AGAIN] = stored[POSITIONS].clone()
    if names == "second":
        del stored[POSITIONS]
    if kind == "sam2":
        stored |= {key: torch.zeros(2) for key in HUB_VIDEO}
    save_file(stored, tmp_path / "w.safetensors")
    check_equal(load(kind, tmp_path / "w.safetensors"), wanted)


def drop_key(state: dict[str, Tensor]) -> None:
    del state["mask_decoder.iou_token.weight"]


def add_key(state: dict[str, Tensor]) -> None:
    state["mask_decoder.hf_token.weight"] = torch.zeros(1, 256)


def change_shape(state: dict[str, Tensor]) -> None:
    state["image_encoder.neck.0.weight"] = torch.zeros(256, 768, 1, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (drop_key, "missing keys: mask_decoder.iou_token.weight$"),
        (add_key, "unexpected keys: mask_decoder.hf_token.weight$"),
        (
            change_shape,
            r"keys of another shape: image_encoder.neck.0.weight \(256, 768, 1, 1\), wanted "
            r"\(256, 32, 1, 1\)",
        ),
    ],
)
def test_a_wrong_official_file_is_refused_by_its_own_keys(
    change: Callable[[dict[str, Tensor]], None], said: str, tmp_path: Path
) -> None:
    official, _ = make_official("sam")
    change(official)
    torch.save(official, tmp_path / "w.pth")
    with pytest.raises(IsbenchError, match=f"for another network: {said}"):
        load("sam", tmp_path / "w.pth")


def test_an_official_file_with_a_prefix_is_refused_by_it(tmp_path: Path) -> None:
    official, _ = make_official("sam")
    torch.save({f"module.{key}": value for key, value in official.items()}, tmp_path / "w.pth")
    with pytest.raises(IsbenchError, match=r"begin with 'module\.', which a training tool added"):
        load("sam", tmp_path / "w.pth")


@pytest.mark.parametrize("kind", sam.MAKERS)
def test_the_file_of_another_system_is_refused_with_the_first_keys(
    kind: str, tmp_path: Path
) -> None:
    other = {"sam": "hq_sam", "hq_sam": "sam2", "sam2": "sam"}[kind]
    official, tensors = make_official(other)
    torch.save({"model": official} if other == "sam2" else official, tmp_path / "w.pth")
    save_file({key: x.contiguous() for key, x in tensors.items()}, tmp_path / "w.safetensors")
    for name in ("w.pth", "w.safetensors"):
        with pytest.raises(IsbenchError, match=r"keys: \S+, \S+, \S+ and \d+ more|as 'model'"):
            load(kind, tmp_path / name)


def test_a_file_with_two_values_of_the_positions_is_refused(tmp_path: Path) -> None:
    _, tensors = make_official("sam")
    tensors[POSITIONS_AGAIN] = tensors[POSITIONS] + 1
    save_file({key: x.contiguous() for key, x in tensors.items()}, tmp_path / "w.safetensors")
    with pytest.raises(IsbenchError, match=f"unexpected keys: {POSITIONS_AGAIN}"):
        load("sam", tmp_path / "w.safetensors")


@pytest.mark.parametrize("make", [make_sam, make_hq_sam, make_sam2])
def test_networks_are_made_without_a_connection(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    size = TINY if make is make_sam2 else VIT_B
    with torch.device("meta"):
        assert {"encoder", "decoder"} <= make(size, multimask="always", hq_only=False).keys()


def test_cards_are_listed_without_importing_transformers() -> None:
    code = "import sys, baselines.sam.cards\nassert 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_folder_of_the_name_is_not_taken_for_the_library(tmp_path: Path) -> None:
    (tmp_path / "transformers").mkdir()
    code = (
        "import importlib.metadata as metadata, sys\n"
        "find, PackageNotFoundError = metadata.version, metadata.PackageNotFoundError\n"
        "def version(name):\n"
        "    if name == 'transformers':\n"
        "        raise PackageNotFoundError(name)\n"
        "    return find(name)\n"
        "metadata.version = version\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "from baselines.sam.cards import sam_vit_b\n"
        "assert sam_vit_b.libraries['transformers'] == ''\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
