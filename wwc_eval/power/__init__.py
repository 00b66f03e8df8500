"""Power, detectable effects and required sizes of trials, with the conventions named."""

from wwc_eval.power.arms import MultiArm
from wwc_eval.power.assurance import Assurance
from wwc_eval.power.beliefs import Belief
from wwc_eval.power.contrasts import Factorial, Moderation, NonInferiority
from wwc_eval.power.conventions import CONVENTIONS, Convention
from wwc_eval.power.correlation import Correlation
from wwc_eval.power.design_effects import design_effect
from wwc_eval.power.events import Rate, TimeToEvent
from wwc_eval.power.explain import Explanation, explain_power
from wwc_eval.power.level import Level
from wwc_eval.power.outcomes import Binary, Continuous, Outcome
from wwc_eval.power.panel import PanelDiD, placebo_power
from wwc_eval.power.parts import Baseline, TreatedGroups
from wwc_eval.power.priors import icc_priors
from wwc_eval.power.results import MdesResult, PowerResult, RequiredResult
from wwc_eval.power.stepped_wedge import SteppedWedge
from wwc_eval.power.trial import Trial

__all__ = [
    "CONVENTIONS",
    "Assurance",
    "Baseline",
    "Belief",
    "Binary",
    "Continuous",
    "Convention",
    "Correlation",
    "Explanation",
    "Factorial",
    "Level",
    "MdesResult",
    "Moderation",
    "MultiArm",
    "NonInferiority",
    "Outcome",
    "PanelDiD",
    "PowerResult",
    "Rate",
    "RequiredResult",
    "SteppedWedge",
    "TimeToEvent",
    "TreatedGroups",
    "Trial",
    "design_effect",
    "explain_power",
    "icc_priors",
    "placebo_power",
]
