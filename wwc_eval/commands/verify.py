"""``wwc-eval verify``: compute a run again and compare it with what was written."""

from __future__ import annotations

import sys

import click

__all__ = ["command"]


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@click.option(
    "--plan", type=click.Path(exists=True, dir_okay=False), help="The plan, if it has moved since the run."
)
def command(folder: str, plan: str | None) -> None:
    """Compute the run in DIR again and say the first thing that differs."""
    from wwc_eval.plans.verifying import verify_run

    verdict = verify_run(folder, plan=plan)
    click.echo(str(verdict))
    if not verdict.ok:
        sys.exit(1)
