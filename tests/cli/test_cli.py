"""The command line as a person meets it: what it prints, and how it says no."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from isbench import cli
from isbench.cli import COMMANDS
from isbench.evaluation.runner import Silent, run
from isbench.evaluation.spec import make_spec
from isbench.reporting.text_table import make_terminal_tables
from isbench.storage import run_file, store
from isbench.types import Game, Rules
from tests.conftest import write_folder_set
from tests.support import toys

Isbench = Callable[..., tuple[int, str, str]]
TOY = "tests.support.toys:card"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def played(out: Path) -> Path:
    """Return a results folder with three runs: full games, early-stopped ones, another radius."""
    data = toys.blobs(6)
    run(toys.card, data, Rules(25, 1.01), out=out)
    run(toys.card, data, Rules(20, 0.90, seed=1), out=out)
    return out


def test_run_prints_the_table_and_where_the_results_are(
    isbench: Isbench, folder_set: Path, out: Path
) -> None:
    code, printed, _ = isbench(
        "run", "--model", TOY, "--dataset", f"folder:{folder_set}", "--stop-iou", 1.01, "--out", out
    )
    assert code == 0
    for head in ("NoC@80", "NoC@85", "NoC@90", "NoF@85", "NoF@90", "NoF@90 (RITM)", "IoU@20"):
        assert head in printed
    (sealed,) = out.rglob("*.jsonl.gz")
    assert str(sealed) in printed


def test_progress_goes_to_standard_error_as_plain_lines(
    isbench: Isbench, folder_set: Path, out: Path
) -> None:
    _, printed, said = isbench(
        "run", "--model", TOY, "--dataset", f"folder:{folder_set}", "--out", out
    )
    assert "objects/s" not in printed
    assert "6/6 objects" in said
    assert "\x1b[" not in said + printed


def test_models_and_data_sets_repeat(isbench: Isbench, folder_set: Path, out: Path) -> None:
    sets = ("--dataset", "sample", "--dataset", f"folder:{folder_set}")
    code, printed, _ = isbench(
        "run", "--model", TOY, "--model", "nearest", *sets, "--limit", 2, "--out", out
    )
    assert code == 0
    assert len(store.find(out)) == 4
    assert printed.count("disks") >= 2
    assert printed.count("nearest") >= 2


def test_early_stopped_runs_print_no_iou_at_k_and_say_how_to_get_it(
    isbench: Isbench, folder_set: Path, out: Path
) -> None:
    _, printed, _ = isbench(
        "run", "--model", TOY, "--dataset", f"folder:{folder_set}", "--out", out
    )
    (row,) = [line for line in printed.splitlines() if line.strip().startswith("IoU@5")]
    assert row.split() == ["IoU@5"]
    assert "--stop-iou 1.01" in printed


def test_a_second_run_is_answered_by_the_first(
    isbench: Isbench, folder_set: Path, out: Path
) -> None:
    command = ("run", "--model", TOY, "--dataset", f"folder:{folder_set}", "--out", out)
    isbench(*command, "--stop-iou", 1.01)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    code, _, said = isbench(*command, "--max-clicks", 10)
    assert code == 0
    assert "nothing to play" in said
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_set_reaches_the_model_and_the_record(
    isbench: Isbench, folder_set: Path, out: Path
) -> None:
    isbench(
        "run",
        "--model",
        TOY,
        "--dataset",
        f"folder:{folder_set}",
        "--set",
        "radius=2",
        "--out",
        out,
    )
    (path,) = store.find(out)
    assert store.read(path).spec.options == {"radius": 2}


def test_strict_is_recorded_with_its_digest(isbench: Isbench, folder_set: Path, out: Path) -> None:
    for preset in ("ritm-2021", "strict"):
        isbench(
            "run", "--model", TOY, "--dataset", f"folder:{folder_set}", "--preset", preset,
            "--out", out,
        )  # fmt: skip
    specs = [store.read(path).spec for path in store.find(out)]
    assert {spec.preset for spec in specs} == {"ritm-2021", "strict"}
    assert len({spec.preset_digest for spec in specs}) == 2


def picture_set(root: Path, image: bytes | None, mask: bytes | None, objects: int = 1) -> Path:
    write_folder_set(root, objects)
    (root / "masks" / "picture00000__1.png").rename(root / "masks" / "picture00000.png")
    for folder, data in (("images", image), ("masks", mask)):
        path = root / folder / "picture00000.png"
        if data is None:
            path.unlink()
        else:
            path.write_bytes(data)
    return root


def png(shape: tuple[int, ...] = (24, 32)) -> bytes:
    return bytes(cv2.imencode(".png", np.zeros(shape, np.uint8))[1])


NOT_A_PICTURE = b"GIF89a nothing of the kind"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--model", "nearset", "--dataset", "sample"], "did you mean nearest?"),
        (["run", "--model", "nearest", "--dataset", "sampel"], "did you mean sample?"),
        (
            ["run", "--model", "nearest", "--dataset", "sample", "--preset", "stirct"],
            "mean strict?",
        ),
        (
            ["run", "--model", "nearest", "--dataset", "sample", "--clicker", "center"],
            "mean centre?",
        ),
        (["run", "--model", "grabcut", "--dataset", "sample", "--set", "sed=1"], "mean seed?"),
        (["run", "--model", "grabcut", "--dataset", "sample", "--set", "seed"], "KEY=VALUE"),
        (
            ["run", "--model", "grabcut", "--dataset", "sample", "--set", "seed=x"],
            "wanted a number",
        ),
        (["run", "--model", "nearest", "--dataset", "sample", "--set", "a=1"], "has no options"),
        (["run", "--model", "nearest", "--dataset", "sample", "--limit", "0"], "limit is 0"),
        (["run", "--model", "nearest", "--dataset", "sample", "--limit", "two"], "'two'"),
        (
            ["run", "--model", "nearest", "--dataset", "sample", "--max-clicks", "0"],
            "max_clicks is 0",
        ),
        (["run", "--model", "nearest", "--dataset", "sample", "--workers", "0"], "workers is 0"),
        (["run", "--model", "nearest", "--dataset", "sample", "--seed", "-1"], "seed is -1"),
        (
            ["run", "--model", "nearest", "--dataset", "sample", "--stop-iou", "nan"],
            "stop_iou is nan",
        ),
        (
            ["run", "--model", "nearest", "--dataset", "grabcut", "--data", "{}/none"],
            "isbench data get",
        ),
        (["run", "--model", "nearest", "--dataset", "folder:{}/none"], "cannot list"),
        (["run", "--model", "nearest", "--dataset", "folder:{}/empty"], "no images in"),
        (["run", "--model", "nearest", "--dataset", "folder:{}/nomask"], "has no mask"),
        (
            ["run", "--model", "nearest", "--dataset", "folder:{}/size"],
            "5x4 pixels and its image 32x24",
        ),
        (
            ["run", "--model", "nearest", "--dataset", "folder:{}/junk"],
            "cannot be read as an image",
        ),
        (["run", "--model", "nearest", "--dataset", "coco:{}"], "wanted coco:IMAGES_DIR"),
        (
            ["run", "--model", "nearest", "--dataset", "sample", "--out", "{}/file/runs"],
            "cannot write",
        ),
        (["run", "--model", "nearest"], "Missing option '--dataset'"),
        (["run", "--modle", "nearest"], "--model"),
        (["rnu"], "did you mean run?"),
        (["report", "--runs", "{}/none"], "isbench run"),
        (["report", "{}/file"], "is not a run file"),
        (["report", "{}/old.jsonl"], "has format 99"),
        (["report", "--table", "nocs"], "did you mean noc?"),
        (["report", "--format", "html5"], "available: csv, latex, markdown, rich"),
        (["report", "--max-clicks", "0"], "max-clicks is 0"),
        (["compare", "abc", "def", "--runs", "{}/none"], "no run below"),
        (["data", "verify", "grabct"], "did you mean grabcut?"),
        (["data", "path", "grabcut", "--data", "{}/none"], "isbench data get"),
    ],
    ids=lambda value: " ".join(value)[-40:] if isinstance(value, list) else "",
)
def test_wrong_input_is_one_helpful_line_and_exit_code_2(
    isbench: Isbench, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "file").write_text("not a folder\n")
    (tmp_path / "empty" / "images").mkdir(parents=True)
    (tmp_path / "old.jsonl").write_text(json.dumps({"isbench": 99, "spec": {}}) + "\n")
    picture_set(tmp_path / "nomask", png((24, 32, 3)), None, objects=2)
    picture_set(tmp_path / "size", png((24, 32, 3)), png((4, 5)))
    picture_set(tmp_path / "junk", NOT_A_PICTURE, png())
    command = [argument.replace("{}", str(tmp_path)) for argument in arguments]
    if command[0] == "run" and "--out" not in command:
        command += ["--out", str(tmp_path / "runs")]
    code, printed, errors = isbench(*command)
    assert code == 2, errors
    assert printed == ""
    assert errors.count("\n") == 1
    assert said in errors
    assert not list((tmp_path / "runs").rglob("*.jsonl*"))


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (
            "shape_card",
            "model wrong-shape: object picture0000",
        ),
        ("dtype_card", "model wrong-dtype: object picture0000"),
        ("few_card", "model too-few: object picture0000"),
    ],
)
def test_a_predictor_that_breaks_its_contract_is_exit_code_1(
    isbench: Isbench, folder_set: Path, out: Path, card: str, said: str
) -> None:
    code, _, errors = isbench(
        "run",
        "--model",
        f"tests.support.toys:{card}",
        "--dataset",
        f"folder:{folder_set}",
        "--out",
        out,
    )
    assert code == 1
    assert errors.count("\n") == 1
    assert said in errors


def test_a_predictor_that_raises_shows_its_traceback(
    isbench: Isbench, folder_set: Path, out: Path
) -> None:
    code, _, errors = isbench(
        "run", "--model", "tests.support.toys:raising_card", "--dataset", f"folder:{folder_set}",
        "--out", out,
    )  # fmt: skip
    assert code == 1
    assert "Traceback" in errors
    assert "in raising" in errors
    assert errors.splitlines()[-1].startswith("isbench: model raising: object picture0000")


@pytest.mark.parametrize("view", ["noc", "nof", "iou", "time", "all"])
@pytest.mark.parametrize("form", ["rich", "markdown", "latex", "csv"])
def test_every_table_prints_in_every_format(
    isbench: Isbench, played: Path, view: str, form: str
) -> None:
    code, printed, _ = isbench("report", "--runs", played, "--table", view, "--format", form)
    assert code == 0
    assert "nan" not in printed.lower()
    assert len([line for line in printed.splitlines() if "disks" in line]) in (1, 2)


def test_a_table_leaves_iou_at_k_of_early_stopped_games_blank(
    isbench: Isbench, played: Path
) -> None:
    _, printed, said = isbench("report", "--runs", played, "--table", "iou", "--format", "csv")
    rows = list(csv.reader(printed.splitlines()))
    column = rows[0].index("iou@5")
    assert sorted(row[column] == "" for row in rows[1:]) == [False, True]
    assert "--stop-iou 1.01" in said


@pytest.mark.parametrize("plot", ["iou_k", "ioa_k"])
def test_a_plot_of_early_stopped_games_says_how_to_get_full_ones(
    isbench: Isbench, played: Path, tmp_path: Path, plot: str
) -> None:
    _, _, said = isbench("report", "--runs", played, "--plot", plot, "--out", tmp_path)
    assert "--stop-iou 1.01" in said


def test_files_that_are_not_known_are_a_warning_in_run_record_and_report(
    isbench: Isbench, tmp_path: Path, out: Path
) -> None:
    other = write_folder_set(tmp_path / "GrabCut", objects=2)
    (other / "images").rename(other / "data_GT")
    (other / "masks").rename(other / "boundary_GT")
    for path in (other / "boundary_GT").iterdir():
        path.rename(path.with_name(path.name.replace("__1", "")))
    code, _, said = isbench(
        "run", "--model", TOY, "--dataset", "grabcut", "--data", tmp_path, "--out", out
    )
    assert code == 0
    assert "not a known version" in said
    (path,) = store.find(out)
    assert any("not a known version" in text for text in store.read(path).meta[0]["warnings"])
    _, _, said = isbench("report", "--runs", out)
    assert "with an unknown fingerprint" in said


def test_a_longer_run_gives_the_figures_of_shorter_games(isbench: Isbench, played: Path) -> None:
    figures = {}
    for clicks in (20, 25):
        options = ("--table", "all", "--format", "csv", "--max-clicks", clicks)
        _, printed, _ = isbench("report", "--runs", played, *options)
        head, *rows = csv.reader(printed.splitlines())
        for row in rows:
            figures[clicks, row[head.index("run")]] = dict(zip(head, row, strict=True))
    (full,) = {run for _, run in figures if figures[20, run]["iou@5"]}
    (early,) = {run for _, run in figures} - {full}
    assert figures[20, full]["budget"] == "20"
    assert figures[25, full]["budget"] == "25"
    assert figures[20, full]["noc@90"] == figures[20, early]["noc@90"]
    assert figures[20, full]["nof@90"] == figures[20, early]["nof@90"]


@pytest.mark.parametrize("plot", ["iou_k", "ioa_k", "noc_hist"])
def test_plots_are_written_as_png_and_svg(
    isbench: Isbench, played: Path, tmp_path: Path, plot: str
) -> None:
    code, printed, _ = isbench("report", "--runs", played, "--plot", plot, "--out", tmp_path / "p")
    assert code == 0
    name = plot.replace("ioa", "iou")
    picture = cv2.imread(str(tmp_path / "p" / f"{name}.png"))
    assert picture is not None
    assert picture.std() > 1
    assert (tmp_path / "p" / f"{name}.svg").read_text().startswith("<?xml")
    assert printed.count("\n") == 2


def test_an_early_stopped_curve_is_labelled_so(
    isbench: Isbench, played: Path, tmp_path: Path
) -> None:
    from isbench.reporting.plots import iou_k
    from isbench.reporting.writer import choose_runs

    (panel,) = iou_k(choose_runs([], played)[0], 20).axes
    styles = {line.get_label(): line.get_linestyle() for line in panel.lines}
    assert {style for label, style in styles.items() if "last IoU held" in str(label)} == {"--"}
    assert {style for label, style in styles.items() if "held" not in str(label)} == {"-"}


def test_a_run_is_named_by_file_folder_or_digest(isbench: Isbench, played: Path) -> None:
    path = store.find(played)[0]
    digest = store.digest_of_path(path)
    for name in (path, path.parent, digest[:5]):
        code, printed, _ = isbench("report", name, "--runs", played)
        assert code == 0
        assert digest in printed


def test_unfinished_runs_are_left_out_and_named(isbench: Isbench, played: Path) -> None:
    class Impatient(Silent):
        def played(self, game: Game) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(toys.card, toys.blobs(3), Rules(), out=played, watch=Impatient())
    code, _, said = isbench("report", "--runs", played)
    assert code == 0
    assert "not finished (1 objects so far)" in said


def test_compare_shows_the_difference_and_where_it_is(isbench: Isbench, out: Path) -> None:
    games = {1: [[0.5, 0.95, 0.95]] * 4, 3: [[0.5, 0.6, 0.95]] * 3 + [[0.95, 0.95, 0.95]]}
    for radius, ious in games.items():
        card = toys.Model("disks", toys.Disks, {"radius": radius})
        data = toys.Dataset("made", tuple(f"{key}#1" for key in "abcd"), toys.load_blob)
        spec = make_spec(card, data, Rules(3, 1.01), content="made")
        with run_file.open_run(out, spec) as file:
            assert file is not None
            for key, iou in zip("abcd", ious, strict=True):
                file.append(Game(toys.trajectory(f"{key}#1", iou), ()))
            file.seal()
    a, b = (store.digest_of_path(path) for path in store.find(out))
    code, printed, _ = isbench("compare", a, b, "--runs", out)
    assert code == 0
    assert "NoC_3@90" in printed
    assert "objects that differ most" in printed
    assert "options differs" in printed
    code, printed, _ = isbench("compare", a, a, "--runs", out)
    assert "+0.00" in printed
    assert "1.0000" in printed


def test_runs_over_other_objects_are_not_compared(isbench: Isbench, out: Path) -> None:
    run(toys.card, toys.blobs(3), Rules(), out=out)
    run(toys.card, toys.blobs(4), Rules(seed=1), out=out)
    a, b = (store.digest_of_path(path) for path in store.find(out))
    code, _, errors = isbench("compare", a, b, "--runs", out)
    assert code == 2
    assert "3 objects in common" in errors


@pytest.mark.parametrize("command", ["datasets", "models", "doctor"])
def test_the_commands_that_look_around_work_without_data(
    isbench: Isbench, tmp_path: Path, command: str
) -> None:
    options = () if command == "models" else ("--data", tmp_path / "none")
    code, printed, errors = isbench(command, *options)
    assert code == 0
    assert errors == ""
    assert "grabcut" in printed


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS), ["data", "get"]])
def test_every_help_has_an_example(isbench: Isbench, command: list[str]) -> None:
    code, printed, _ = isbench(*command, "--help")
    assert code == 0
    assert "Example:\n" in printed
    assert f"isbench {' '.join(command)}".strip() in printed


@pytest.mark.parametrize("command", [[], ["data"]])
def test_a_group_alone_shows_its_help(isbench: Isbench, command: list[str]) -> None:
    code, printed, errors = isbench(*command)
    assert code == 0
    assert printed.count("\n") > 10
    assert errors == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_the_front_page_says_what_the_command_says(name: str) -> None:
    command = cli.cli.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    assert command.short_help == COMMANDS[name]


def test_the_shell_completes_names(isbench: Isbench) -> None:
    line = "isbench run --model ne"
    environment = {**os.environ, "_ISBENCH_COMPLETE": "bash_complete", "COMP_WORDS": line}
    code = "from isbench.cli import main; main([])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "COMP_CWORD": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "nearest" in done.stdout


def test_a_card_in_the_working_folder_is_found(tmp_path: Path) -> None:
    lines = ["from isbench import Model", "from tests.support.toys import Disks"]
    (tmp_path / "here.py").write_text("\n".join([*lines, "card = Model('here', lambda: Disks())"]))
    arguments = ["run", "--model", "here:card", "--dataset", "sample", "--limit", "3"]
    script = Path(sys.executable).with_name("isbench")
    done = subprocess.run(
        [script, *arguments, "--workers", "2"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "here" in done.stdout


@pytest.mark.parametrize("name", ["[red]", "$\\foo$", "a|b", "h[/b]", "_x", "ümlaut #1"])
def test_strange_names_come_through_as_they_are(
    isbench: Isbench, tmp_path: Path, name: str
) -> None:
    root, out = write_folder_set(tmp_path / name, objects=3), tmp_path / f"out {name}"
    code, printed, _ = isbench(
        "run", "--model", TOY, "--dataset", f"folder:{root}", "--stop-iou", 1.01, "--out", out
    )
    assert code == 0
    assert f"folder:{root.name}" in printed
    assert str(out) in printed
    assert isbench("report", "--runs", out, "--plot", "iou_k", "--plot", "noc_hist")[0] == 0
    for form in ("rich", "latex", "markdown", "csv"):
        assert isbench("report", "--runs", out, "--format", form)[0] == 0


def test_runs_under_other_rules_are_told_apart(isbench: Isbench, out: Path) -> None:
    for rules in (Rules(), Rules(clicker="largest"), Rules(clicker="random", seed=4)):
        run(toys.card, toys.blobs(4), rules, out=out)
    _, printed, _ = isbench("report", "--runs", out)
    assert "clicker=largest" in printed
    assert "clicker=random" in printed
    _, printed, _ = isbench("report", "--runs", out, "--format", "csv")
    rows = list(csv.DictReader(printed.splitlines()))
    assert {(row["clicker"], row["seed"]) for row in rows} == {
        ("centre", "0"), ("largest", "0"), ("random", "4"),
    }  # fmt: skip


def test_a_view_wider_than_the_terminal_is_turned(played: Path) -> None:
    from rich.console import Console

    from isbench.reporting import tables
    from isbench.reporting.writer import choose_runs

    table = tables.make_frame(choose_runs([], played)[0])
    for width in (60, 80, 200):
        console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
        for drawn in make_terminal_tables(tables.make_table(table, "noc"), width):
            console.print(drawn)
        console.file.close()
        text = console.export_text()
        assert "…" not in text
        assert text.count("NoC@90") >= 1


def test_runs_over_different_data_are_not_compared(isbench: Isbench, tmp_path: Path) -> None:
    for number in range(2):
        root = write_folder_set(tmp_path / str(number) / "set", objects=2)
        if number:
            (root / "masks/picture00000__1.png").write_bytes(
                (root / "masks/picture00001__1.png").read_bytes()
            )
        isbench("run", "--model", TOY, "--dataset", f"folder:{root}", "--out", tmp_path / "runs")
    a, b = (store.digest_of_path(path) for path in store.find(tmp_path / "runs"))
    code, _, errors = isbench("compare", a, b, "--runs", tmp_path / "runs")
    assert code == 2
    assert "over different data (fingerprint" in errors


def test_a_damaged_run_does_not_hide_the_others_unless_it_is_named(
    isbench: Isbench, played: Path
) -> None:
    bad = played / "blobs" / "bad-000000000000.jsonl.gz"
    bad.write_bytes(b"no gzip")
    code, printed, said = isbench("report", "--runs", played)
    assert code == 0
    assert "bad-000000000000" in said
    assert "disks" in printed
    assert isbench("report", bad)[0] == 2
