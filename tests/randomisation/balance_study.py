"""Constrained, rerandomised, matched and minimised designs of up to ten units against brute force, and a million draws.

``python tests/randomisation/balance_study.py`` writes the record that ``test_balance_study`` reads; with ``laws`` or the
number of a design it does that part alone.
"""

import itertools
import json
import sys
from pathlib import Path

import brute_force as brute
import numpy as np
import pandas as pd
from allocation_cases import REFERENCE, Scripted, law_of_draw, partitions
from allocation_study import check_pairs, chi_square, draws_of
from scipy import stats
from scipy.spatial.distance import pdist, squareform

import wwc_eval as we
from wwc_eval.randomisation.arms import read_arms
from wwc_eval.randomisation.units import read_units

RECORD = REFERENCE / "balance_study.json"
RATIOS = ((1, 1), (1, 2), (2, 3), (1, 1, 1), (1, 1, 2), (1, 1, 1, 1))
MOST = 4**10
"""Arm vectors of the largest design, all of which brute force goes through: 10 units in four arms."""
SETTINGS = (
    (["x"], 0.1, None),
    (["x", "y"], 0.3, None),
    (["y", "g"], 0.5, None),
    (["x", "g"], 0.2, {"x": 2}),
    (["x", "y", "g"], 0.4, {"y": 1.5, "g": 3}),
)
"""Columns to balance, share accepted, weights; each design has the next of them."""


def frame_of(sizes, seed=0):
    """Units in strata: a number of three decimals, a small whole number, three categories, and an order of arrival."""
    n = sum(sizes)
    rng = np.random.default_rng([n, len(sizes), seed])
    return pd.DataFrame(
        {
            "unit": [f"U{i:02d}" for i in range(n)],
            "stratum": np.repeat([f"s{j}" for j in range(len(sizes))], sizes),
            "x": rng.normal(20, 6, n).round(3),
            "y": rng.permutation(np.arange(n) % 6),
            "g": rng.permutation(np.array(["low", "mid", "top"])[np.arange(n) % 3]),
            "arrival": rng.permutation(n),
        }
    )


def bound_to(frame, scheme, ratio):
    """The scheme for the units in another order of rows; None where it refuses the design."""
    arms = read_arms({f"arm {a}": part for a, part in enumerate(ratio)})
    shuffled = frame.sample(frac=1.0, random_state=3)
    try:
        return scheme.bind(read_units(shuffled, "unit", scheme.columns), arms)
    except we.DesignError:
        return None


def designs(least=3):
    """Ratios and strata of all designs of up to ten units."""
    for ratio, n in itertools.product(RATIOS, range(least, 11)):
        for sizes in partitions(n, len(ratio)):
            yield ratio, sizes


def scored_designs():
    """Every design with settings in turn, constrained and rerandomised."""
    for number, (ratio, sizes) in enumerate(designs()):
        on, accept, weights = SETTINGS[number % len(SETTINGS)]
        by = "stratum" if len(sizes) > 1 else None
        yield we.Constrained(on=on, accept=accept, by=by, weights=weights), sizes, ratio
        yield we.Rerandomised(on=on if "y" not in on else ["x"], accept=accept, by=by), sizes, ratio


def hold(each, law):
    """Hold enumeration, count, probabilities and pairs of a bound scheme to a law; keys are in the order of names."""
    reference = each.enumerate(MOST)
    listed = dict(zip(map(tuple, reference.allocations.tolist()), reference.weights.tolist(), strict=True))
    assert len(listed) == len(reference.allocations) == each.count
    assert set(listed) == set(law)
    np.testing.assert_allclose([listed[key] for key in law], [float(chance) for chance in law.values()], rtol=1e-9)
    chances = np.array([float(chance) for chance in law.values()])
    alike = bool(np.ptp(chances) < 1e-9 * chances.max())
    # minimisation never says that its allocations are equally likely, not even where few units never met
    assert each.uniform == (alike and each.scheme.kind != "minimisation")
    rows = np.array(list(law))
    shares = np.stack([chances @ (rows == arm) for arm in range(len(each.labels))], axis=1)
    np.testing.assert_allclose(each.probabilities(), shares, atol=1e-9)
    check_pairs(each, rows, chances, 1e-9)
    assert {tuple(row) for row in draws_of(each, 20).tolist()} <= set(law)


