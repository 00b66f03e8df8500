"""What each column of the sample files holds: one entry a column, in the order of the file."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PANEL_COLUMNS", "TRIAL_COLUMNS", "Entry", "column_table"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One column: its type as a plan declares it, units, allowed values, missing codes and what it is.

    ``code`` is written where the value is missing; None where it never is. ``decimals`` applies to numbers.
    """

    name: str
    type: str
    what: str
    allowed: str = ""
    units: str = ""
    code: str | None = None
    decimals: int = 4


TRIAL_COLUMNS: tuple[Entry, ...] = (
    Entry(
        name="child_id", type="text", allowed="six digits, unique", what="Child, numbered by family. Keep as text."
    ),
    Entry(
        name="family_id",
        type="text",
        allowed="five digits",
        what="Family, numbered in order of randomisation: the unit that was randomised. Keep as text.",
    ),
    Entry(
        name="local_authority",
        type="local_authority",
        allowed="21 invented names",
        what="Stratum of the randomisation. Their log odds of the outcome differ with a standard deviation of 0.25.",
    ),
    Entry(
        name="arm",
        type="category",
        allowed="usual, conference",
        what="Services as usual, or the offer of a family conference. Permuted blocks of 2 and 4 within authority, 1:1.",
    ),
    Entry(
        name="randomised_on",
        type="date",
        allowed="2024-03-01 to 2025-03-03, working days",
        what="Date randomised.",
    ),
    Entry(
        name="referred_on", type="date", allowed="before randomised_on", what="Referral: 8 to 180 days earlier."
    ),
    Entry(
        name="age",
        type="integer",
        units="years",
        allowed="0 to 18",
        what="Age at randomisation. 12 children are 18: they are not eligible. Infants have a higher risk.",
    ),
    Entry(
        name="sex",
        type="category",
        allowed="female, male",
        code="not known",
        what="Not known for 1.5%, at random.",
    ),
    Entry(
        name="ethnicity",
        type="category",
        allowed="white, mixed, asian, black, other",
        code="",
        what="Siblings mostly share it. Missing for 90% in Aldercombe and 2.5% elsewhere.",
    ),
    Entry(name="disability", type="binary", allowed="0, 1", what="Recorded disability, 14%."),
    Entry(
        name="previous_plan",
        type="binary",
        allowed="0, 1",
        what="The family had an earlier child protection plan. Raises the risk.",
    ),
    Entry(
        name="main_need",
        type="category",
        allowed="neglect, emotional abuse, physical abuse, sexual abuse, family dysfunction",
        what="Main category of need of the family.",
    ),
    Entry(
        name="family_needs",
        type="integer",
        units="points",
        allowed="0 to 40",
        code="",
        what="Family needs score at referral, mean 17, SD 6; a higher score raises the risk. Missing for 30% in "
        "Larchmere and 3% elsewhere.",
    ),
    Entry(
        name="conference_held",
        type="binary",
        allowed="0, 1",
        what="A conference was held. About 87% of families offered one, fewer where needs are high, and 2% of the others.",
    ),
    Entry(
        name="consent_withdrawn",
        type="binary",
        allowed="0, 1",
        what="The family withdrew consent after randomisation (16 families, at random). No outcome is held for them.",
    ),
    Entry(
        name="in_care_12m",
        type="binary",
        allowed="0, 1",
        code="",
        what="In care 12 months after randomisation. Missing where the family was lost: about 5%, three times as "
        "likely in Fallowgarth and 1.3 times after an earlier plan.",
    ),
    Entry(
        name="days_in_care",
        type="integer",
        units="days",
        allowed="0 to 365",
        code="",
        what="Days in care in those 12 months: 0 for most children not in care at the end, at least 1 for the others.",
    ),
    Entry(
        name="proceedings",
        type="binary",
        allowed="0, 1",
        code="",
        what="Care proceedings were issued within 12 months.",
    ),
)

_COUNTS = (
    ("cla", "Children looked after at 31 March"),
    ("cla_starts", "Children who started to be looked after in the year. The programme lowers it"),
    ("cin", "Children in need at 31 March"),
    ("cpp", "Children on a child protection plan at 31 March"),
    ("s47", "Section 47 enquiries in the year"),
    ("referrals", "Referrals in the year"),
)

PANEL_COLUMNS: tuple[Entry, ...] = (
    Entry(name="la_code", type="text", allowed="001 to 153", what="Invented code. Keep as text."),
    Entry(name="local_authority", type="local_authority", allowed="153 invented names", what="Authority."),
    Entry(name="region", type="category", allowed="nine English regions", what="As many authorities as in 2025."),
    Entry(name="year", type="integer", allowed="2016 to 2025", what="Year ending 31 March."),
    Entry(
        name="child_population",
        type="integer",
        units="children",
        what="Children aged 0 to 17. In 2024: median 61,295, coefficient of variation 0.76.",
    ),
    *(
        entry
        for name, words in _COUNTS
        for entry in (
            Entry(name=name, type="integer", units="count", allowed="0 or more", what=f"{words}."),
            Entry(
                name=f"{name}_rate",
                type="number",
                units="per 10,000 children",
                what=f"10,000 x {name} / child_population.",
            ),
        )
    ),
    Entry(name="rereferrals", type="integer", units="count", what="Referrals within 12 months of an earlier one."),
    Entry(name="rereferral_pct", type="number", units="percent", what="100 x rereferrals / referrals."),
    Entry(
        name="programme_from",
        type="integer",
        allowed="2020 to 2023",
        code="",
        what="First year of the programme; blank for the authorities that never joined.",
    ),
    Entry(name="programme", type="binary", allowed="0, 1", what="1 from the first year of the programme on."),
)


def column_table(entries: tuple[Entry, ...]) -> str:
    """Markdown table of the columns."""
    lines = [
        "| Column | Type | Units | Allowed | Missing | What it is |",
        "| :--- | :--- | :--- | :--- | :--- | :--- |",
    ]
    for entry in entries:
        code = "never" if entry.code is None else (f"`{entry.code}`" if entry.code else "blank")
        cells = (f"`{entry.name}`", entry.type, entry.units, entry.allowed, code, entry.what)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
