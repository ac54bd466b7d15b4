"""The command line: one module per command, imported when the command is, so that --help and --version stay quick.

No module here imports NumPy, rich or TensorFlow at its top; command bodies import what they use.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from types import FrameType

import click

import exporter
from exporter.errors import ExporterError

# command -> (module, one line for the overview)
COMMANDS = {
    "train": "train a reference model, seeded, with metrics",
    "convert": "convert a source to every format, run every artifact, compare",
    "verify": "run every artifact of a bundle again, from the bundle alone",
    "run": "run one artifact in one runtime on a file of inputs",
    "compare": "compare two output files, or two artifacts on the same inputs",
    "inspect": "signatures, ops, dtypes and sizes of any artifact",
    "models": "the reference models",
    "formats": "the formats and their options",
    "runtimes": "the runtimes, and whether they work here",
    "doctor": "what works here, and the command that fixes what does not",
}


class Commands(click.Group):
    """Commands by name, their modules imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"exporter.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from exporter.text import did_you_mean

        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            ctx.fail(f"no command {args[0]!r}{did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(exporter.__version__, prog_name="exporter")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def group(ctx: click.Context, debug: bool) -> None:
    """Export TensorFlow/Keras models, run every artifact in its own runtime, and compare the numbers.

    Exit status: 0 every artifact is confirmed, 1 something differs or failed, 2 usage, 3 a required runtime is
    missing or nothing could be run, 130 interrupted.
    """
    ctx.obj = debug


class _Terminated(BaseException):
    """SIGTERM, raised where the main thread is, so that workers and temporary files are cleaned up."""


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    raise _Terminated


def fail(error: ExporterError) -> None:
    """Print an error the way every command does: what was found, then what to do."""
    click.secho(f"error: {error.message}", err=True, fg="red")
    if error.hint:
        click.echo(f"  {error.hint}", err=True)
    if error.log:
        click.echo(f"  log: {error.log}", err=True)


def main() -> None:
    """Entry point of the `exporter` script."""
    if sys.platform == "win32":
        sys.exit("exporter runs on Linux and macOS; on Windows use WSL")
    signal.signal(signal.SIGTERM, _on_sigterm)
    debug = "--debug" in sys.argv
    try:
        status = group.main(standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except _Terminated:
        click.echo("terminated", err=True)
        sys.exit(143)
    except BrokenPipeError:
        # the reader of our stdout went away (head, less): not an error worth words
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except ExporterError as error:
        if debug:
            raise
        fail(error)
        sys.exit(error.exit_status)
    except OSError as error:
        if debug:
            raise
        fail(ExporterError("system", str(error), "see --debug for where it happened"))
        sys.exit(1)