def check_scored(scheme, sizes, ratio):
    """Constrained and Rerandomised: the accepted set, each with the same probability; None where refused.

    Constrained is held to the documented whole-number scores exactly. Both are held to scores in floating point, in
    which allocations nearer to the cut-off than the rounding may be on either side of it.
    """
    frame = frame_of(sizes)
    each = bound_to(frame, scheme, ratio)
    if each is None:
        return None
    strata = frame["stratum"] if scheme.by else ["all"] * len(frame)
    rows = brute.permitted(list(strata), ratio)
    columns = brute.covariates(
        frame, scheme.on, dict(zip(scheme.on, getattr(scheme, "weights", None) or (), strict=False))
    )
    assert each.tables.n_allocations == len(rows)
    plain = brute.score(rows, columns, len(ratio), mahalanobis=scheme.kind == "rerandomised")
    ok, cutoff = brute.accepted(plain, scheme.accept)
    if scheme.kind == "constrained":
        whole, bits = brute.whole_scores(rows, columns, len(ratio))
        ok, _ = brute.accepted(whole, scheme.accept)
        assert each.derived["bits"] == bits
    else:
        bits = each.derived["bits"]
    heaviest = max(float(weight) for _, weight in columns)
    slack = 4 * len(frame) * len(columns) * len(ratio) * heaviest * 2.0**-bits
    near = np.abs(np.sqrt(plain) - np.sqrt(cutoff)) < slack
    assert (near | (ok == (plain < cutoff))).all()
    if scheme.kind == "rerandomised":
        # distances that tie but for the rounding may be on either side, as many as the rank needs
        known = {tuple(row) for row in each.enumerate(MOST).allocations.tolist()}
        ok = np.where(near, [tuple(row) in known for row in rows.tolist()], ok)
        assert (plain < cutoff - slack).sum() < max(1, round(scheme.accept * len(rows))) <= ok.sum()
    accepted = rows[ok]
    hold(each, {tuple(row): 1 / len(accepted) for row in accepted.tolist()})
    if len(frame) <= 5:
        check_candidates(each, rows)
    return len(accepted)


class Candidates:
    """What a scheme draws before it looks at the score, with choices that ``law_of_draw`` can follow."""

    def __init__(self, bound):
        self.bound = bound

    def draw(self, stream):
        stream.below_large = lambda n: Scripted.below(stream, n)
        return self.bound._candidate(stream)


def check_candidates(each, rows):
    """Candidates are uniform over all permitted allocations; the first accepted one is then uniform over those."""
    law = law_of_draw(Candidates(each), 20_000)
    if law is not None:
        assert set(law) == {tuple(row) for row in rows.tolist()}
        assert len(set(law.values())) == 1


def check_matched(sizes, ratio, on):
    """Matched pairs are those of the smallest total distance; blocks have the law that the docs promise."""
    frame = frame_of(sizes)
    by = "stratum" if len(sizes) > 1 else None
    each = bound_to(frame, we.MatchedPairs(on=on, by=by), ratio)
    if each is None:
        return None
    size = sum(ratio)
    blocks = [tuple(int(name[1:]) for name in group) for group in each.groups]
    if size == 2:
        X = np.array([[float(v) for v in values] for values, _ in brute.covariates(frame, on)]).T
        distances = squareform(pdist(X, "mahalanobis", VI=np.linalg.inv(np.atleast_2d(np.cov(X.T)))))
        wanted = set()
        for value in sorted(set(frame["stratum"])) if by else [None]:
            units = np.flatnonzero(frame["stratum"] == value).tolist() if by else list(range(len(frame)))
            pairs = brute.best_pairs(distances, units)
            if pairs is None:
                return None  # two ways to pair are as good
            wanted |= set(pairs)
        assert {block for block in blocks if len(block) == 2} == wanted
    order = np.argsort(np.concatenate(blocks))
    law = brute.law_of_blocks(_places(blocks), ratio)
    if law is None:
        return None
    hold(each, {tuple(np.array(key)[order].tolist()): chance for key, chance in law.items()})
    return len(law)


