"""Tables of docs/methods/power_simulation.md from the record of the study."""

from __future__ import annotations

from typing import Any

BINARY = {
    "mixed_model": "logistic mixed model, Wald",
    "regression": "GLM, model-based",
    "regression_cr2": "GLM + CR2 + Satterthwaite",
    "regression_cr3": "GLM + CR3, t(4)",
    "randomisation_test": "randomisation test",
}
GAUSSIAN = {
    "hussey_hughes": "Hussey-Hughes",
    "nested_exchangeable": "nested exchangeable",
    "regression_cr2": "regression + CR2",
    "regression_cr3": "regression + CR3",
}
NESTED = {
    "mixed_model": "REML + Satterthwaite",
    "kenward_roger": "REML + Kenward-Roger",
    "cluster_summaries": "cluster summaries",
    "regression_cr2": "regression + CR2",
    "regression_cr3": "regression + CR3",
}
POWER = {
    "z": "formula, z",
    "mixed_model_z": "simulated, mixed model, z",
    "satterthwaite": "formula, Satterthwaite",
    "mixed_model": "simulated, mixed model, Satterthwaite",
    "clusters": "formula, clusters - 2",
    "between_within": "formula, between-within",
    "regression_cr2": "simulated, regression + CR2",
}


def percent(share: float) -> str:
    """A share with one decimal."""
    return f"{100 * share:.1f}%"


def table(record: dict[str, Any], part: str, names: dict[str, str], first: str) -> str:
    """One row a setting, one column an analysis."""
    lines = [f"| {first} | " + " | ".join(names.values()) + " |", "|---" * (len(names) + 1) + "|"]
    for setting, row in record[part].items():
        found = [row[name] for name in names]
        shown = [percent(each["rejects"] if isinstance(each, dict) else each) for each in found]
        lines.append(f"| {setting} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def tables(record: dict[str, Any]) -> list[str]:
    """Every table of the page."""
    return [
        table(record, "binary_wedge", BINARY, "drift SD (log odds)"),
        table(record, "gaussian_wedge", GAUSSIAN, "cluster-period variance"),
        table(record, "two_level", NESTED, "clusters"),
        table(record, "wedge_power", POWER, "clusters"),
    ]
