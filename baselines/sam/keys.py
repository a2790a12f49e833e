"""The keys of weight files: those of the official repositories, and those of transformers.

The networks have the names of transformers. A layout names their tensors as a file does, so that
files of both kinds load unmodified and strictly, and errors name the keys of the file. Checked
against the lists of keys of the official SAM (tests/baselines/test_sam_weights.py); the names of
HQ-SAM and SAM 2.1 are those of their public code. Not here: reading files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

Tensors: TypeAlias = Mapping[str, Tensor]
Renamings: TypeAlias = Sequence[tuple[str, str]]  # regular expressions and what replaces them

POSITIONS = "prompt_encoder.shared_embedding.positional_embedding"
# the same tensor again: transformers names it twice, and files have it under one name or both
POSITIONS_AGAIN = "shared_image_embedding.positional_embedding"

# from transformers' keys to the official ones, one after the other
_SHARED: Renamings = (
    (r"^(vision_encoder\.)(?:backbone\.)?(patch_embed\.)projection", r"\1\2proj"),
    (r"mask_embed\.conv1", "mask_downscaling.0"),
    (r"mask_embed\.layer_norm1", "mask_downscaling.1"),
    (r"mask_embed\.conv2", "mask_downscaling.3"),
    (r"mask_embed\.layer_norm2", "mask_downscaling.4"),
    (r"mask_embed\.conv3", "mask_downscaling.6"),
    (r"\.point_embed\.", ".point_embeddings."),
    (
        r"shared_embedding\.positional_embedding",
        "pe_layer.positional_encoding_gaussian_matrix",
    ),
    (r"upscale_conv1", "output_upscaling.0"),
    (r"upscale_layer_norm", "output_upscaling.1"),
    (r"upscale_conv2", "output_upscaling.3"),
    (r"\.layer_norm", ".norm"),
)
# the layers of heads of three layers: their names in transformers, and their official numbers
_HEADS: Renamings = (
    (r"(_mlps\.\d|_head|_mlp)\.layers\.0", r"\1.layers.1"),
    (r"(_mlps\.\d|_head|_mlp)\.proj_in", r"\1.layers.0"),
    (r"(_mlps\.\d|_head|_mlp)\.proj_out", r"\1.layers.2"),
)
_VIT: Renamings = (
    *(
        (rf"^vision_encoder\.neck\.{name}\.", f"vision_encoder.neck.{number}.")
        for number, name in enumerate(("conv1", "layer_norm1", "conv2", "layer_norm2"))
    ),
    *_SHARED,
    *_HEADS,
    (r"^vision_encoder\.layers\.", "vision_encoder.blocks."),
    (r"^vision_encoder\.", "image_encoder."),
)
_HQ: Renamings = (
    (r"\.hq_token\.", ".hf_token."),
    (r"\.compress_vit_conv1\.", ".compress_vit_feat.0."),
    (r"\.compress_vit_norm\.", ".compress_vit_feat.1."),
    (r"\.compress_vit_conv2\.", ".compress_vit_feat.3."),
    (r"\.encoder_conv1\.", ".embedding_encoder.0."),
    (r"\.encoder_norm\.", ".embedding_encoder.1."),
    (r"\.encoder_conv2\.", ".embedding_encoder.3."),
    (r"\.mask_conv1\.", ".embedding_maskfeature.0."),
    (r"\.mask_norm\.", ".embedding_maskfeature.1."),
    (r"\.mask_conv2\.", ".embedding_maskfeature.3."),
    *_VIT,
    (r"\.hq_mask_mlp\.", ".hf_mlp."),
)
_HIERA: Renamings = (
    *_SHARED,
    *_HEADS,
    (r"\.mlp\.proj_in\.", ".mlp.layers.0."),
    (r"\.mlp\.proj_out\.", ".mlp.layers.1."),
    (r"\.o_proj\.", ".out_proj."),
    (r"^(vision_encoder\.neck\.convs\.\d)\.", r"\1.conv."),
    (r"^vision_encoder\.neck\.", "image_encoder.neck."),
    (r"^vision_encoder\.(?:backbone\.)?", "image_encoder.trunk."),
    (r"^(prompt_encoder|mask_decoder)\.", r"sam_\1."),
    (r"^no_memory_embedding$", "no_mem_embed"),
)
# what only videos need, in the official files and in those of transformers
_OF_VIDEOS = re.compile(
    r"memory_|maskmem_tpos_enc$|no_mem_pos_enc$|mask_downsample\.|obj_ptr_proj\.|"
    r"obj_ptr_tpos_proj\.|no_obj_ptr$|no_obj_embed_spatial$|no_memory_positional_encoding$|"
    r"object_pointer_proj\.|temporal_positional_encoding_projection_layer\.|no_object_pointer$|"
    r"occlusion_spatial_embedding_parameter$"
)
# in official keys, maybe after what a training tool added, which an error then names
_OFFICIAL = re.compile(r"(^|\.)(image_encoder|sam_mask_decoder|sam_prompt_encoder)\.")
_POINTS = "prompt_encoder.point_embed.weight"  # of SAM 2: a row for each kind of point


class Layout(NamedTuple):
    """How official files name the tensors of a network, and which of their tensors it lacks."""

    renamings: Renamings
    ignored: re.Pattern[str] | None = None


SAM = Layout(_VIT)
HQ_SAM = Layout(_HQ)
SAM2 = Layout(_HIERA, _OF_VIDEOS)


def name_officially(layout: Layout, tensors: Tensors) -> dict[str, Tensor]:
    """Return tensors, or views of them, by their official keys.

    Official files keep the embedding of each kind of point under a key of its own; for SAM 2 they
    are the rows of one tensor in transformers.
    """
    named: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        official = _rename(layout.renamings, key)
        if key == _POINTS:
            stem, _, last = official.rpartition(".")
            named.update((f"{stem}.{k}.{last}", tensor[k : k + 1]) for k in range(len(tensor)))
        else:
            named[official] = tensor
    return named


def _rename(renamings: Renamings, key: str) -> str:
    """Return the official key for one of transformers."""
    for pattern, replacement in renamings:
        key = re.sub(pattern, replacement, key)
    return key


def match_layout(
    layout: Layout, wanted: Tensors, state: Tensors
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the wanted tensors by the keys of a file, and the part of the file that is read.

    See `checkpoint_layout` in `isbench.nn.runtime.checkpoint`.
    """
    ignored = layout.ignored
    read = {key: value for key, value in state.items() if not (ignored and ignored.match(key))}
    if any(_OFFICIAL.search(key) for key in read):
        return name_officially(layout, wanted), read
    named = dict(wanted)
    again = read.get(POSITIONS_AGAIN)
    # with another value than under the first name it stays unknown, and the file is refused
    if again is not None and torch.equal(again, read.get(POSITIONS, again)):
        named[POSITIONS_AGAIN] = wanted[POSITIONS]
        if POSITIONS not in read:
            del named[POSITIONS]
    return named, read
