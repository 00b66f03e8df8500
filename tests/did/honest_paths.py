"""Event paths with correlated errors, and the same path relative to another event."""

import numpy as np

from wwc_eval.did.event_path import EventPath


def random_path(seed, before=4, after=4, *, reference=-1, anticipation=0, effect=0.3):
    """Noisy path with correlated errors: ``before`` known events (the reference among them) and ``after`` treated."""
    rng = np.random.default_rng(seed)
    events = np.arange(-before - anticipation, after)
    factor = rng.normal(size=(events.size, 3 * events.size))
    vcov = factor @ factor.T / (3 * events.size) * 0.01 + 0.002
    draw = rng.multivariate_normal(np.where(events >= 0, effect, 0.0) + 0.02 * events, vcov)
    # relative to the reference
    base = np.eye(events.size) - (events == reference)
    keep = events != reference
    return EventPath(
        events=events[keep],
        estimates=(base @ draw)[keep],
        vcov=(base @ vcov @ base.T)[np.ix_(keep, keep)],
        reference=reference,
        anticipation=anticipation,
        units="children per 10,000",
    )


def rebased(path, reference):
    """The same path relative to another event."""
    events = np.sort(np.append(path.events, path.reference))
    full = np.delete(np.eye(events.size), int(np.flatnonzero(events == path.reference)[0]), axis=1)
    keep = events != reference
    maps = (full - full[events == reference])[keep]
    return EventPath(
        events=events[keep],
        estimates=maps @ path.estimates,
        vcov=maps @ path.vcov @ maps.T,
        reference=reference,
        anticipation=path.anticipation,
    )
