"""Synthetic stepped wedge of No Wrong Door: five local authorities cross over in turn, one row a child."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.data.samples.draws import Draws, Seed
from wwc_eval.data.samples.places import WEDGE_AUTHORITIES
from wwc_eval.errors import DesignError, check_number

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = [
    "PERIOD_STARTS",
    "READY_FIRST",
    "WEDGE_ARMS",
    "WedgeTruth",
    "no_wrong_door_truth",
    "no_wrong_door_wedge",
]

WEDGE_ARMS = ("usual", "programme")
READY_FIRST = 2
"""Authorities of the first stratum; they take the first steps in random order, the other three the later ones."""
PERIOD_STARTS = tuple(
    np.datetime64(day, "D")
    for day in ("2020-10-01", "2021-04-01", "2022-04-01", "2022-06-01", "2022-09-01", "2023-04-01")
)
"""First days of the six periods (6, 12, 2, 3, 7 and 6 months); every day but the first is one of a go-live."""
LAST_DAY = np.datetime64("2023-09-30", "D")
WINDOW_DAYS = 548
DAYS_A_MONTH = 30.4375
TRANSITION = (-30, 60)
"""Days around a go-live in which a referral falls into a transition cell."""
TRANSITION_SHARE = 0.5
"""Share of the effect (log odds) that referrals in the first days after a go-live get."""

SIZES = (0.30, 0.15, 0.25, 0.20, 0.10)
PERIOD_TREND = 0.15
"""Rise of the log odds over the 36 months, in a straight line."""
AGE_SHARES = (0.08, 0.09, 0.11, 0.14, 0.16, 0.17, 0.15, 0.10)
YOUNGEST = 10
AGE_LOG_ODDS = 0.10
"""Change of the log odds with each year of age above 14."""
BOY_LOG_ODDS = 0.05
EARLIER_SHARE = 0.38
EARLIER_LOG_ODDS = 0.80
SHARE_NO_SEX = 0.012
SHARE_NO_EARLIER = 0.02
SHARE_MOVED = 0.01
"""Children who moved away, for whom no outcome is held."""
SEX_CODES = ("F", "M")
PERIODS = ("1", "2", "3", "4", "5", "6")

SAME_NUMBERS = 160
"""Children who have the number of another child in another authority."""
SENT_TWICE = 240
SENT_TWICE_BY = 1
"""Position of the authority that sent nearly all of the repeated rows."""
ALREADY_IN_CARE = 57
UNBORN = 14
WRONG_AGES = 6
ADULTS = 60
DEFAULT_DATES = 20
DEFAULT_DATE = np.datetime64("1900-01-01", "D")


@dataclass(frozen=True, kw_only=True)
class WedgeTruth:
    """What the children of a draw would have had under each arm, in proportions.

    Parameters
    ----------
    odds_ratio : float
        Effect within an authority and period, given the covariates, from the end of the transition on.
    risk_usual, risk_programme : float
        Risk of all eligible children if all were referred under services as usual, or under the settled programme.
    risk_difference : float
        Their difference.
    as_delivered : float
        Average effect among those who were referred after their authority's go-live, half effects of the transition
        included.
    in_transition : float
        Share of those who were referred in the transition.
    """

    odds_ratio: float
    risk_usual: float
    risk_programme: float
    risk_difference: float
    as_delivered: float
    in_transition: float


@dataclass(frozen=True, kw_only=True)
class _Wedge:
    """One entry a child: what is known at referral, and the log odds under services as usual."""

    authority: Ints
    go_live: NDArray[np.datetime64]
    referred: NDArray[np.datetime64]
    period: Ints
    since: Ints
    age: Ints
    sex: Ints
    earlier: Bools
    log_odds: Floats
    log_ratio: float

    @property
    def share(self) -> Floats:
        """Share of the effect that each child gets by the date of referral."""
        new = (self.since >= 0) & (self.since < TRANSITION[1])
        return np.where(self.since < 0, 0.0, np.where(new, TRANSITION_SHARE, 1.0))

    def risk(self, share: float | Floats) -> Floats:
        """Risk of each child at a share of the effect."""
        from scipy import special

        chance: Floats = special.expit(self.log_odds + self.log_ratio * share)
        return chance


def no_wrong_door_wedge(
    rng: Seed,
    *,
    children: int = 27_000,
    odds_ratio: float = 0.75,
    base_risk: float = 0.07,
    la_sd: float = 0.20,
    drift_sd: float = 0.10,
) -> pd.DataFrame:
    """Draw one stepped wedge: a row per child referred to one of five authorities in six unequal periods.

    Two authorities were ready first and cross over, in random order, at the start of periods 2 and 3; the other
    three at the start of periods 4, 5 and 6: 2! x 3! = 12 orders were possible. Child i of authority l, referred in
    period t, is looked after within 18 months with ``logit risk = base + x_i beta + trend_t + u_l + w_lt +
    s_i log(odds_ratio)``: u is normal between authorities, w normal between the periods of an authority (drift), and s
    is 0 before the go-live, 0.5 in the 60 days after it and 1 later. ``base`` is solved in every draw so that the
    average risk under services as usual is ``base_risk``. To that come rows that an analysis must leave out.

    Parameters
    ----------
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        Source of randomness; required.
    children : int
        Eligible children; at least 3,000.
    odds_ratio : float
        Effect of being referred under the settled programme.
    base_risk : float
        Risk under services as usual.
    la_sd, drift_sd : float
        Standard deviations of the log odds between authorities, and between the periods of an authority.

    Returns
    -------
    pandas.DataFrame
        Typed as ``read_table`` would return the committed file: see its data dictionary.

    Raises
    ------
    DesignError
        If a value is out of range.

    Examples
    --------
    >>> wedge = no_wrong_door_wedge(1, children=3_000)
    >>> wedge["local_authority"].nunique(), wedge.groupby("local_authority")["arm"].nunique().tolist()
    (5, [2, 2, 2, 2, 2])
    """
    draws = Draws(rng)
    drawn = _draw(draws, children, odds_ratio=odds_ratio, base_risk=base_risk, la_sd=la_sd, drift_sd=drift_sd)
    looked_after = draws.happens(drawn.risk(drawn.share), children)
    return _frame(draws, drawn, looked_after)


def no_wrong_door_truth(
    rng: Seed,
    *,
    children: int = 27_000,
    odds_ratio: float = 0.75,
    base_risk: float = 0.07,
    la_sd: float = 0.20,
    drift_sd: float = 0.10,
) -> WedgeTruth:
    """Effects that the generator plants, from both potential risks of every eligible child of the same draw.

    Parameters
    ----------
    rng, children, odds_ratio, base_risk, la_sd, drift_sd
        As in :func:`no_wrong_door_wedge`.

    Examples
    --------
    >>> truth = no_wrong_door_truth(1, children=3_000)
    >>> round(truth.risk_usual, 6), truth.odds_ratio
    (0.07, 0.75)
    """
    drawn = _draw(Draws(rng), children, odds_ratio=odds_ratio, base_risk=base_risk, la_sd=la_sd, drift_sd=drift_sd)
    usual, programme = drawn.risk(0.0), drawn.risk(1.0)
    after = drawn.since >= 0
    return WedgeTruth(
        odds_ratio=odds_ratio,
        risk_usual=float(usual.mean()),
        risk_programme=float(programme.mean()),
        risk_difference=float((programme - usual).mean()),
        as_delivered=float((drawn.risk(drawn.share) - usual)[after].mean()),
        in_transition=float((drawn.share[after] < 1).mean()),
    )


def _draw(
    draws: Draws, children: int, *, odds_ratio: float, base_risk: float, la_sd: float, drift_sd: float
) -> _Wedge:
    """Eligible children in order of referral."""
    if isinstance(children, bool) or children != int(children):
        raise DesignError(f"children == {children}, must be a whole number")
    n = int(check_number("children", children, at_least=3_000, at_most=1_000_000))
    check_number("odds_ratio", odds_ratio, above=0, at_most=10)
    check_number("base_risk", base_risk, above=0, below=1)
    check_number("la_sd", la_sd, at_least=0)
    check_number("drift_sd", drift_sd, at_least=0)
    count, periods = len(WEDGE_AUTHORITIES), len(PERIOD_STARTS)
    starts = np.asarray(PERIOD_STARTS)
    steps = 1 + np.concatenate([draws.order(READY_FIRST), READY_FIRST + draws.order(count - READY_FIRST)])
    days = int((LAST_DAY - starts[0]).astype(int)) + 1
    day = np.sort(np.floor(draws.uniform(n) * days).astype(np.int64))
    referred = starts[0] + day
    period = np.searchsorted(starts, referred, side="right") - 1
    authority = draws.code(SIZES, n)
    go_live = starts[steps][authority]
    age = YOUNGEST + draws.code(AGE_SHARES, n)
    sex = draws.code((0.49, 0.51), n)
    earlier = draws.happens(EARLIER_SHARE, n)
    place = la_sd * draws.normal(count)
    drift = drift_sd * draws.normal(count, periods)
    known = AGE_LOG_ODDS * (age - 14) + BOY_LOG_ODDS * sex + EARLIER_LOG_ODDS * earlier
    known = known + PERIOD_TREND * day / days + place[authority] + drift[authority, period]
    return _Wedge(
        authority=authority,
        go_live=go_live,
        referred=referred,
        period=period,
        since=(referred - go_live).astype(np.int64),
        age=age,
        sex=sex,
        earlier=earlier,
        log_odds=known + _base(known, base_risk),
        log_ratio=math.log(odds_ratio),
    )


def _base(known: Floats, risk: float) -> float:
    """Constant at which the average risk is as asked for."""
    from scipy import optimize, special

    return float(optimize.brentq(lambda base: special.expit(known + base).mean() - risk, -30, 30, xtol=1e-14))


def _frame(draws: Draws, drawn: _Wedge, looked_after: Bools) -> pd.DataFrame:
    """Assemble the table: eligible children, rows to leave out, values missing; authority by authority."""
    import pandas as pd

    n = len(drawn.authority)
    days = np.where(looked_after, 1 + np.floor((WINDOW_DAYS - 1) * draws.uniform(n) ** 1.4), 0).astype(np.int64)
    of, kind = _rows(draws, drawn)
    number = _numbers(draws, drawn, of, kind)
    age = _ages(draws, drawn.age[of], kind)
    in_care = kind == "in care"
    no_date = kind == "no date"
    days = np.where(in_care, -1 - np.floor(700 * draws.uniform(len(of))), days[of]).astype(np.int64)
    after = (drawn.since >= 0)[of]
    months = np.where(after, np.floor(drawn.since[of] / DAYS_A_MONTH), 0).astype(np.int64)
    near = (drawn.since >= TRANSITION[0]) & (drawn.since < TRANSITION[1])
    moved = draws.happens(SHARE_MOVED, n)[of]
    unknown = {
        "sex": draws.happens(SHARE_NO_SEX, n)[of],
        "earlier": draws.happens(SHARE_NO_EARLIER, n)[of],
    }
    happened = looked_after[of] | in_care
    integers = pd.arrays.IntegerArray
    columns: dict[str, Any] = {
        "child_id": number.astype(str).astype(object),
        "local_authority": np.asarray(WEDGE_AUTHORITIES, dtype=object)[drawn.authority[of]],
        "referred_on": np.where(no_date, DEFAULT_DATE, drawn.referred[of]).astype("datetime64[ns]"),
        "period": _category(drawn.period[of], PERIODS),
        "arm": _category(after.astype(np.int64), WEDGE_ARMS),
        "transition": integers(near[of].astype(np.int64), no_date.copy()),
        "months_on": integers(months, no_date.copy()),
        "age": age,
        "sex": _category(drawn.sex[of], SEX_CODES, unknown["sex"]),
        "earlier": integers(drawn.earlier[of].astype(np.int64), unknown["earlier"]),
        "days_to_care": integers(days, ~happened | moved),
        "looked_after_18m": integers(happened.astype(np.int64), moved.copy()),
        "duplicate": (kind == "repeat").astype(np.int64),
    }
    order = np.lexsort((columns["duplicate"], number, drawn.referred[of], drawn.authority[of]))
    return pd.DataFrame(columns).iloc[order].reset_index(drop=True)


def _rows(draws: Draws, drawn: _Wedge) -> tuple[Ints, NDArray[np.str_]]:
    """Which child each row is like, and what the row is: a child, a repeat, or one of those to leave out."""
    n = len(drawn.authority)
    kinds = {"in care": ALREADY_IN_CARE, "unborn": UNBORN, "wrong age": WRONG_AGES, "adult": ADULTS}
    kinds["no date"] = DEFAULT_DATES
    like = draws.order(n)[: sum(kinds.values())]
    # nearly all repeats come from one authority; the others sent 8 between them
    late = np.where(drawn.authority == SENT_TWICE_BY, 0.0, 1.0) + draws.uniform(n)
    own = int((drawn.authority == SENT_TWICE_BY).sum())
    ranked = np.argsort(late, kind="stable")
    repeats = np.concatenate([ranked[: SENT_TWICE - 8], ranked[own : own + 8]])
    of = np.concatenate([np.arange(n), like, repeats])
    kind = np.repeat(["child", *kinds, "repeat"], [n, *kinds.values(), len(repeats)])
    return of, kind


def _numbers(draws: Draws, drawn: _Wedge, of: Ints, kind: NDArray[np.str_]) -> Ints:
    """Six-digit numbers as the authorities' systems give them: unique within each, with some shared between two."""
    number = 100_000 + draws.order(len(of))
    pairs = draws.order(len(drawn.authority)).astype(np.int64)
    pairs = pairs[: len(pairs) // 2 * 2].reshape(-1, 2)
    pairs = pairs[drawn.authority[pairs[:, 0]] != drawn.authority[pairs[:, 1]]][:SAME_NUMBERS]
    number[pairs[:, 1]] = number[pairs[:, 0]]
    again = kind == "repeat"
    number[again] = number[of[again]]
    return number


def _ages(draws: Draws, age: Ints, kind: NDArray[np.str_]) -> Ints:
    """Ages with those that cannot be right or are not eligible."""
    n = len(age)
    found = np.where(kind == "unborn", -1, age)
    found = np.where(kind == "wrong age", 119 + draws.whole(0, 3, n), found)
    grown: Ints = np.where(kind == "adult", 18 + draws.whole(0, 2, n), found)
    return grown


def _category(codes: Ints, levels: tuple[str, ...], missing: Bools | None = None) -> Any:
    import pandas as pd

    kept = codes if missing is None else np.where(missing, -1, codes)
    return pd.Categorical.from_codes(kept.tolist(), categories=pd.Index(levels))
