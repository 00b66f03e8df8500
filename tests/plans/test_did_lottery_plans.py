"""Plans of a roll-out that was drawn by lot: the permutation repeats the lottery, and one left out the plan's estimator."""

import json

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.plans import Plan
from wwc_eval.plans.verifying import verify_run
from wwc_eval.plans.vocabulary.did import DidAnalysis
from wwc_eval.randomisation import write_receipt

PLAN = """\
schema_version: 1
id: roll-out-by-lot
title: A practice model that authorities began in the order of a draw
registry: {name: OSF, url: null, date: 2015-10-01}
question: Do fewer children start to be looked after once the practice model has begun?
estimand:
  population: authorities that were allocated a start, in the years since
  treatment: the practice model
  comparator: services as they would have gone on
  comparator_arm: usual
  outcome: rate
  summary: mean_difference
  intercurrent: {practice model given up: treatment policy}
design:
  kind: did
  unit: authority
  unit_column: la
  units: authorities
  arms: {usual: 22, practice model: 8}
  arm_column: practice
  clusters: {usual: 22, practice model: 8}
  panel: {period: year, cohort: began}
data:
  authorities:
    file: rates.csv
    grain: one row per authority and year
    key: [la, year]
    columns:
      la:       {type: text}
      region:   {type: category, levels: [North, South], baseline: true}
      year:     {type: integer, min: 2012, max: 2019}
      practice: {type: category, levels: [usual, practice model]}
      began:    {type: integer, min: 2016, max: 2030, missing: ["0"]}
      rate:     {type: number, units: "per 10,000 children", label: Rate}
outcomes:
  - {name: rate, role: primary, type: continuous, better: lower}
analyses:
  - id: primary
    outcome: rate
    model: did
    estimator: imputation
    few_treated: {methods: [permutation], draws: 199, seed: 20250203, allocation: lot/receipt.json}
    sensitivity: {leave_one_out: true}
disclosure: {profile: dfe, threshold: 10}
"""
NAMES = [f"LA {k:02d}" for k in range(30)]
BY_LOT = {"method": we.SteppedWedgeSequences(sequences=[2016, 2018], capacity=[4, 4]), "arms": ("before", "after")}


def rates(began, seed=2):
    """Rates of authorities over eight years with an effect from the year in which each began."""
    rng = np.random.default_rng(seed)
    years = np.arange(2012, 2020)
    start = np.array([began.get(name, 0) for name in NAMES])
    on = (start[:, None] > 0) & (years >= start[:, None])
    values = 60 + rng.normal(0, 5, (30, 1)) + 0.3 * (years - 2012) - 3.0 * on + rng.normal(0, 1, (30, 8))
    return pd.DataFrame(
        {
            "la": np.repeat(NAMES, 8),
            "region": np.repeat(np.where(np.arange(30) % 3, "North", "South"), 8),
            "year": np.tile(years, 30),
            "practice": np.repeat(np.where(start > 0, "practice model", "usual"), 8),
            "began": np.repeat(start, 8),
            "rate": values.ravel().round(3),
        }
    )


def drawn(**options):
    """Eight authorities of both regions in two waves."""
    units = pd.DataFrame({"la": NAMES[:8], "region": np.where(np.arange(8) % 3, "North", "South")})
    return we.randomise(units, unit="la", seed="2015-11-02 draw", **{**BY_LOT, **options})


def written(tmp_path, allocation, data, *edits):
    (tmp_path / "lot").mkdir(exist_ok=True)
    if allocation is not None:
        write_receipt(allocation.receipt, tmp_path / "lot" / "receipt.json")
        allocation.table.to_csv(tmp_path / "lot" / "allocation.csv", index=False)
    data.to_csv(tmp_path / "rates.csv", index=False)
    text = PLAN
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    (tmp_path / "plan.yaml").write_text(text, encoding="utf-8")
    return Plan.load(tmp_path / "plan.yaml")


def starts(allocation):
    return dict(zip(allocation.table["la"], allocation.table["crossover"], strict=True))


def read(data, **options):
    return we.Panel(data, unit="la", period="year", outcome="rate", cohort="began", **options)


def shown(results, key="few_treated", analysis="primary"):
    return {item.key: item for item in results.analyses[analysis].supplements}[key]


def test_the_permutation_repeats_the_lottery_of_a_record(tmp_path):
    lot = drawn()
    data = rates(starts(lot))
    plan = written(tmp_path, lot, data)
    assert plan.check() == []
    results = plan.run(out=tmp_path / "out", draft=True)
    direct = we.did.few_treated(read(data), methods=("permutation",), rng=20250203, allocation=lot).overall
    item = shown(results)
    assert item.table.to_dicts()[0]["p_value"] == direct.p_value
    assert (
        direct.p_value
        != we.did.few_treated(read(data), methods=("permutation",), rng=1, draws=199).overall.p_value
    )
    told = " ".join(item.sentences)
    assert "Who began when was drawn by lot: 8 units, by the record lot/receipt.json." in told
    assert "all 70 allocations that the roll-out lottery permitted (stepped_wedge_sequences)" in told
    # the record is among the files of the run, and a change of it is found
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert {"lot/receipt.json", "lot/allocation.csv"} < set(run["files"])
    shapes = {file.name: (file.rows, file.columns) for file in results.record.files}
    assert shapes["lot/receipt.json"] == (None, None)
    assert shapes["lot/allocation.csv"] == lot.table.shape
    assert verify_run(tmp_path / "out").ok
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Arms were not formed at random" not in page
    assert page.count("drawn by lot") >= 2
    with (tmp_path / "lot" / "allocation.csv").open("a") as file:
        file.write("\n")
    assert "allocation.csv is not the file that was analysed" in str(verify_run(tmp_path / "out"))


