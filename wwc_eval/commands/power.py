"""``wwc-eval power``: what a plan's trial was sized for, recomputed, and its analysis simulated."""

from __future__ import annotations

import math
import sys

import click

__all__ = ["command"]


@click.command()
@click.argument("path", metavar="PLAN", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--simulate", "reps", metavar="REPS", type=click.IntRange(min=1), help="Simulate so many trials too."
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the simulation; there is no default.")
@click.option("--effect", type=float, help="True effect of the simulation; the plan's where missing.")
@click.option("--analysis", metavar="ID", help="Analysis of the plan to simulate; the primary one where missing.")
@click.option(
    "--drift-sd", type=click.FloatRange(min=0), default=0.0, help="Drift between clusters and periods of a wedge."
)
@click.option("--jobs", type=int, default=1, show_default=True, help="Workers; -1 for all cores.")
def command(
    path: str,
    reps: int | None,
    seed: int | None,
    effect: float | None,
    analysis: str | None,
    *,
    drift_sd: float,
    jobs: int,
) -> None:
    """Power at the effect that PLAN states, what it can detect, and the size needed.

    With --simulate the analysis that the plan writes is made of simulated trials: its power, bias and coverage, and
    its type I error where there is no effect.
    """
    from wwc_eval.plans import Plan

    if reps is None and (seed is not None or effect is not None or analysis is not None or drift_sd > 0):
        raise click.UsageError("--seed, --effect, --analysis and --drift-sd go with --simulate REPS")
    if reps is not None and seed is None:
        raise click.UsageError("--simulate needs a --seed: a simulation has no default one")
    plan = Plan.load(path)
    click.echo(str(plan.power()))
    if reps is not None:
        found = plan.simulate(
            effect,
            reps,
            rng=seed,
            analysis=analysis,
            drift_sd=drift_sd,
            n_jobs=jobs,
            progress=sys.stderr.isatty(),
            null=True,
        )
        click.echo("")
        click.echo(str(found))
        if not math.isnan(found.type_one) and found.records[0].truth != 0:
            click.echo(f"Type I error: {100 * found.type_one:.1f}% (MC error {100 * found.type_one_mc_se:.2f}%).")
