"""``wwc-eval run``: run a locked plan and write its report."""

from __future__ import annotations

import sys
from pathlib import Path

import click

__all__ = ["command"]


@click.command()
@click.argument("path", metavar="PLAN", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--out", required=True, metavar="DIR", type=click.Path(file_okay=False), help="Folder for the outputs."
)
@click.option("--draft", is_flag=True, help="Run without a lock; everything is marked as a draft.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def command(path: str, out: str, *, draft: bool, quiet: bool) -> None:
    """Run every analysis of PLAN and write results, report and figures to DIR."""
    from wwc_eval.plans import Plan

    results = Plan.load(path).run(out=out, draft=draft, progress=not quiet and sys.stderr.isatty())
    click.echo(str(results))
    click.echo(f"Report: {Path(out) / 'report.html'}")
    if results.failed:
        click.echo(f"Not estimated: {', '.join(results.failed)}. The report says why.", err=True)
        sys.exit(1)
