"""Synthetic sample data with their truth: three trials, a pilot and a panel of local authorities."""

from wwc_eval.data.samples.fidelity import fidelity_ratings
from wwc_eval.data.samples.panel import la_panel
from wwc_eval.data.samples.pilot import family_safeguarding_pilot
from wwc_eval.data.samples.pilot_fidelity import family_safeguarding_ratings
from wwc_eval.data.samples.rollout import practice_rollout
from wwc_eval.data.samples.schools import schools_s47_trial
from wwc_eval.data.samples.trial import TrialTruth, family_conferencing_trial, family_conferencing_truth
from wwc_eval.data.samples.wedge import WedgeTruth, no_wrong_door_truth, no_wrong_door_wedge
from wwc_eval.data.samples.writing import write_samples

__all__ = [
    "TrialTruth",
    "WedgeTruth",
    "family_conferencing_trial",
    "family_conferencing_truth",
    "family_safeguarding_pilot",
    "family_safeguarding_ratings",
    "fidelity_ratings",
    "la_panel",
    "no_wrong_door_truth",
    "no_wrong_door_wedge",
    "practice_rollout",
    "schools_s47_trial",
    "write_samples",
]
