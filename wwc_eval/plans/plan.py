"""The plan as an object: load, check, lock, run."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wwc_eval.errors import LockError, Place, PlanError, Problem
from wwc_eval.plans.canonical import sha256_of
from wwc_eval.plans.checks import check_facts
from wwc_eval.plans.facts import Facts
from wwc_eval.plans.locking import Lock, lock_path, read_lock, write_lock
from wwc_eval.plans.schema import json_schema, validate_document
from wwc_eval.plans.yaml_text import parse_yaml

if TYPE_CHECKING:
    from wwc_eval.plans.powering import PlanPower
    from wwc_eval.plans.running import RunResults
    from wwc_eval.power.simulation.result import Simulation

__all__ = ["Plan"]


class Plan:
    """A pre-registered analysis plan.

    Load it with :meth:`load`; it does not change afterwards.

    Examples
    --------
    >>> plan = Plan.load("analysis_plans/family_conferencing_trial.yaml")  # doctest: +SKIP
    >>> plan.check()  # doctest: +SKIP
    []
    >>> plan.run(out="runs/family_conferencing").report("report.html")  # doctest: +SKIP
    """

    def __init__(self, facts: Facts, path: Path) -> None:
        self.facts = facts
        self.path = path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Plan:
        """Read a plan.

        Parameters
        ----------
        path : path
            A YAML file, named ``*.yaml`` or ``*.yml``.

        Raises
        ------
        PlanError
            With every fault of syntax and of fields, each as ``file:line:character code message fix``. What the
            fields say together is checked by :meth:`check`.
        """
        file = Path(path)
        if file.suffix not in {".yaml", ".yml"}:
            raise PlanError(
                "a plan's name ends in .yaml", place=Place(file=str(path)), fix="give the path of the YAML file"
            )
        try:
            content = file.read_bytes()
        except OSError as error:
            reason = error.strerror or "cannot be read"
            raise PlanError(
                f"cannot read the plan: {reason}", place=Place(file=str(path)), fix="check the path"
            ) from None
        parsed = parse_yaml(content, str(path))
        return cls(Facts(validate_document(parsed), parsed), file)

    @property
    def data(self) -> Mapping[str, Any]:
        """The plan as plain data, as parsed."""
        data: Mapping[str, Any] = self.facts.parsed.data
        return data

    @property
    def id(self) -> str:
        """Identifier of the plan."""
        return self.facts.document.id

    @property
    def title(self) -> str:
        """Title of the plan."""
        return self.facts.document.title

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON of the parsed plan."""
        return sha256_of(self.data)

    @staticmethod
    def schema() -> dict[str, Any]:
        """JSON Schema of a plan, for editors."""
        return json_schema()

    def check(self) -> list[Problem]:
        """Every problem in what the fields say together, in the order of the file; empty when there is none."""
        return check_facts(self.facts, self.path)

    def require_sound(self) -> None:
        """Raise PlanError with every problem that :meth:`check` calls an error."""
        errors = [problem for problem in self.check() if problem.severity == "error"]
        if errors:
            raise PlanError(problems=errors)

    def lock(self, *, amend: str | None = None) -> Lock:
        """Lock the plan: write ``<name>.lock.json`` beside it. An unchanged plan keeps its lock.

        Parameters
        ----------
        amend : str, optional
            Why the plan changed since it was locked.

        Raises
        ------
        PlanError
            If a check fails.
        LockError
            If the plan was locked before and has changed, and no reason is given.
        """
        self.require_sound()
        return write_lock(self.path, self.data, amend=amend)

    def read_lock(self) -> Lock | None:
        """The lock, or None where the plan was never locked."""
        return read_lock(self.path)

    def require_lock(self) -> Lock:
        """The lock of this very plan.

        Raises
        ------
        LockError
            If there is none, or the plan has changed since; the first field that differs is named.
        """
        lock = self.read_lock()
        if lock is None:
            raise LockError(
                "the plan is not locked",
                place=Place(file=self.path.name),
                fix=f"lock it (wwc-eval plan lock {self.path.name}), or run a draft (--draft)",
            )
        difference = lock.difference(self.data)
        if difference is not None:
            raise LockError(
                f"the plan has changed since it was locked at {lock.locked_at}: {difference}",
                place=Place(file=self.path.name),
                fix="undo the change, lock it as an amendment (plan lock --amend REASON), or run a draft (--draft)",
            )
        return lock

    def power(self) -> PlanPower:
        """Power at the stated effect, what can be detected, and the size needed, from the block ``design: power:``.

        Returns
        -------
        PlanPower
            ``.power``, ``.mdes`` with ``.fall`` and ``.rise``, ``.required``, ``.assumptions``, and ``.design``, the
            ``Trial`` or ``SteppedWedge`` itself.

        Raises
        ------
        DesignError
            If the plan has no such block, or its parts do not fit each other or the plan.

        Examples
        --------
        >>> plan.power().mdes.fall  # doctest: +SKIP
        -0.0932
        """
        from wwc_eval.plans.powering import power_of

        return power_of(self.facts)

    def simulate(
        self,
        effect: float | None = None,
        reps: int = 10_000,
        *,
        rng: Any,
        analysis: str | None = None,
        drift_sd: float = 0.0,
        n_jobs: int | None = 1,
        progress: bool = False,
        directory: str | os.PathLike[str] | None = None,
        null: bool = False,
    ) -> Simulation:
        """Simulate the trial of ``design: power:`` with the analysis that the plan writes.

        Parameters
        ----------
        effect : float, optional
            True effect, in the units of the estimand's summary; the stated one where missing. Without an effect (0, or 1
            of a ratio) ``.power`` is the type I error.
        reps : int
            Replicates.
        rng : int, Generator or SeedSequence
            Source of randomness.
        analysis : str, optional
            Identifier of an analysis of the primary outcome, planned or varied; the planned one where missing.
        drift_sd : float
            SD of what is added to every cluster and period of a wedge, on the scale of the link.
        n_jobs, progress, directory, null
            As in :meth:`wwc_eval.power.Trial.simulate`.

        Returns
        -------
        Simulation
            ``.power, .power_mc_se, .bias, .coverage, .type_m``.

        Raises
        ------
        DesignError
            If the analysis is not simulated as it is written; the error names what is not.
        """
        from wwc_eval.plans.simulating import simulate_plan

        how: dict[str, Any] = {"n_jobs": n_jobs, "progress": progress, "directory": directory, "null": null}
        return simulate_plan(self.facts, effect, reps=reps, rng=rng, analysis=analysis, drift_sd=drift_sd, **how)

    def run(
        self, *, out: str | os.PathLike[str] | None = None, draft: bool = False, progress: bool = False
    ) -> RunResults:
        """Run every analysis of the plan.

        Parameters
        ----------
        out : path, optional
            Folder for ``results.json``, ``estimates.csv``, ``report.html``, ``run.json`` and ``figures/``. None
            writes nothing but the entry in the run log.
        draft : bool
            Run without a valid lock; everything is marked as a draft.
        progress : bool
            Show a progress bar.

        Returns
        -------
        RunResults

        Raises
        ------
        PlanError, LockError, DataError
            Before anything is analysed.
        """
        from wwc_eval.plans.running import run_plan

        return run_plan(self, out=Path(out) if out is not None else None, draft=draft, progress=progress)

    def __repr__(self) -> str:
        """Identifier, short hash, and whether it is locked."""
        locked = "locked" if lock_path(self.path).exists() else "not locked"
        return f"Plan('{self.id}', {self.hash[:12]}, {locked})"
