"""``wwc-eval fidelity``: score ratings against a specification of practice."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]

FILE = click.Path(exists=True, dir_okay=False)


@click.command()
@click.argument("specification", metavar="SPEC", type=FILE)
@click.argument("ratings", metavar="RATINGS", type=FILE, required=False)
@click.option(
    "--units", metavar="A,B,C", help="Columns of the units, the lowest first; the specification's names."
)
@click.option("--by", metavar="UNIT", help="Level of the table that is shown; the highest where missing.")
@click.option("--out", metavar="DIR", type=click.Path(file_okay=False), help="Folder of tables (CSV) and figures.")
@click.option("--delimiter", default=",", show_default=True, help="What separates the fields of RATINGS.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of specifications, for editors.")
def command(
    specification: str,
    ratings: str | None,
    *,
    units: str | None,
    by: str | None,
    out: str | None,
    delimiter: str,
    schema: bool,
) -> None:
    """Score RATINGS (one row a rating) against the specification SPEC.

    Without RATINGS the specification is checked and shown, with the hash that a plan names. Every fault of either
    file is named with its place. With --out the tables items, components, units, bands, sensitivity, reliability,
    differentiation, raters and alerts, a heat map and a funnel are written.
    """
    import json

    from wwc_eval.data import read_table
    from wwc_eval.fidelity.specification.specification import FidelitySpecification

    spec = FidelitySpecification.load(specification)
    if schema:
        click.echo(json.dumps(spec.json_schema(), indent=2))
        return
    if ratings is None:
        if units is not None or by is not None or out is not None:
            raise click.UsageError("--units, --by and --out go with RATINGS")
        click.echo(str(spec))
        click.echo(f"sha256: {spec.hash}")
        return
    table = read_table(ratings, delimiter=delimiter)
    scores = spec.score(table, [name.strip() for name in units.split(",")] if units else None)
    click.echo(str(scores.by(by) if by else scores))
    if spec.document.reliability is not None:
        click.echo()
        click.echo(str(scores.reliability))
    if out is not None:
        from wwc_eval.fidelity.scoring.writing import write_scores

        for path in write_scores(scores, Path(out)):
            click.echo(str(path))
