"""The networks of SAM 2.1 for images, on the library transformers; see `baselines.sam.network`.

Compared with transformers' own model. What the official network has for videos is left out.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn

from baselines.sam.keys import SAM2, match_layout
from baselines.sam.network import (
    encode_positions,
    encode_prompts,
    example_frame,
    example_map,
    example_prompts,
    list_decoders,
)
from baselines.sam.sizes import Hiera

SAM2_LAYOUT = partial(match_layout, SAM2)
_ENTRY = "model"  # of an official file, which holds the state dict


class Encoder(nn.Module):
    """(B, 3, 1024, 1024) normalised images to maps of three resolutions.

    They are (B, 256, 64, 64), (B, 32, 256, 256) and (B, 64, 128, 128).
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vision_encoder = model.vision_encoder
        self.no_memory_embedding = model.no_memory_embedding
        # parts of the decoder that depend on the image alone
        decoder = model.mask_decoder
        self.mask_decoder = nn.ModuleDict({"conv_s0": decoder.conv_s0, "conv_s1": decoder.conv_s1})
        self.checkpoint_layout, self.checkpoint_entry = SAM2_LAYOUT, _ENTRY

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the maps, the coarse one first."""
        fine, middle, coarse = self.vision_encoder(image).fpn_hidden_states
        coarse = coarse + self.no_memory_embedding.reshape(1, -1, 1, 1)
        return coarse, self.mask_decoder["conv_s0"](fine), self.mask_decoder["conv_s1"](middle)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        """Return an image, always of the same size; see `isbench.nn.network.Network`."""
        return (example_frame(),)


class Decoder(nn.Module):
    """As `baselines.sam.network.Decoder`, with the finer maps as second and third input.

    If not `multimask`, the one mask is replaced by the best of three where it is not stable.
    """

    def __init__(self, model: Any, multimask: bool) -> None:
        super().__init__()
        self.prompt_encoder = model.prompt_encoder
        self.mask_decoder = model.mask_decoder
        self.multimask = multimask
        self.checkpoint_layout, self.checkpoint_entry = SAM2_LAYOUT, _ENTRY

    def forward(
        self,
        embedding: Tensor,
        fine: Tensor,
        middle: Tensor,
        points: Tensor,
        labels: Tensor,
        mask: Tensor,
        given: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return the logits and the scores."""
        sparse, dense = encode_prompts(self.prompt_encoder, points, labels.long(), mask, given)
        masks, scores, _, _ = self.mask_decoder(
            image_embeddings=embedding,
            image_positional_embeddings=encode_positions(self.prompt_encoder, embedding),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=self.multimask,
            high_resolution_features=[fine, middle],
        )
        return masks[:, 0], scores[:, 0]

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        """Return maps and prompts; see `isbench.nn.network.Network`."""
        maps = example_map(256, 64), example_map(32, 256), example_map(64, 128)
        return *maps, *example_prompts(points)


def make_sam2(size: Hiera, multimask: str, **options: Any) -> dict[str, nn.Module]:
    """Return the networks of a card of SAM 2.1."""
    # imported here since it takes seconds, and the cards are listed without it
    from transformers import Sam2Model

    model = Sam2Model(configure_sam2(size))
    decoders = {name: Decoder(model, several) for name, several in list_decoders(multimask)}
    return {"encoder": Encoder(model), **decoders}


def configure_sam2(size: Hiera) -> Any:
    """Return transformers' configuration of a SAM 2.1."""
    from transformers import Sam2Config, Sam2HieraDetConfig, Sam2VisionConfig

    stages = range(len(size.blocks))
    widths = [size.width * 2**stage for stage in stages]
    backbone = Sam2HieraDetConfig(
        hidden_size=size.width,
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=[size.heads * 2**stage for stage in stages],
        blocks_per_stage=list(size.blocks),
        global_attention_blocks=list(size.whole),
        window_size_per_stage=list(size.windows),
        window_positional_embedding_background_size=[size.positions] * 2,
    )
    vision = Sam2VisionConfig(backbone_config=backbone, backbone_channel_list=widths[::-1])
    return Sam2Config(vision_config=vision)
