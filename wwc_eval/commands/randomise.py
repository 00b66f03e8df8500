"""``wwc-eval randomise``: allocate the units of a list as a locked plan says, and enter it in a ledger."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]

FILE = click.Path(exists=True, dir_okay=False)


@click.command()
@click.argument("plan", metavar="PLAN", type=FILE)
@click.option("--units", required=True, type=FILE, help="List of the units (CSV): one row each.")
@click.option(
    "--out", required=True, metavar="DIR", type=click.Path(file_okay=False), help="Folder of the record."
)
@click.option("--by", required=True, metavar="NAME", help="Who randomises.")
@click.option("--seed-file", type=FILE, help="File with the seed; asked for, unseen, where none is given.")
@click.option(
    "--public-value", help="The public value that the plan names: the seed is derived from lock and value."
)
@click.option("--mask", is_flag=True, help="Write arms as A, B, ... for the analyst, and the key apart.")
@click.option("--note", default="", help="Anything a reader of the ledger should know.")
def command(
    plan: str,
    units: str,
    out: str,
    by: str,
    *,
    seed_file: str | None,
    public_value: str | None,
    mask: bool,
    note: str,
) -> None:
    """Allocate the UNITS by the scheme of a locked PLAN.

    Writes allocation.csv, receipt.json and ledger.jsonl to DIR; with --mask also allocation_masked.csv for the analyst
    and arm_key.json, which is to be kept sealed. Data are not needed: whoever randomises needs the list and the plan.
    """
    from wwc_eval.plans import Plan
    from wwc_eval.plans.randomising import randomise_plan

    if seed_file is not None and public_value is not None:
        raise click.UsageError("give --seed-file or --public-value, not both")
    seed = None
    if seed_file is not None:
        try:
            seed = Path(seed_file).read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise click.UsageError(f"{seed_file} is not text in UTF-8") from None
    elif public_value is None:
        seed = click.prompt("Seed", hide_input=True, confirmation_prompt=True, err=True)
    record = randomise_plan(
        Plan.load(plan), Path(units), Path(out), by=by, seed=seed, public_value=public_value, mask=mask, note=note
    )
    click.echo(record.summary)
    for path in record.files:
        click.echo(str(path))
