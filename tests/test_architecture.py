"""The laws of docs/architecture.md, read off the imports."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

import isbench
from isbench.cli import cli
from isbench.types import ModelCard, Prediction, Turn
from tests.support import toys

ROOT = Path(__file__).parents[1]
FILES = sorted(
    path for package in ("isbench", "baselines", "csfpn") for path in (ROOT / package).rglob("*.py")
)
DISK = (
    "cli/", "datasets/", "evaluation/clickers/replay", "exchange/", "files/", "models/weights",
    "nn/", "papers/published", "papers/record_check", "papers/register", "reporting/chosen_runs",
    "reporting/literature", "reporting/plot_files", "reporting/templates", "storage/encodings",
    "storage/environment", "storage/imported", "storage/merge", "storage/migrate",
    "storage/processors", "storage/run_file", "storage/saved_masks", "storage/store", "training/",
)  # fmt: skip
# what models may import of isbench, and what the tables of a paper may
MODEL = ("errors", "lazy_function", "nn", "training", "types")
PAPER = (
    "errors",
    "metrics",
    "nn.runtime.cost",
    "papers",
    "reporting.tables",
    "reporting.text_table",
    "storage.store",
    "types",
)
TORCH = {"isbench/nn", "isbench/training", "csfpn", "baselines"}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def tops(path: Path) -> set[str]:
    return {module.partition(".")[0] for module in imports(path)}


def find_offenders(paths: Iterable[Path], find: Callable[[Path], set[str]]) -> dict[str, set[str]]:
    """Return what `find` finds in each file, without the files in which it finds nothing."""
    return {name(path): found for path in paths if (found := find(path))}


def test_imports_point_one_way() -> None:
    others = {"isbench": {"csfpn", "baselines"}, "csfpn": {"baselines"}, "baselines": {"csfpn"}}

    def find(path: Path) -> set[str]:
        return tops(path) & others[name(path).partition("/")[0]]

    assert find_offenders(FILES, find) == {}


def test_models_and_papers_import_what_is_open_to_them_only() -> None:
    def find(path: Path) -> set[str]:
        open_to = PAPER if name(path).startswith("csfpn/paper/") else MODEL
        ours = {module for module in imports(path) if module.startswith("isbench.")}
        allowed = tuple(f"isbench.{place}." for place in open_to)
        return {module for module in ours if not f"{module}.".startswith(allowed)}

    outside = [path for path in FILES if not name(path).startswith("isbench/")]
    assert find_offenders(outside, find) == {}


def read_rows() -> dict[str, int]:
    """Return the row of each folder and file in the document's diagram, 0 for the upper one."""
    text = (ROOT / "docs" / "architecture.md").read_text().split("## Import direction")[1]
    diagram = text.split("```")[1].strip().partition("\n\n")[0]
    return {word: row for row, line in enumerate(diagram.splitlines()) for word in line.split()}


ROWS = read_rows()


def test_a_folder_imports_from_its_row_and_those_below() -> None:
    def find(path: Path) -> set[str]:
        row = ROWS[name(path).split("/")[1]]
        ours = {module.split(".")[1] for module in imports(path) if module.startswith("isbench.")}
        return {one for one in ours if ROWS.get(one, row) < row}

    assert find_offenders((ROOT / "isbench").glob("*/**/*.py"), find) == {}


def test_torch_is_imported_where_networks_are_only() -> None:
    outside = [path for path in FILES if not name(path).startswith(tuple(TORCH))]
    assert find_offenders(outside, lambda path: tops(path) & {"torch"}) == {}


@cache
def calls(path: Path) -> set[str]:
    return {
        node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute))
    }


def test_only_the_edges_touch_the_disk() -> None:
    touching = {"open", "read_bytes", "read_text", "write_bytes", "write_text", "mkdir"}
    edges = tuple(f"isbench/{place}" for place in DISK)
    inside = [path for path in FILES if not name(path).startswith(edges)]
    assert find_offenders(inside, lambda path: calls(path) & touching) == {}


