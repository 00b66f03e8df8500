"""Tables of the pages on power from the records of the studies of formulas."""

from __future__ import annotations

from typing import Any


def points(share: float) -> str:
    """A share in percent with one decimal."""
    return f"{100 * share:.1f}"


def rows(head: list[str], body: list[list[str]]) -> str:
    """A table whose first column is text."""
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(each) + " |" for each in body])


def exact(record: dict[str, Any]) -> str:
    """Formulas of wedges, crossovers and panels that are exact."""
    body = [
        [
            row["study"],
            points(row["formula"]),
            points(row["simulated"]),
            f"{100 * (row['formula'] - row['simulated']):+.1f}",
        ]
        for row in record["exact"]
    ]
    return rows(["Design", "Formula", "Simulated", "Error"], body)


def analysed(record: dict[str, Any]) -> str:
    """Formulas by degrees of freedom, and the power of the analyses."""
    formulas = {
        "z": "z",
        "satterthwaite": "Satterthwaite",
        "clusters": "clusters - 2",
        "between_within": "between-within",
    }
    analyses = {
        "mixed_model_z": "mixed model, z",
        "mixed_model": "mixed model",
        "regression_cr1": "CR1",
        "regression_cr2": "CR2",
        "regression_cr3": "CR3",
        "permutation": "permutation",
    }
    body = []
    for name, row in record["analysed"].items():
        given = [points(row["formula"][each]) if each in row["formula"] else "" for each in formulas]
        found = [points(row["simulated"][each]) if each in row["simulated"] else "" for each in analyses]
        body.append([name, *given, *found])
    head = [f"formula, {each}" for each in formulas.values()] + list(analyses.values())
    return rows(["Design", *head], body)


def working(record: dict[str, Any]) -> str:
    """Errors of the working variances."""
    forms = list(dict.fromkeys(form for row in record["working"].values() for form in row["formula"]))
    body = [
        [
            name,
            points(row["simulated"]),
            *(
                f"{100 * (row['formula'][f] - row['simulated']):+.1f}" if f in row["formula"] else ""
                for f in forms
            ),
        ]
        for name, row in record["working"].items()
    ]
    return rows(["Design", "Simulated", *forms], body)


def events(record: dict[str, Any]) -> str:
    """Clustered times to an event."""
    body = [
        [
            name,
            points(row["formula"]),
            *(points(row[test]) for test in ("cox_cr1", "cluster_summaries", "cox")),
            f"{100 * (row['formula'] - row['cox_cr1']):+.1f}",
        ]
        for name, row in record["rows"].items()
    ]
    return rows(["Design", "Formula", "robust Cox", "log rates", "Cox, clusters ignored", "Error"], body)
