"""How often models of the two multilevel samples reject where there is no effect.

``python tests/data/samples_levels.py`` writes the record again (about 5 minutes on one thread).
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

import wwc_eval as we
from wwc_eval.data.samples import schools_s47_trial
from wwc_eval.data.samples.draws import Draws
from wwc_eval.data.samples.wedge import _draw as draw_wedge

RECORD = Path(__file__).resolve().parents[1] / "reference" / "samples_levels.json"
SCHOOLS, WEDGES = range(5_000, 5_240), range(7_000, 7_400)
SCHOOLS_METHODS = ("negative binomial, (1 | local_authority)",)
WEDGE_METHODS = ("logistic, (1 | la)", "logistic, (1 | la/period)", "GLM, CR2", "GLM, CR3")


def schools_p_values(seed: int) -> list[float]:
    """P-value of the arm in one schools trial without an effect."""
    seen = schools_s47_trial(seed, rate_ratio=1.0).dropna(subset=["s47_enquiries", "s47_rate_before"])
    fit = we.multilevel_model(
        "s47_enquiries ~ arm + sqrt(s47_rate_before) + phase + (1 | local_authority)",
        seen,
        family="negative_binomial",
        exposure="pupils",
    )
    return [fit.estimates["arm[social worker]"].p_value]


def wedge_p_values(seed: int) -> list[float]:
    """P-values of the arm in one stepped wedge without an effect, by method; cells of authority and period."""
    draws = Draws(seed)
    drawn = draw_wedge(draws, 27_000, odds_ratio=1.0, base_risk=0.07, la_sd=0.20, drift_sd=0.10)
    children = pd.DataFrame({
        "la": drawn.authority.astype(str),
        "period": (drawn.period + 1).astype(str),
        "arm": (drawn.since >= 0).astype(int),
        "events": draws.happens(drawn.risk(0.0), 27_000).astype(int),
        "children": 1,
    })  # fmt: skip
    cells = children.groupby(["la", "period", "arm"], as_index=False).sum()
    found = [
        we.multilevel_model(f"events / children ~ arm + period + {random}", cells, family="binomial")
        for random in ("(1 | la)", "(1 | la/period)")
    ]
    formula = "events / children ~ arm + period + la"
    found += [we.regression(formula, cells, family="binomial", vcov=kind, cluster="la") for kind in ("CR2", "CR3")]
    return [fit.estimates["arm"].p_value for fit in found]


def main() -> None:
    """Run the study and write its record."""
    studies = {
        "schools": (SCHOOLS, SCHOOLS_METHODS, schools_p_values),
        "wedge": (WEDGES, WEDGE_METHODS, wedge_p_values),
    }
    record = {
        "source": "samples without an effect, p-values of the arm",
        "command": "python tests/data/samples_levels.py",
    } | {
        name: {
            "first_seed": seeds[0],
            "methods": methods,
            "p_values": [[round(p, 8) for p in run(s)] for s in seeds],
        }
        for name, (seeds, methods, run) in studies.items()
    }
    RECORD.write_text(json.dumps(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
