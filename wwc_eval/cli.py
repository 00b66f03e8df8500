"""The command ``wwc-eval``: verbs are files in ``commands/``, found by name and loaded when called.

Exit status: 0 all is well, 1 problems were found, 2 wrong usage.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys

import click

import wwc_eval
from wwc_eval import commands
from wwc_eval.errors import WwcError

__all__ = ["main"]


class Verbs(click.Group):
    """Group whose commands are the modules of ``wwc_eval.commands``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the verbs."""
        del ctx
        names = (module.name for module in pkgutil.iter_modules(commands.__path__))
        return sorted(name.replace("_", "-") for name in names if not name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one verb."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{commands.__name__}.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 all is well, 1 problems were found, 2 wrong usage.",
)
@click.version_option(wwc_eval.__version__, prog_name="wwc-eval")
def group() -> None:
    """Run and check pre-registered evaluations of children's social care."""


def main() -> None:
    """Entry point: problems become messages and exit status 1, never a traceback."""
    try:
        group(prog_name="wwc-eval", standalone_mode=True)
    except WwcError as error:
        report_problems(error)
        sys.exit(1)
    except BrokenPipeError:
        # the reader of our output left; say nothing more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        click.echo(f"{name}{error.strerror or error}", err=True)
        sys.exit(1)


def report_problems(error: WwcError) -> None:
    """Print every problem on a line of its own, and their number."""
    for problem in error.problems:
        click.echo(str(problem), err=True)
    count = len(error.problems)
    click.echo(f"{count} problem{'s' if count != 1 else ''} found.", err=True)


if __name__ == "__main__":
    main()
