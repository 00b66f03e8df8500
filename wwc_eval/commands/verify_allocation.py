"""``wwc-eval verify-allocation``: derive an allocation again from receipt, unit list and seed."""

from __future__ import annotations

import sys

import click

__all__ = ["command"]

FILE = click.Path(exists=True, dir_okay=False)


@click.command()
@click.argument("receipt", metavar="RECEIPT", type=FILE)
@click.argument("units", metavar="UNITS", type=FILE)
@click.option("--seed-file", type=FILE, help="File with the seed; asked for, unseen, where none is given.")
@click.option("--ledger", type=FILE, help="Ledger in which the allocation must stand.")
@click.option("--out", metavar="FILE", type=click.Path(dir_okay=False), help="Write the allocation as CSV.")
def command(receipt: str, units: str, seed_file: str | None, ledger: str | None, out: str | None) -> None:
    """Derive the allocation in RECEIPT again from the list UNITS (CSV) and the seed, and say what differs."""
    from pathlib import Path

    from wwc_eval.randomisation.verification import verify_allocation

    if seed_file is None:
        seed = click.prompt("Seed", hide_input=True, err=True)
    else:
        try:
            seed = Path(seed_file).read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise click.UsageError(f"{seed_file} is not text in UTF-8") from None
    verdict = verify_allocation(receipt, Path(units), seed, ledger=ledger)
    click.echo(str(verdict))
    if not verdict.ok:
        sys.exit(1)
    if out is not None and verdict.table is not None:
        from wwc_eval.data.writing import write_csv

        write_csv(verdict.table, out)
        click.echo(out)
