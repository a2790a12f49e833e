"""A model whose masks change has another version: masks of one picture are on record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from isbench.models.registry import list_model_names
from isbench.storage.masks import decode_rle
from tests.support import probes
from tests.support.models import HUGE, mark_heavy

GOLDEN: dict[str, Any] = json.loads(probes.GOLDEN.read_text())


def test_every_installed_model_is_on_record() -> None:
    assert set(GOLDEN) == set(list_model_names()) - set(HUGE)


@pytest.mark.parametrize("name", mark_heavy(GOLDEN))
def test_the_masks_of_a_version_never_change(name: str, tmp_path: Path) -> None:
    wanted = GOLDEN[name]
    model = probes.load_synthetic(name, tmp_path, wanted["threshold"])
    assert model.card.version == wanted["version"], "run python -m tests.support.probes"
    mask = probes.answer_clicks(model, wanted["clicks"])[-1].mask
    recorded = decode_rle({"size": mask.shape, "counts": wanted["mask"]})
    assert recorded.any()
    assert not recorded.all()
    share = probes.compare_masks(mask, recorded)
    assert share <= (0 if model.card.networks is None else probes.ROUNDING), (
        "its version must change with them"
    )
