"""The networks of SAM and HQ-SAM: an encoder for each image, and a decoder for each click.

They are those of the library transformers, built from configurations without any download, with the
inputs and outputs that `isbench.nn.network.Network` asks for. Under synthetic weights they equal
the official SAM (tests/baselines/test_sam.py); HQ-SAM is compared with transformers' own model.
Not here: SAM 2 (`baselines.sam.network2`).

Differs from transformers: randomly initialised encoders have weights that depend on the image (the
library draws them with a deviation of 1e-10), and the position of a point is encoded with a scale
of 1 as in the official code (there: half the encoder's width). Trained weights replace both.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from baselines.sam.keys import HQ_SAM, SAM, match_layout
from baselines.sam.sizes import Vit
from isbench.nn.network import example_points

FRAME = 1024  # rows and columns of the image as the encoder sees it
MASK = 256  # rows and columns of masks, as prompts and as answers
_DEVIATION = 0.02  # of randomly initialised weights; the decoder's default too
SAM_LAYOUT = partial(match_layout, SAM)
HQ_LAYOUT = partial(match_layout, HQ_SAM)


class Encoder(nn.Module):
    """(B, 3, 1024, 1024) normalised images to (B, 256, 64, 64) embeddings."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vision_encoder = model.vision_encoder
        self.checkpoint_layout = SAM_LAYOUT

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the embeddings."""
        return (self.vision_encoder(image).last_hidden_state,)

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        """Return an image, always of the same size; see `isbench.nn.network.Network`."""
        return (example_frame(),)


class HqEncoder(Encoder):
    """(B, 3, 1024, 1024) normalised images to embeddings and early features.

    The embeddings are (B, 256, 64, 64). The features are those after the first block whose
    attention spans the image, (B, 64, 64, C).
    """

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.checkpoint_layout = HQ_LAYOUT

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the embeddings and the early features."""
        found = self.vision_encoder(image)
        return found.last_hidden_state, found.intermediate_embeddings[0]


