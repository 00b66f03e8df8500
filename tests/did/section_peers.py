"""Figures of other programs for effects from cross-sections given covariates: writes JSON to standard output.

Run in an environment of its own that has drdid, csdid, moderndid and diff-diff: ``python tests/did/section_peers.py``.
"""

import contextlib
import io
import json
import sys
import warnings
from importlib.metadata import version

import numpy as np
from section_data import section_children

METHODS = {"dr": "dr", "ipw": "ipw", "or": "reg"}
CASES = [
    ("nevertreated", "varying", 0, False),
    ("nevertreated", "varying", 0, True),
    ("notyettreated", "universal", 0, False),
    ("notyettreated", "varying", 1, True),
]


def prepared():
    """The data with indicators in place of the need code, as all the programs read them."""
    data = section_children()
    data["n2"], data["n3"] = (data["need"] == "N2").astype(float), (data["need"] == "N3").astype(float)
    return data.assign(row=np.arange(len(data)))


def of_csdid(data, case, method):
    """Every effect with its error, and the averages, by csdid."""
    from csdid.att_gt import ATTgt

    control, base, anticipation, weighted = case
    fit = ATTgt(
        yname="y", tname="year", idname="row", gname="start", data=data.copy(), control_group=[control],
        xformla="y ~ age + female + n2 + n3 + x", panel=False, weights_name="w" if weighted else None,
        anticipation=anticipation,
    ).fit(est_method=METHODS[method], base_period=base, bstrap=False)  # fmt: skip
    found = fit.results
    names = {"group": "group", "t": "year", "att": "att", "se": "se"}
    rows = {name: [float(x) if np.isfinite(x) else None for x in found[own]] for name, own in names.items()}
    for kind in ("simple", "group", "calendar", "dynamic"):
        fit.aggte(typec=kind, bstrap=False, cband=False)
        rows[f"agg_{kind}"] = [float(np.ravel(fit.atte[name])[0]) for name in ("overall_att", "overall_se")]
    return rows


def of_moderndid(data, case, method):
    """Every effect with its error by moderndid."""
    from moderndid import att_gt

    control, base, anticipation, weighted = case
    fit = att_gt(
        data=data, yname="y", tname="year", gname="start", idname="row", xformla="~ age + female + n2 + n3 + x",
        weightsname="w" if weighted else None, est_method=METHODS[method], panel=False, control_group=control,
        anticipation=anticipation, base_period=base, boot=False, cband=False,
    )  # fmt: skip
    return {
        "group": [float(g) for g in fit.groups],
        "t": [float(t) for t in fit.times],
        "att": [float(a) for a in fit.att_gt],
        "se": [float(s) if np.isfinite(s) else None for s in fit.se_gt],
    }


def of_diff_diff(data, case, method):
    """Every effect with its error by diff-diff."""
    from diff_diff import CallawaySantAnna

    control, base, anticipation, weighted = case
    if weighted:
        return None
    fit = CallawaySantAnna(
        control_group={"nevertreated": "never_treated", "notyettreated": "not_yet_treated"}[control],
        anticipation=anticipation, estimation_method=METHODS[method], base_period=base, panel=False, seed=1,
    ).fit(
        data, outcome="y", unit="row", time="year", first_treat="start",
        covariates=["age", "female", "n2", "n3", "x"],
    )  # fmt: skip
    cells = fit.group_time_effects
    return {
        "group": [float(g) for g, _ in cells],
        "t": [float(t) for _, t in cells],
        "att": [float(cell["effect"]) for cell in cells.values()],
        "se": [float(cell["se"]) if np.isfinite(cell["se"]) else None for cell in cells.values()],
    }


def of_drdid(data, method):
    """One effect, its error by row and the influence of rows added up by area, by drdid (cohort 2021 in 2022)."""
    from drdid import _estimators

    used = data[data["start"].isin([0, 2021]) & data["year"].isin([2020, 2022])]
    verb = {"dr": "drdid_rc", "ipw": "std_ipw_did_rc", "or": "reg_did_rc"}[method]
    x = np.column_stack([np.ones(len(used)), used[["age", "female", "n2", "n3", "x"]]])
    att, influence = getattr(_estimators, verb)(
        used["y"].to_numpy(), (used["year"] == 2022).to_numpy() * 1, (used["start"] > 0).to_numpy() * 1,
        covariates=x, i_weights=used["w"].to_numpy(),
    )  # fmt: skip
    each = influence / len(used)
    by_area = np.array([each[(used["area"] == area).to_numpy()].sum() for area in sorted(set(used["area"]))])
    return {
        "att": float(att),
        "se": float(np.sqrt((each**2).sum())),
        "by_area": float(np.sqrt((by_area**2).sum())),
    }


def figures():
    """Everything, by program."""
    data = prepared()
    found = {"drdid": {method: of_drdid(data, method) for method in METHODS}}
    for name, verb in (("csdid", of_csdid), ("moderndid", of_moderndid), ("diff_diff", of_diff_diff)):
        found[name] = {}
        for case in CASES:
            for method in METHODS:
                rows = verb(data, case, method)
                if rows is not None:
                    found[name]["|".join([*map(str, case[:3]), "w" if case[3] else "1", method])] = rows
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    programs = ", ".join(
        f"{name} {version(name)}" for name in ("drdid", "csdid", "moderndid", "diff-diff", "numpy")
    )
    source = {
        "programs": f"{programs}; Python {sys.version.split()[0]}",
        "command": "python tests/did/section_peers.py",
        "data": "section_children() of tests/did/section_data.py, seed 20261127; need code as indicators n2, n3",
    }
    with contextlib.redirect_stdout(io.StringIO()):
        everything = {"source": source, **figures()}
    json.dump(everything, sys.stdout)