def _places(blocks):
    start, found = 0, []
    for block in blocks:
        found.append(range(start, start + len(block)))
        start += len(block)
    return found


def matched_designs():
    """Designs of pairs and blocks."""
    for number, (ratio, sizes) in enumerate(designs()):
        yield sizes, ratio, [["x"], ["x", "g"], ["x", "y"]][number % 3]


def check_minimised(n, ratio, number):
    """Minimisation: the product of biased coins along the order of arrival."""
    imbalance = ("range", "variance", "sd")[number % 3]
    on = [["g"], ["stratum", "g"], ["y", "g"]][number // 3 % 3]
    weights = {on[0]: (1, 2, 1.5)[number % 3]}
    p_best = (0.8, 0.9, 0.7)[number // 2 % 3]
    frame = frame_of((n - n // 2, n // 2)).assign(y=lambda d: d["y"] % 2)
    scheme = we.Minimisation(on=on, p_best=p_best, imbalance=imbalance, weights=weights, order="arrival")
    each = bound_to(frame, scheme, ratio)
    if each is None:
        return None
    arriving = frame.sort_values("arrival")
    levels = list(zip(*(arriving[name].tolist() for name in on), strict=True))
    law = brute.law_of_minimisation(levels, ratio, p_best, imbalance, [weights.get(name, 1) for name in on])
    back = np.argsort(arriving.index.to_numpy())
    hold(each, {tuple(np.array(key)[back].tolist()): chance for key, chance in law.items()})
    return len(law)


def minimised_designs(most):
    """Ratios and numbers of units, each with three settings in turn."""
    found = [(n, ratio) for ratio in RATIOS for n in range(2, 11) if len(ratio) ** n <= most]
    for number, (n, ratio) in enumerate(each for each in found for _ in range(3)):
        yield n, ratio, number


def study_laws():
    """Designs whose law is that of brute force, by scheme, and those that brute force leaves undetermined or refused."""
    found = {
        kind: {"designs": 0, "allocations": 0, "left": 0}
        for kind in ("constrained", "rerandomised", "matched", "minimised")
    }
    cases = itertools.chain(
        ((scheme.kind, check_scored, (scheme, *rest)) for scheme, *rest in scored_designs()),
        (("matched", check_matched, case) for case in matched_designs()),
        (("minimised", check_minimised, case) for case in minimised_designs(MOST)),
    )
    for kind, check, case in cases:
        number = check(*case)
        found[kind]["left" if number is None else "designs"] += 1
        found[kind]["allocations"] += number or 0
    return found


MILLION = {
    "constrained in strata, weighted": (we.Constrained(on=["x", "y"], accept=0.4, by="stratum", weights={"x": 2}), (4, 3), (1, 1)),
    "constrained, three arms": (we.Constrained(on="x", accept=0.5), (6,), (1, 1, 1)),
    "rerandomised, one to two": (we.Rerandomised(on=["x", "y"], accept=0.5), (6,), (1, 2)),
    "matched pairs in strata, odd": (we.MatchedPairs(on="x", by="stratum"), (5, 3), (1, 1)),
    "minimised, one to two": (we.Minimisation(on=["stratum", "g"], order="arrival"), (2, 2), (1, 2)),
}  # fmt: skip


def study_draws(name, number):
    """Chi-square of draws from the stream under one scheme, with the 99% band."""
    scheme, sizes, ratio = MILLION[name]
    statistic, df = chi_square(each := bound_to(frame_of(sizes), scheme, ratio), draws_of(each, number))
    low, high = stats.chi2.ppf([0.005, 0.995], df)
    return {"design": name, "draws": number, "chi_square": statistic, "df": df, "low": low, "high": high}


if __name__ == "__main__":
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {"draws": []}
    record["command"] = "python tests/randomisation/balance_study.py"
    wanted = sys.argv[1:] or ["laws", *map(str, range(len(MILLION)))]
    for part in wanted:
        if part == "laws":
            record["laws"] = study_laws()
            continue
        row = study_draws(list(MILLION)[int(part)], 1_000_000)
        rows = {each["design"]: each for each in record["draws"]} | {row["design"]: row}
        record["draws"] = [rows[name] for name in MILLION if name in rows]
    Path(RECORD).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