def test_whole_files_are_written_by_files_atomic_only() -> None:
    writing = {"write_bytes", "write_text"}
    assert find_offenders(FILES, lambda path: calls(path) & writing) == {}


@pytest.mark.parametrize(
    ("call", "place"),
    [
        ("fsync", "isbench/files/atomic.py"),
        ("setNumThreads", "isbench/evaluation/job.py"),
        ("Progress", "isbench/cli/progress.py"),
    ],
)
def test_some_things_are_set_up_in_one_place(call: str, place: str) -> None:
    assert [name(path) for path in FILES if call in calls(path)] == [place]


def test_nothing_imports_the_command_line() -> None:
    def find(path: Path) -> set[str]:
        return {module for module in imports(path) if f"{module}.".startswith("isbench.cli.")}

    outside = [p for p in FILES if not name(p).startswith(("isbench/cli/", "isbench/__main__"))]
    assert find_offenders(outside, find) == {}


def test_the_vocabulary_imports_numpy_only() -> None:
    used = {module.partition(".")[0] for module in imports(ROOT / "isbench" / "types.py")}
    ours = {module for module in imports(ROOT / "isbench" / "types.py") if "isbench" in module}
    assert used - set(sys.stdlib_module_names) == {"numpy", "isbench"}
    assert {module for module in ours if not module.startswith("isbench.errors")} == set()


def test_no_file_is_a_collection_of_helpers_or_long() -> None:
    for path in FILES:
        assert path.stem not in {"utils", "helpers", "common", "misc", "base"}
        assert len(path.read_text().splitlines()) <= 400, path


def test_a_file_of_tests_has_at_most_400_lines() -> None:
    long = {
        name(path)
        for path in (ROOT / "tests").rglob("*.py")
        if len(path.read_text().splitlines()) > 400
    }
    assert long == set()


# Ends in "ed" or "ing", or is one of the irregular ones that names of functions are tempted by.
PARTICIPLE = re.compile(
    r"\w+(ed|ing)|begun|broken|built|chosen|done|drawn|felt|found|given|gone|got|grown|held|hidden|"
    r"kept|known|left|lost|made|meant|met|said|seen|sent|shown|spent|spoken|taken|taught|thought|"
    r"told|torn|understood|won|written"
)
TERMS = {"bounding_box", "normalised_focal_loss", "published"}  # of the field, and a command
# First words that are no verbs; a name such as `box_iou` is the field's term for what it returns.
NOUNS = re.compile(
    r"area|array|card|cells|companion|counts|damage|dataset|file|generators|height|identity|image|"
    r"instances|key|kind|label|length|licence|line|maximum|mean|meta|model|names|number|object|"
    r"picture|processor|rate|size|spec|style|text|title|total|version|weights"
)


def list_functions() -> Iterator[str]:
    """Yield the names of functions and methods that are no properties, without leading "_"."""
    for place in ("isbench", "csfpn", "baselines", "benchmarks", "docs", "action", "tests/support"):
        for path in sorted((ROOT / place).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not any(
                    "property" in ast.unparse(one) for one in node.decorator_list
                ):
                    yield node.name.lstrip("_")


def test_functions_are_not_named_by_participles() -> None:
    named = {name for name in list_functions() if PARTICIPLE.fullmatch(name.partition("_")[0])}
    assert named == TERMS


def test_functions_are_not_named_by_nouns() -> None:
    named = {name for name in list_functions() if NOUNS.fullmatch(name.partition("_")[0])}
    assert named == {"model_from_spec"}


def read_named_paths(text: str) -> list[str]:
    """Return the paths in the first column of the table of files, from isbench/ or from ROOT."""
    paths = []
    for row in re.findall(r"^\| (`.*?) \|", text.split("## Folders and files")[1], re.MULTILINE):
        folder = ""
        for path in re.findall(r"`([\w./]+)`", row):
            if "/" in path[:-1]:
                folder = path[: path.rindex("/") + 1]
                paths.append(path)
            else:
                paths.append(folder + path)
    return paths


def test_the_document_names_every_module_and_every_file_it_names_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    package, named = ROOT / "isbench", set(read_named_paths(text))
    modules = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}
    assert {one for one in modules if "__" not in one} - named == set()
    lost = {one for one in named if not (package / one).exists() and not (ROOT / one).exists()}
    assert lost == set()
    tests = (ROOT / "tests").rglob("*.py")
    files = [f"/{name(path)}" for path in (*FILES, *tests)]
    mentioned = re.findall(r"[\w/]+\.py\b", text)
    assert {
        one for one in mentioned if not any(file.endswith(f"/{one}") for file in files)
    } == set()


