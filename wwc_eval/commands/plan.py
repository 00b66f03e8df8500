"""``wwc-eval plan``: check, lock, show and describe analysis plans."""

from __future__ import annotations

import json
from pathlib import Path

import click

__all__ = ["command"]

PLAN = click.argument("path", metavar="PLAN", type=click.Path(exists=True, dir_okay=False))


@click.group()
def command() -> None:
    """Check, lock and show analysis plans."""


@command.command()
@PLAN
def check(path: str) -> None:
    """Read PLAN and list every problem as file:line:column code message fix."""
    from wwc_eval.errors import PlanError
    from wwc_eval.plans import Plan
    from wwc_eval.plans.checks import CHECKS

    plan = Plan.load(path)
    problems = plan.check()
    if problems:
        raise PlanError(problems=problems)
    click.echo(f"{path}: no problem in {len(CHECKS)} checks. Hash {plan.hash[:12]}.")


@command.command()
@PLAN
@click.option("--amend", metavar="REASON", help="Why a plan that was locked before has changed.")
def lock(path: str, amend: str | None) -> None:
    """Lock PLAN: fix its hash, the time and the code in PLAN's name with .lock.json."""
    from wwc_eval.plans import Plan

    plan = Plan.load(path)
    before = plan.read_lock()
    made = plan.lock(amend=amend)
    verb = "Already locked" if before is not None and before.locked_at == made.locked_at else "Locked"
    click.echo(f"{verb}: {made.path} (plan hash {made.plan_sha256[:12]}, {made.locked_at}, level {made.level}).")
    click.echo("A hash proves that the plan is unchanged since. Register it to prove when it was written.")


@command.command()
@click.option("--out", type=click.Path(dir_okay=False), help="Write to a file instead of the screen.")
def schema(out: str | None) -> None:
    """Print the JSON Schema of a plan, for editors that complete and check YAML."""
    from wwc_eval.plans import Plan

    text = json.dumps(Plan.schema(), indent=2, ensure_ascii=False)
    if out is None:
        click.echo(text)
    else:
        Path(out).write_text(text + "\n", encoding="utf-8")
        click.echo(out)


@command.command()
@PLAN
def show(path: str) -> None:
    """Show PLAN in words: question, arms, outcomes, every analysis, lock and runs."""
    from wwc_eval.plans import Plan
    from wwc_eval.plans.description import describe

    click.echo(describe(Plan.load(path)))
