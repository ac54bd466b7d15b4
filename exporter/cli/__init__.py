"""The command line: one module per command, imported when the command is, so that --help and --version stay quick.

No module here imports NumPy, rich or TensorFlow at its top; command bodies import what they use.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from typing import NoReturn

import click

import exporter
from exporter.cli import _signals
from exporter.errors import ExporterError

# command -> (module, one line for the overview)
COMMANDS = {
    "train": "train a reference model, seeded, with metrics",
    "convert": "convert a source to every format, run every artifact, compare",
    "verify": "run every artifact of a bundle again, from the bundle alone",
    "run": "run one artifact in one runtime on a file of inputs",
    "compare": "compare two output files, or two artifacts on the same inputs",
    "inspect": "signatures, ops, dtypes and sizes of any artifact",
    "sensitivity": "what each layer loses by being quantized, and costs in float",
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


_NO_ROOM = "free space, where the results go and where temporary files do (TMPDIR)"
_WHERE = "exporter --debug COMMAND … shows where it happened"


def fail(error: ExporterError) -> None:
    """Print an error the way every command does: what was found, then what to do."""
    if "--json" in sys.argv:
        import json

        click.echo(json.dumps({"error": {"code": error.code, "message": error.message, "hint": error.hint}}))
    click.secho(f"error: {error.message}", err=True, fg="red")
    if error.hint:
        click.echo(f"  {error.hint}", err=True)
    if error.log:
        click.echo(f"  log: {error.log}", err=True)


def _fail_usage(error: click.ClickException) -> None:
    """Click's own errors (an unknown option, a value it cannot take) in our words' form."""
    context = getattr(error, "ctx", None)
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):  # the whole help is the message
        error.show()
        return
    message = error.format_message()
    if isinstance(error, click.exceptions.NoSuchOption) and context is not None:
        from exporter.text import did_you_mean

        known = [name for option in context.command.get_params(context) for name in option.opts]
        message = f"no option {error.option_name!r}{did_you_mean(error.option_name, known)}"
    hint = f"see {context.command_path} --help" if context is not None else ""
    fail(ExporterError("usage", (message[:1].lower() + message[1:]).rstrip("."), hint))


def main() -> None:
    """Entry point of the `exporter` script."""
    run_command(group)


def run_command(command: click.Command) -> NoReturn:
    """Run a command with the process' own arguments; every error is one clear message and an exit status."""
    if sys.platform == "win32":
        sys.exit("exporter runs on Linux and macOS; on Windows use WSL")
    # closed by a shell (>&-) or a daemon: Python then has no stream at all, and printing would be an error
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 (lives as long as the process)
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    _signals.catch()
    debug = "--debug" in sys.argv
    try:
        status = command.main(standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        _fail_usage(error)
        sys.exit(error.exit_code)
    except _signals.Stopped as stop:
        word = "interrupted" if stop.args[0] == signal.SIGINT else "terminated"
        click.echo(f"{word}: nothing was written, and earlier results are as they were", err=True)
        click.echo("  run the same command again to start over", err=True)
        sys.exit(128 + int(stop.args[0]))
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
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        fail(ExporterError("system", str(error), _NO_ROOM if full else _WHERE))
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        fail(ExporterError("internal", f"this is a fault of exporter, not of your model ({what})", _WHERE))
        sys.exit(1)