def test_strata_of_the_lottery_are_read_from_the_data(tmp_path):
    lot = drawn(method=we.Stratified(by="region"), arms=("usual", "practice model"))
    data = rates(
        {name: 2016 for name, arm in zip(lot.table["la"], lot.table["arm"], strict=True) if arm != "usual"}
    )
    results = written(tmp_path, lot, data).run(draft=True)
    direct = we.did.few_treated(read(data), methods=("permutation",), rng=20250203, allocation=lot).overall
    assert shown(results).table.to_dicts()[0]["p_value"] == direct.p_value
    assert f"all {lot.n_permitted} allocations" in " ".join(shown(results).sentences)
    moved = data.assign(region=data["region"].where(data["la"] != "LA 02", "South"))
    with pytest.raises(we.errors.DataError, match=r"not those of lot/receipt\.json") as error:
        _raised(written(tmp_path, lot, moved))
    assert "region" in str(error.value)


def _raised(plan):
    """What the supplement of few treated says, as an error."""
    found = plan.run(draft=True)
    raise we.errors.DataError(" ".join(shown(found).sentences))


def test_the_plans_own_scheme_is_repeated(tmp_path):
    own = (
        "data:\n  authorities:",
        "randomisation:\n  method: complete\n  by_whom: a statistician\ndata:\n  authorities:",
    )
    here = ("allocation: lot/receipt.json", "allocation: randomisation")
    data = rates(dict.fromkeys(NAMES[::4], 2016))
    plan = written(tmp_path, None, data, own, here)
    assert plan.check() == []
    item = shown(plan.run(draft=True))
    assert "by the plan's own scheme" in " ".join(item.sentences)
    lot = we.randomise(pd.DataFrame({"la": NAMES}), unit="la", method=we.Complete(), arms={"usual": 22, "practice model": 8}, seed="x")  # fmt: skip
    assert f"{199:,} draws of the allocations" in " ".join(item.sentences)
    assert lot.n_permitted > 25_000
    # the complete lottery is the permutation of all authorities
    plain = we.did.few_treated(read(data), methods=("permutation",), rng=5, draws=4_999).overall
    assert item.table.to_dicts()[0]["p_value"] == pytest.approx(plain.p_value, abs=0.02)


@pytest.mark.parametrize("numbers", [False, True])
def test_sequences_of_the_plans_own_scheme_are_those_of_the_cohorts(tmp_path, numbers):
    sequences = "[5, 7, 9]" if numbers else "[2016, 2018, 2030]"
    own = (
        "data:\n  authorities:",
        "randomisation:\n  method: stepped_wedge_sequences\n"
        f"  options: {{sequences: {sequences}, capacity: [4, 4, 22]}}\ndata:\n  authorities:",
    )
    edits = [own, ("allocation: lot/receipt.json", "allocation: randomisation")]
    began = dict.fromkeys(NAMES, 2030) | dict.fromkeys(NAMES[:4], 2016) | dict.fromkeys(NAMES[4:8], 2018)
    data = rates(began)
    if numbers:
        # quarters are no whole numbers: sequences count the periods
        data["year"] = [f"{2012 + (y - 2012) // 4}Q{1 + (y - 2012) % 4}" for y in data["year"]]
        label = {2016: "2013Q1", 2018: "2013Q3", 2030: "2014Q1"}
        data["began"] = data["began"].map(label)
        edits += [
            ('began:    {type: integer, min: 2016, max: 2030, missing: ["0"]}', "began:    {type: text}"),
            ("year:     {type: integer, min: 2012, max: 2019}", "year:     {type: text}"),
        ]
    plan = written(tmp_path, None, data, *edits)
    assert plan.check() == []
    item = shown(plan.run(draft=True))
    told = " ".join(item.sentences)
    assert "199 draws of the allocations that the roll-out lottery permitted (stepped_wedge_sequences)" in told
    assert item.table.to_dicts()[0]["p_value"] < 0.1
    odd = data.assign(began=data["began"].replace({"2013Q3" if numbers else 2018: "2013Q4" if numbers else 2019}))
    told = " ".join(shown(written(tmp_path, None, odd, *edits).run(draft=True)).sentences)
    assert f"began in {8 if numbers else 2019}, which is no sequence of the scheme" in told


