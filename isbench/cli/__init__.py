"""The command line: one command a file, found here by name and imported when it is called."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from isbench.errors import IsbenchError, PredictorError, unknown

# name -> what it does; the command is `isbench.cli.<name>.<name>`, imported on use, so that help
# and completion answer at once
COMMANDS = {
    "run": "Play models on data sets and print the table.",
    "train": "Train a model's network by its recipe.",
    "report": "Print tables and draw plots of runs.",
    "reproduce": "Play what the paper's tables lack, and write them.",
    "predict": "Segment an image by clicks that are given.",
    "demo": "Segment images by hand on a local page.",
    "merge": "Join shards that several machines played.",
    "migrate": "Convert run files of isbench 0.1.",
    "compare": "Compare two runs object by object.",
    "data": "List, check, import and download data sets.",
    "datasets": "Show what data sets there are.",
    "models": "Show what models there are, and what they cost.",
    "doctor": "Show versions and data, and what is missing.",
}


class _Commands(click.Group):
    """A group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"isbench.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise unknown("command", args[0], COMMANDS)
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
      isbench run --model nearest --dataset sample
      isbench report --plot iou_k

    \b
    Completion for bash (zsh and fish likewise):
      eval "$(_ISBENCH_COMPLETE=bash_source isbench)"
    """


def main(args: list[str] | None = None) -> None:
    """Run the command line; what a user can mend ends in one line and exit code 2 (or 1)."""
    try:
        code = cli.main(args, prog_name="isbench", standalone_mode=False)
    except IsbenchError as error:
        if isinstance(error, PredictorError) and error.details:
            click.echo(error.details, err=True)
        _fail(str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(0)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _fail("stopped; what is recorded is kept, and the same command goes on from there", 130)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        sys.stderr.close()
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, exit_code: int) -> None:
    click.echo(f"isbench: {' '.join(message.split())}", err=True)  # a stranger's may have breaks
    sys.exit(exit_code)