def test_the_document_names_no_file_twice() -> None:
    named = read_named_paths((ROOT / "docs" / "architecture.md").read_text())
    assert [path for path, count in Counter(named).items() if count > 1] == []


def test_every_public_name_is_there_and_documented() -> None:
    assert set(dir(isbench)) == set(isbench.__all__)
    for public in isbench.__all__:
        assert getattr(isbench, public).__doc__


def run_command(command: str, prefixes: Sequence[str]) -> tuple[str, str]:
    """Return what a command prints, and the imported modules of these packages."""
    code = (
        "import sys\nfrom isbench.cli import main\n"
        f"try:\n    main({command.split()!r})\n"
        "finally:\n    print('LOADED', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    text, _, loaded = done.stdout.rpartition("LOADED")
    return text, " ".join(one for one in loaded.split() if one.partition(".")[0] in prefixes)


@pytest.mark.parametrize("command", ["--help", "report --help", "data --help", "run --help"])
def test_help_starts_neither_torch_nor_plots(command: str) -> None:
    assert run_command(command, ("torch", "matplotlib"))[1] == ""


@pytest.mark.parametrize("command", ["report --help", "reproduce --help"])
def test_help_names_papers_without_importing_them(command: str) -> None:
    text, loaded = run_command(command, ("csfpn",))
    assert "csfpn" in text
    assert loaded == ""


def test_the_front_help_loads_no_numpy() -> None:
    assert run_command("--help", ("numpy", "cv2", "pandas", "rich"))[1] == ""


SLOW = ("torch", "cv2", "scipy", "skimage", "matplotlib", "pandas", "requests")


@pytest.mark.parametrize("command", ["models", "models ritm-hrnet18", "models grabcut sam-vit-b"])
def test_models_are_listed_without_slow_libraries(command: str) -> None:
    text, loaded = run_command(command, SLOW)
    assert "sam-vit-b" in text or "ritm-hrnet18" in text
    assert loaded == ""


def test_a_card_is_imported_without_torch_and_opencv() -> None:
    code = (
        "import sys\nfrom isbench.models.registry import load_card, list_model_names\n"
        "cards = [load_card(name) for name in list_model_names()]\n"
        "print(len(cards), *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, *loaded = done.stdout.split()
    assert int(count) >= 60
    assert {one.partition(".")[0] for one in loaded} & {"torch", "cv2"} == set()


WALK: list[tuple[str, str]] = []  # (file, function) of the frames above the predictor


class Standing(toys.Disks):
    """Notes by whom it is asked."""

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        frames = [(Path(frame.filename), frame.function) for frame in inspect.stack(0)]
        called = [(name(file), function) for file, function in frames[1:] if file in FILES]
        WALK[:] = WALK or called  # the first time; the runner asks again later
        return super().predict(turns)


standing = ModelCard("standing", Standing)


def test_five_functions_lead_from_the_command_to_the_game_loop(tmp_path: Path) -> None:
    WALK.clear()
    words = ["run", "--model", f"{__name__}:standing", "--dataset", "sample", "--limit", "1"]
    cli.main([*words, "--max-clicks", "1", "--out", str(tmp_path)], standalone_mode=False)
    called = [frame for frame in WALK if not frame[1].startswith("<")]
    first = called.index(("isbench/cli/run.py", "run"))
    assert called[first::-1][:5] == [
        ("isbench/cli/run.py", "run"),
        ("isbench/evaluation/runner.py", "run"),
        ("isbench/evaluation/executors/processes.py", "play_here"),
        ("isbench/evaluation/job.py", "play"),
        ("isbench/evaluation/engine.py", "play"),
    ]