def test_a_roll_out_that_was_not_as_allocated_is_told_and_the_effect_stands(tmp_path):
    lot = drawn()
    began = starts(lot)
    began[NAMES[0]] = {2016: 2018, 2018: 2016}[began[NAMES[0]]]
    results = written(tmp_path, lot, rates(began)).run(draft=True)
    assert "adopted at different times" in " ".join(shown(results).sentences)
    assert np.isfinite(results.analyses["primary"].estimates[0].estimate)


def test_units_that_are_not_analysed_stay_as_they_were_allocated(tmp_path):
    lot = drawn()
    data = rates(starts(lot))
    one = (
        "outcomes:\n",
        "  exclusions: [{rule: \"la == 'LA 03'\", reason: merged with another}]\noutcomes:\n",
    )
    results = written(tmp_path, lot, data, one).run(draft=True)
    told = " ".join(shown(results).sentences)
    assert "1 units that were allocated have no rows to analyse" in told
    assert f"all {lot.without(['LA 03']).n_permitted} allocations" in told
    gone = data[data["la"] != "LA 03"]
    results = written(tmp_path, lot, gone).run(draft=True)
    assert "1 units that were allocated are not in the data: 'LA 03'" in " ".join(shown(results).sentences)


def test_records_that_do_not_fit_are_refused(tmp_path):
    lot = drawn()
    plan = written(tmp_path, lot, rates(starts(lot)))
    table = (tmp_path / "lot" / "allocation.csv").read_text()
    (tmp_path / "lot" / "allocation.csv").write_text(table.replace("LA 00", "LA 01", 1))
    with pytest.raises(we.DataError, match="a unit stands twice"):
        plan.run(draft=True)
    swapped = lot.table.assign(sequence=lot.table["sequence"].to_numpy()[::-1])
    swapped.to_csv(tmp_path / "lot" / "allocation.csv", index=False)
    assert "does not hold the allocation that the receipt is of" in " ".join(shown(plan.run(draft=True)).sentences)
    (tmp_path / "lot" / "allocation.csv").unlink()
    with pytest.raises(we.DataError, match=r"cannot read allocation\.csv"):
        plan.run(draft=True)
    (tmp_path / "lot" / "receipt.json").write_text("{}")
    with pytest.raises(we.errors.LedgerError, match="no receipt"):
        plan.run(draft=True)


@pytest.mark.parametrize(
    ("edit", "code", "words"),
    [
        (("lot/receipt.json", "../lot/receipt.json"), "P15", "lies outside"),
        (("lot/receipt.json", "lot/allocation.csv"), "P15", "is no receipt.json"),
        (("lot/receipt.json", "randomisation"), "P21", "none is named"),
        (("methods: [permutation]", "methods: [CR2]"), "P14", "none is among the methods"),
    ],
)
def test_findings(tmp_path, edit, code, words):
    lot = drawn()
    found = written(tmp_path, lot, rates(starts(lot)), edit).check()
    assert any(problem.code == code and words in f"{problem.message} {problem.fix}" for problem in found), found


# --- one left out


@pytest.mark.parametrize(
    ("fields", "verb"),
    [
        (
            "estimator: callaway_santanna\n    aggregate: cohort\n    control: not_yet",
            lambda panel: we.did.callaway_santanna(panel, control="not_yet").aggregate("cohort").overall,
        ),
        (
            "estimator: two_way_fixed_effects\n    inference: {vcov: CR2}",
            lambda panel: we.did.two_way_fixed_effects(panel, vcov="CR2").overall,
        ),
    ],
)
def test_one_left_out_judges_the_estimator_of_the_plan(tmp_path, fields, verb):
    lot = drawn()
    data = rates(starts(lot))
    results = written(tmp_path, lot, data, ("estimator: imputation", fields)).run(draft=True)
    rows = shown(results, "leave_one_out").table.to_dicts()
    assert [row["left_out"] for row in rows] == NAMES[:8]
    for row in rows:
        refit = verb(read(data[data["la"] != row["left_out"]]))
        assert (row["estimate"], row["ci_low"]) == pytest.approx((refit.estimate, refit.ci_low), rel=1e-9)


def test_one_left_out_of_counts_shows_the_ratio_that_the_plan_reports():
    data = rates(dict.fromkeys(NAMES[:8], 2016)).assign(children=40_000)
    data["starts"] = (data["rate"] * 4).round()
    fields = {
        "id": "ratio",
        "outcome": "starts",
        "model": "did",
        "estimator": "extended_twfe",
        "family": "poisson",
    }
    analysis = DidAnalysis.model_validate({**fields, "exposure": "children"})
    names = {"unit": "la", "period": "year", "outcome": "starts", "cohort": "began"}
    panel = we.Panel(data, **names, exposure="children")
    found = we.did.leave_one_out(panel, estimator=lambda part: analysis.headline(analysis.estimate(part, 0.95)))
    direct = we.did.extended_twfe(panel.without([NAMES[2]]), family="poisson").ratios[0]
    assert found.estimates[2].scale == "rate_ratio"
    assert found.estimates[2].estimate == pytest.approx(direct.estimate, rel=1e-9)
