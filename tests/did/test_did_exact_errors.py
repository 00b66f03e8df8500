"""Errors by dense algebra, with a column for every effect: who is right where R's are further off than 1e-8."""

import numpy as np
import pytest
from regression_figures import REFERENCE, fit, panel, poisson, rates, rows_of, untreated_columns

pytestmark = pytest.mark.reference


def sandwich(columns, weight, scores, unit):
    """Root of the diagonal of the sandwich over units, with fixest's factor: unit effects, nested in them, not counted."""
    n = unit.max() + 1
    inverse = np.linalg.inv((columns * weight[:, None]).T @ columns)
    sums = np.zeros((n, columns.shape[1]))
    np.add.at(sums, unit, columns * scores[:, None])
    rows, counted = len(unit), columns.shape[1] - n + 1
    factor = n / (n - 1) * (rows - 1) / (rows - counted)
    return np.sqrt(factor * np.diag(inverse @ (sums.T @ sums) @ inverse))


# the largest of the three gaps of didimputation, in relation to the right error
LEADS = {"castle": -1.09e-8, "la": -1.5e-11, "mpdta": -8.3e-9}


@pytest.mark.parametrize("name", list(LEADS))
def test_errors_of_leads_of_the_imputation(name):
    """A regression on untreated cells with indicators of the three periods before treatment."""
    data = panel(name)
    n, T = data.outcomes.shape
    _, y, on, Z, event = untreated_columns(data)
    joins = np.repeat(data.adopted < T, T)
    leads = np.stack([(event == lead) & joins for lead in (-3, -2, -1)], axis=1)
    columns = np.hstack([Z, leads])[~on]
    slopes = np.linalg.lstsq(columns, y[~on], rcond=None)[0]
    errors = sandwich(columns, np.ones(len(columns)), y[~on] - columns @ slopes, np.repeat(np.arange(n), T)[~on])
    ours = rows_of(fit("imputation", name).estimates)
    theirs = {row["term"]: row["std.error"] for row in REFERENCE[name]["none"]["bjs_pretrends"]}
    gaps = []
    for lead, slope, error in zip((-3, -2, -1), slopes[-3:], errors[-3:], strict=True):
        assert ours[lead].estimate == pytest.approx(slope, rel=1e-11)
        assert ours[lead].se == pytest.approx(error, rel=1e-12)
        gaps.append(theirs[str(lead)] / error - 1)
    assert min(gaps, key=lambda gap: -abs(gap)) == pytest.approx(LEADS[name], rel=0.05)


# fixest's, in relation to the right error: of the one effect, and by cohort and period
POISSON = {"poisson_twfe_offset": -6.27e-8, "poisson_etwfe_gt": -1.50e-7}


@pytest.mark.parametrize("section", list(POISSON))
def test_errors_of_poisson_regressions_of_castle(section):
    """Newton steps to the optimum, and the sandwich there."""
    data = rates("castle")
    n, T = data.outcomes.shape
    count, exposure, on = data.counts.ravel(), data.exposures.ravel(), data.treated.ravel()
    adopted, period = np.repeat(data.adopted, T), np.tile(np.arange(T), n)
    cells = sorted(set(zip(adopted[on].tolist(), period[on].tolist(), strict=True)))
    one_each = [(adopted == first) & (period == t) for first, t in cells]
    chosen = [on] if section == "poisson_twfe_offset" else one_each
    effects = np.hstack([np.repeat(np.eye(n), T, axis=0), np.tile(np.eye(T)[:, 1:], (n, 1))])
    columns = np.column_stack([effects, *chosen])
    mean = (count + count.mean()) / 2
    for _ in range(30):
        root = np.sqrt(mean)
        target = np.log(mean / exposure) + (count - mean) / mean
        slopes = np.linalg.lstsq(columns * root[:, None], target * root, rcond=None)[0]
        mean = exposure * np.exp(columns @ slopes)
    errors = sandwich(columns, mean, count - mean, np.repeat(np.arange(n), T))[-len(chosen) :]
    label = data.period_label
    names = ["D"] if len(chosen) == 1 else [f"gt::{label(first)}_{label(t)}" for first, t in cells]
    ours, theirs = poisson("castle")[section], REFERENCE["castle"][section]
    assert ours.keys() == theirs.keys() == set(names)
    gaps = []
    for name, slope, error in zip(names, slopes[-len(chosen) :], errors, strict=True):
        assert ours[name]["est"] == pytest.approx(slope, rel=1e-11)
        assert theirs[name]["est"] == pytest.approx(slope, rel=1e-11)
        assert ours[name]["se"] == pytest.approx(error, rel=1e-12)
        gaps.append(theirs[name]["se"] / error - 1)
    assert min(gaps) == pytest.approx(POISSON[section], rel=0.02)
    assert max(gaps) < 0
