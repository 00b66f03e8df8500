"""The disclosure rule, and how much of the report it hides."""

from __future__ import annotations

from wwc_eval.report.blocks import Block, Facts, Section, Text
from wwc_eval.report.record import RunRecord
from wwc_eval.report.words import clean, count_text, flatten, title_case
from wwc_eval.table import MISSING

ORDER = 900
TITLE = "Disclosure control"

_PROFILES = {
    "dfe": "Department for Education statistics",
    "ons_srs": "ONS Secure Research Service",
    "strict": "Strict",
}


def build(record: RunRecord) -> Section:
    """Rule, threshold and the number of cells not shown."""
    rule = record.disclosure
    if not rule:
        return Section(title=TITLE, blocks=[Text(text="No disclosure rule was applied to this run.")])
    blocks: list[Block] = []
    hidden = rule.get("suppressed")
    if hidden is not None:
        none = "No count of this report had to be hidden."
        one = "One count of this report is hidden."
        many = f"{count_text(hidden)} counts of this report are hidden."
        blocks.append(Text(text={0: none, 1: one}.get(hidden, many) if isinstance(hidden, int) else many))
    pairs: list[tuple[str, str | tuple[str, ...]]] = []
    if rule.get("rule"):
        pairs.append(("Rule", clean(rule["rule"])))
    if rule.get("threshold") is not None:
        pairs.append(("Threshold", f"Counts below {count_text(rule['threshold'])} are not shown"))
    if rule.get("profile"):
        name = str(rule["profile"])
        pairs.append(("Profile", f"{_PROFILES[name]} ({name})" if name in _PROFILES else clean(name)))
    rest = {
        key: value
        for key, value in rule.items()
        if key not in {"rule", "threshold", "profile", "suppressed"} and value is not None
    }
    pairs += [(title_case(name), text or MISSING) for name, text in flatten(rest)]
    return Section(
        title=TITLE, blocks=[*blocks, Facts(caption="Disclosure rule", pairs=pairs)] if pairs else blocks
    )
