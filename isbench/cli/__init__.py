"""The command line: one command per file, imported when it is called."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from isbench.cli.flags import find_command, find_path, format_error
from isbench.cli.streams import OutputClosed, drop_output, flush_output, prepare_streams, print_note
from isbench.cli.usage import format_usage_error
from isbench.errors import ExtensionError, IsbenchError, make_unknown_error

# name -> short help; the command is `isbench.cli.<name>.<name>`, imported on use, which keeps help
# and completion fast; in code "-" is "_"
COMMANDS = {
    "run": "Run models on data sets and print a table.",
    "train": "Train a model's network with its recipe.",
    "report": "Print tables and draw plots of runs.",
    "reproduce": "Complete the runs of a paper's tables and write the tables.",
    "published": "List published figures of systems, with sources.",
    "predict": "Segment an image with given clicks.",
    "demo": "Segment images interactively on a local page.",
    "merge": "Merge the shards of runs from several machines.",
    "migrate": "Convert run files of isbench 0.1.",
    "compare": "Compare runs object by object, or gate a new run.",
    "export": "Write runs in the formats of other tools, or as a bundle.",
    "verify": "Check a bundle of runs, and replay some of its games.",
    "import": "Import results of other evaluators, to report them beside runs.",
    "data": "List, check, import and download data sets.",
    "datasets": "List the known data sets.",
    "models": "List the installed models or their costs.",
    "export-model": "Write a model's networks as ONNX files.",
    "clickers": "List the installed clickers.",
    "doctor": "Show versions and data, and what is missing.",
}
_NAMES = {"import": "import_results"}  # in code, where the command is a keyword of Python


class _Commands(click.Group):
    """A click group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = _NAMES.get(cmd_name, cmd_name.replace("-", "_"))
        command = getattr(import_module(f"isbench.cli.{name}"), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            if args[0] == "help":
                raise IsbenchError("no command named 'help'; see `isbench --help`")
            raise make_unknown_error("command", args[0], COMMANDS)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="isbench")
def cli() -> None:
    """Benchmark click-based interactive image segmentation.

    \b
    Example:
      isbench run --model nearest --dataset sample --stop-iou 1.01
      isbench report --plot iou_k

    \b
    Completion for bash (zsh and fish are similar):
      eval "$(_ISBENCH_COMPLETE=bash_source isbench)"
    """


def main(args: list[str] | None = None) -> None:
    """Run the command line; an error that a user can fix prints one line and exits with 2 or 1."""
    own = args is None  # this process is the command
    if own:
        prepare_streams()
    try:
        code = cli.main(args, prog_name="isbench", standalone_mode=False)
        flush_output()
    except OutputClosed:
        if own:
            drop_output()
        sys.exit(0)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(0)
    except (IsbenchError, click.ClickException, click.Abort, KeyboardInterrupt, OSError) as error:
        _fail(*_explain(error, sys.argv[1:] if args is None else args), own)
    sys.exit(code if isinstance(code, int) else 0)


def _explain(error: BaseException, words: list[str]) -> tuple[str, int]:
    """Return the message and the exit code of an error that a user can fix."""
    if isinstance(error, IsbenchError):
        if isinstance(error, ExtensionError) and error.details:
            click.echo(error.details, err=True)
        return format_error(error, find_command(cli, words)), error.exit_code
    if isinstance(error, click.ClickException):
        return format_usage_error(error, f"isbench{find_path(cli, words)}"), error.exit_code
    if isinstance(error, OSError):  # of a file that nobody expected to fail
        place = "standard output" if error.filename is None else error.filename
        fault = error.strerror or error
        return f"cannot read or write {place}: {fault}; recorded results are kept", 2
    return "stopped; recorded results are kept: run the same command again to resume", 130


def _fail(message: str, exit_code: int, own: bool) -> None:
    # a message from third-party code may contain line breaks
    print_note(" ".join(message.split()))
    try:
        flush_output()
    except Exception:  # it is the fault, or a second one: there is nothing more to say
        if own:
            drop_output()
    sys.exit(exit_code)