class Decoder(nn.Module):
    """Embeddings and prompts to masks, with the intersections over union that it expects of them.

    Takes (B, 256, 64, 64) embeddings; (B, N, 2) points as (x, y) in the frame of 1024 pixels, and
    their (B, N) labels, 1 for positive and 0 for negative clicks; (B, 1, 256, 256) logits of a mask
    as a further prompt, and (B, 1) whether they are used, 1 or 0. Returns (B, K, 256, 256) logits
    and (B, K) scores of K masks: three, or one if not `multimask`.
    """

    def __init__(self, model: Any, multimask: bool) -> None:
        super().__init__()
        self.prompt_encoder = model.prompt_encoder
        self.mask_decoder = model.mask_decoder
        self.multimask = multimask
        self.checkpoint_layout = SAM_LAYOUT

    def forward(
        self, embedding: Tensor, points: Tensor, labels: Tensor, mask: Tensor, given: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the logits and the scores."""
        sparse, dense = encode_prompts(self.prompt_encoder, points, labels, mask, given)
        masks, scores = self.mask_decoder(
            image_embeddings=embedding,
            image_positional_embeddings=encode_positions(self.prompt_encoder, embedding),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=self.multimask,
        )
        return masks[:, 0], scores[:, 0]

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        """Return an embedding and prompts; see `isbench.nn.network.Network`."""
        return example_map(256, 64), *example_prompts(points)


class HqDecoder(nn.Module):
    """As `Decoder`, with early features as second input, to one mask: SAM's best plus HQ-SAM's.

    With `hq_only` it is HQ-SAM's alone.
    """

    def __init__(self, model: Any, multimask: bool, hq_only: bool, width: int) -> None:
        super().__init__()
        self.prompt_encoder = model.prompt_encoder
        self.mask_decoder = model.mask_decoder
        self.multimask, self.hq_only, self.width = multimask, hq_only, width
        self.checkpoint_layout = HQ_LAYOUT

    def forward(
        self,
        embedding: Tensor,
        early: Tensor,
        points: Tensor,
        labels: Tensor,
        mask: Tensor,
        given: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return the logits (B, 1, 256, 256) and the score (B, 1) of the mask."""
        sparse, dense = encode_prompts(self.prompt_encoder, points, labels, mask, given)
        found = self.mask_decoder(
            image_embeddings=embedding,
            image_positional_embeddings=encode_positions(self.prompt_encoder, embedding),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=self.multimask,
            hq_token_only=self.hq_only,
            intermediate_embeddings=[early],
        )
        # transformers sorts the masks by their scores; the official code returns the first alone
        return found[0][:, 0, :1], found[1][:, 0, :1]

    def example_inputs(self, size: tuple[int, int], points: int) -> tuple[Tensor, ...]:
        """Return an embedding, features and prompts; see `isbench.nn.network.Network`."""
        early = example_map(self.width, 64).permute(0, 2, 3, 1)
        return example_map(256, 64), early, *example_prompts(points)


def encode_prompts(
    encoder: Any, points: Tensor, labels: Tensor, mask: Tensor, given: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the sparse and the dense embeddings of prompts, as the decoders of all systems do."""
    sparse, dense = encoder(points[:, None], labels[:, None], None, mask)
    absent = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
    return sparse, torch.where(given[..., None, None] > 0, dense, absent)


def encode_positions(encoder: Any, embedding: Tensor) -> Tensor:
    """Return the positions of the cells of an embedding, encoded like points, (B, 256, h, w)."""
    rows, cols = embedding.shape[-2:]
    y = (torch.arange(rows, device=embedding.device) + 0.5) / rows
    x = (torch.arange(cols, device=embedding.device) + 0.5) / cols
    grid = torch.stack([x.expand(rows, cols), y[:, None].expand(rows, cols)], dim=-1)
    encoded: Tensor = encoder.shared_embedding(grid)
    # not len(), which would make the batch a constant of a traced graph
    return encoded.permute(2, 0, 1)[None].expand(embedding.shape[0], -1, -1, -1)


def example_frame() -> Tensor:
    """Return a (1, 3, 1024, 1024) image."""
    return 3 * example_map(3, FRAME)


def example_map(channels: int, side: int) -> Tensor:
    """Return a (1, channels, side, side) map of values from -1 to 1."""
    places = torch.arange(channels * side * side).reshape(1, channels, side, side)
    return torch.sin(0.37 * (places % 7919))


def example_prompts(points: int) -> tuple[Tensor, ...]:
    """Return points, their labels, a mask, and that the mask is used."""
    places = example_points((FRAME, FRAME), points)[..., :2].flip(-1)
    labels = (torch.arange(points) % 2 == 0).float()[None]
    return places, labels, 8 * example_map(1, MASK), torch.ones(1, 1)


def make_sam(size: Vit, multimask: str, **options: Any) -> dict[str, nn.Module]:
    """Return the networks of a card of SAM."""
    # imported here since it takes seconds, and the cards are listed without it
    from transformers import SamModel

    model = SamModel(configure_sam(size))
    initialise_positions(model)
    decoders = {name: Decoder(model, several) for name, several in list_decoders(multimask)}
    return {"encoder": Encoder(model), **decoders}


def make_hq_sam(size: Vit, multimask: str, hq_only: bool, **options: Any) -> dict[str, nn.Module]:
    """Return the networks of a card of HQ-SAM."""
    from transformers import SamHQModel

    model = SamHQModel(configure_hq_sam(size))
    initialise_positions(model)
    decoders = {
        name: HqDecoder(model, several, hq_only, size.width)
        for name, several in list_decoders(multimask)
    }
    return {"encoder": HqEncoder(model), **decoders}


def configure_sam(size: Vit) -> Any:
    """Return transformers' configuration of a SAM."""
    from transformers import SamConfig, SamVisionConfig

    return SamConfig(vision_config=SamVisionConfig(**_describe(size)))


def configure_hq_sam(size: Vit) -> Any:
    """Return transformers' configuration of an HQ-SAM."""
    from transformers import SamHQConfig, SamHQVisionConfig

    vision = SamHQVisionConfig(**_describe(size))
    return SamHQConfig(vision_config=vision, mask_decoder_config={"vit_dim": size.width})


def list_decoders(multimask: str) -> list[tuple[str, bool]]:
    """Return the decoders that a policy needs: their names, and whether each gives three masks."""
    first = [("decoder", True)] if multimask in ("always", "first") else []
    return first + ([("single_decoder", False)] if multimask in ("never", "first") else [])


def initialise_positions(model: Any) -> None:
    """Draw the frequencies that encode positions as the official code does; they are constants."""
    embedding = model.prompt_encoder.shared_embedding
    frequencies = torch.randn_like(embedding.positional_embedding)
    del embedding.positional_embedding
    embedding.register_buffer("positional_embedding", frequencies)


def _describe(size: Vit) -> dict[str, Any]:
    """Return the arguments of transformers' configuration of an encoder."""
    return {
        "hidden_size": size.width,
        "num_hidden_layers": size.depth,
        "num_attention_heads": size.heads,
        "global_attn_indexes": list(size.whole),
        "initializer_range": _DEVIATION,
    }
