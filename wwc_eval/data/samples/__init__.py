"""Synthetic sample data with their truth: a family-level trial and a panel of local authorities."""

from wwc_eval.data.samples.panel import la_panel
from wwc_eval.data.samples.trial import TrialTruth, family_conferencing_trial, family_conferencing_truth
from wwc_eval.data.samples.writing import write_samples

__all__ = ["TrialTruth", "family_conferencing_trial", "family_conferencing_truth", "la_panel", "write_samples"]
