"""``wwc-eval demo``: the whole way from plan to report on synthetic data."""

from __future__ import annotations

import sys

import click

__all__ = ["command"]


@click.command()
@click.option(
    "--into", default="demo", show_default=True, metavar="DIR", type=click.Path(file_okay=False),
    help="Folder for the plan, the data and the runs.",
)  # fmt: skip
def command(into: str) -> None:
    """Check, lock, run and verify a sample trial; ends with the path of its report."""
    from pathlib import Path

    from wwc_eval.plans import Plan
    from wwc_eval.plans.examples import copy_example
    from wwc_eval.plans.verifying import verify_run

    path = copy_example("family_conferencing_trial", Path(into))
    plan = Plan.load(path)
    plan.require_sound()
    click.echo(f"1 Checked  {path}: no problem found.")
    lock = plan.lock()
    click.echo(f"2 Locked   plan hash {lock.plan_sha256[:12]}, {lock.locked_at}.")
    number = sum(1 for _ in Path(into).glob("runs/*")) + 1
    folder = Path(into) / "runs" / f"{number:03d}"
    results = plan.run(out=folder, progress=sys.stderr.isatty())
    click.echo(f"3 Ran      {results.headline}")
    verdict = verify_run(folder)
    click.echo(f"4 Verified {verdict}")
    if results.failed or not verdict.ok:
        sys.exit(1)
    click.echo("Open the report in a browser:")
    click.echo(str((folder / "report.html").resolve()))
