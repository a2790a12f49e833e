"""What is shipped: the wheel, the files that say what isbench is, and the notebook."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib

ROOT = Path(__file__).parents[1]
PACKAGES = ("isbench", "baselines", "csfpn")


def needs(*libraries: str) -> pytest.MarkDecorator:
    missing = [one for one in libraries if find_spec(one) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@needs("build", "setuptools", "twine")
@pytest.mark.slow
def test_the_wheel_has_every_file_of_the_packages_and_nothing_else(tmp_path: Path) -> None:
    source, wanted = tmp_path / "source", set()
    ignored = shutil.ignore_patterns("__pycache__")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=ignored)
        files = (path for path in (source / package).rglob("*") if path.is_file())
        wanted |= {path.relative_to(source).as_posix() for path in files}
    for folder in ("tests", "benchmarks", "results"):  # which no wheel should find
        (source / folder).mkdir()
        (source / folder / "__init__.py").touch()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    words = ["build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        about = {name.partition("/")[2] for name in archive.namelist() if ".dist-info/" in name}
    assert names == wanted
    assert "csfpn/weights/csfpn-mini.safetensors" in names
    assert {"METADATA", "entry_points.txt", "licenses/LICENSE"} <= about
    checked = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", str(wheel)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib comes with Python 3.11")
def test_the_citation_and_the_package_have_one_version_and_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = (ROOT / "CITATION.cff").read_text()
    assert re.findall(r"^version: (.*)$", cited, re.MULTILINE) == [project["version"]]
    assert re.findall(r"^license: (.*)$", cited, re.MULTILINE) == [project["license"]]


def test_the_image_and_the_environment_install_what_exists() -> None:
    docker = (ROOT / "Dockerfile").read_text()
    copied = {name for line in re.findall(r"^COPY (.*) \S+$", docker, re.MULTILINE)
              for name in line.split()}  # fmt: skip
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)
    extras = set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    for text in (docker, (ROOT / "environment.yml").read_text()):
        (named,) = re.findall(r"\[(cpu[\w,]*)\]", text)
        assert set(named.split(",")) <= extras


@needs("nbclient", "nbformat", "ipykernel")
@pytest.mark.slow
def test_the_notebook_runs_and_shows_what_it_showed(tmp_path: Path) -> None:
    code = (
        "import sys, nbclient, nbformat\n"
        "book = nbformat.read(sys.argv[1], 4)\n"
        "nbclient.NotebookClient(book, timeout=600).execute()\n"
        "nbformat.write(book, 'executed.ipynb')\n"
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    page = ROOT / "docs" / "notebook.ipynb"
    done = subprocess.run(
        [sys.executable, "-c", code, str(page)],
        capture_output=True, text=True, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    import nbformat

    shown, executed = (nbformat.read(one, 4) for one in (page, tmp_path / "executed.ipynb"))
    for before, after in zip(shown.cells, executed.cells, strict=True):
        if before.cell_type == "code":
            assert _list_kinds(before.outputs) == _list_kinds(after.outputs)


def _list_kinds(outputs: Sequence[Any]) -> list[tuple[str, ...]]:
    """Return what outputs are; text that arrived in several parts counts once."""
    kinds = ((output.output_type, *sorted(output.get("data", {}))) for output in outputs)
    return [kind for kind, _ in groupby(kinds)]
