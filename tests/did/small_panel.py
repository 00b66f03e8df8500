"""A panel of four authorities that tests change, and what a panel says of itself."""

import pandas as pd

import wwc_eval as we


def frame(units=("Bury", "Hull", "Kent", "York"), years=(2016, 2017, 2018, 2019), first=None):
    """A small balanced panel; Bury joins in 2018."""
    first = {"Bury": 2018} if first is None else first
    rows = [
        {"la": la, "year": year, "rate": 40.0 + 3 * i + (year % 10) - 2 * (first.get(la, 9999) <= year), "joined": first.get(la, 0),
         "on": int(first.get(la, 9999) <= year), "children": 1000 * (i + 1), "count": 4 * (i + 1)}
        for i, la in enumerate(units)
        for year in years
    ]  # fmt: skip
    return pd.DataFrame(rows)


def panel(data=None, **options):
    options = {"unit": "la", "period": "year", "outcome": "rate", "cohort": "joined", **options}
    return we.Panel(frame() if data is None else data, **options)


def codes(found):
    return [one.code for one in found.findings]


def said(found):
    return " | ".join(one.message for one in found.findings)
