"""Flow of a pilot: who was approached, consented, stayed and completed, each step as a share with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DataError, DesignError, check_number, did_you_mean
from wwc_eval.estimate import Estimate
from wwc_eval.pilot.rates import clustered_rate, rate_interval
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["PilotFlow"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PilotFlow(Rendered):
    """Participants at each stage; made by :meth:`from_counts` or :meth:`from_frame`.

    Parameters
    ----------
    counts : mapping of str to int
        Participants at each stage, none more than at the stage before.
    steps : tuple of Estimate
        Share of the stage before that reached each stage after the first.
    overall : tuple of Estimate
        Share of the first stage.
    clusters : int, optional
        Clusters whose variation the intervals know of.

    Notes
    -----
    The stages follow the CONSORT extension for pilot and feasibility trials (Eldridge and others 2016,
    doi:10.1136/bmj.i5239).
    """

    counts: Mapping[str, int]
    steps: tuple[Estimate, ...]
    overall: tuple[Estimate, ...]
    clusters: int | None = None

    @classmethod
    def from_counts(
        cls, counts: Mapping[str, int], *, method: str = "clopper_pearson", level: float = 0.95
    ) -> PilotFlow:
        """Flow of independent participants.

        Parameters
        ----------
        counts : mapping of str to int
            Participants at each stage in order.
        method, level
            Of :func:`wwc_eval.pilot.rate_interval`.

        Raises
        ------
        DataError
            If a stage has more than the one before, or the first has none.

        Examples
        --------
        >>> flow = PilotFlow.from_counts({"approached": 120, "consented": 78, "completed": 61})
        >>> round(flow["consented"].estimate, 2)
        0.65
        """
        names = list(counts)
        values = [int(check_number(name, counts[name], at_least=0, error=DataError)) for name in names]
        _check(names, values)
        steps = [
            rate_interval(now, before, method, level=level, term=name)  # type: ignore[arg-type]
            for name, now, before in zip(names[1:], values[1:], values, strict=False)
        ]
        overall = [
            rate_interval(now, values[0], method, level=level, term=name)  # type: ignore[arg-type]
            for name, now in zip(names[1:], values[1:], strict=True)
        ]
        return cls(counts=dict(zip(names, values, strict=True)), steps=tuple(steps), overall=tuple(overall))

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        stages: Sequence[str],
        *,
        cluster: str | None = None,
        method: str = "clopper_pearson",
        level: float = 0.95,
    ) -> PilotFlow:
        """Flow from one row a participant and a 0/1 column a stage.

        Parameters
        ----------
        frame : DataFrame
            One row for each participant at the first stage.
        stages : sequence of str
            Columns in order; a 1 needs a 1 at every stage before.
        cluster : str, optional
            Column of clusters (teams, authorities): intervals then know how they vary.
        method, level
            Of the intervals without clusters, and their coverage.

        Raises
        ------
        DataError
            If a column is missing, holds something other than 0 and 1, or a participant skips a stage (rows named).
        """
        for name in [*stages, *([cluster] if cluster else [])]:
            if name not in frame.columns:
                raise DataError(
                    f"there is no column '{name}'", fix=did_you_mean(str(name), map(str, frame.columns))
                )
        marks = np.empty((len(frame), len(stages)))
        for at, name in enumerate(stages):
            values = frame[name].astype(float).to_numpy()
            bad = ~np.isin(values, (0.0, 1.0))
            if bad.any():
                row = frame.index[int(np.flatnonzero(bad)[0])]
                raise DataError(
                    f"stage '{name}', row {row}: must be 0 or 1", fix="write 0 where the stage was not reached"
                )
            marks[:, at] = values
        skipped = (marks[:, 1:] > marks[:, :-1]).any(axis=1)
        if skipped.any():
            rows = ", ".join(str(row) for row in frame.index[np.flatnonzero(skipped)][:5])
            raise DataError(
                f"{int(skipped.sum()):,} participants reached a stage without the one before (rows {rows})",
                fix="order the stages as they follow each other, or correct the rows",
            )
        counts = dict(zip(stages, marks.sum(axis=0).astype(int).tolist(), strict=True))
        if cluster is None:
            return cls.from_counts(counts, method=method, level=level)
        _check(list(counts), list(counts.values()))
        names = frame[cluster].to_numpy()
        shared: dict[str, Any] = {"cluster": names, "level": level}
        steps = [
            clustered_rate(marks[:, at], marks[:, at - 1], term=stages[at], **shared)
            for at in range(1, len(stages))
        ]
        overall = [
            clustered_rate(marks[:, at], marks[:, 0], term=stages[at], **shared) for at in range(1, len(stages))
        ]
        return cls(
            counts=counts,
            steps=tuple(steps),
            overall=tuple(overall),
            clusters=len(set(names[marks[:, 0] == 1].tolist())),
        )

    def __getitem__(self, stage: str) -> Estimate:
        """Share of the stage before that reached a stage."""
        for found in self.steps:
            if found.term == stage:
                return found
        raise DesignError(
            f"there is no step '{stage}'", fix=did_you_mean(stage, [each.term for each in self.steps])
        )

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row a stage: participants, share of the stage before and of the first with their limits."""
        names = list(self.counts)
        rows: list[dict[str, Any]] = [{"stage": names[0], "n": self.counts[names[0]]}]
        for step, whole in zip(self.steps, self.overall, strict=True):
            rows.append(
                {
                    "stage": step.term,
                    "n": self.counts[step.term],
                    "of_before": step.estimate,
                    "of_before_low": step.ci_low,
                    "of_before_high": step.ci_high,
                    "of_first": whole.estimate,
                    "of_first_low": whole.ci_low,
                    "of_first_high": whole.ci_high,
                }
            )
        return [{**dict.fromkeys(rows[-1], None), **row} for row in rows]

    def _grid(self) -> Grid:
        level = f"{100 * self.steps[0].level:g}%"
        columns = [
            Column(name="stage"),
            Column(name="n", kind="count"),
            *(
                Column(name=f"of_{which}{end}", label=label, kind="percent", digits=0)
                for which, words in (("before", "of the stage before"), ("first", "of the first"))
                for end, label in (("", words), ("_low", f"{level} low"), ("_high", "high"))
            ),
        ]
        return Table(self.to_dicts(), columns)._grid()

    def _title(self) -> str:
        return "Flow of participants"

    def _notes(self) -> tuple[str, ...]:
        told = [f"{self.steps[0].method}."]
        if self.clusters is not None:
            told.append(f"Intervals know of variation between {self.clusters:,} clusters.")
        return tuple(dict.fromkeys([*told, *(warning for step in self.steps for warning in step.warnings)]))

    def __repr__(self) -> str:
        """The figures as a table."""
        return str(self)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Participants at each stage as bars, with the share of the stage before."""
        from wwc_eval.pilot.charts import plot_flow

        return plot_flow(self, ax)


def _check(names: Sequence[str], values: Sequence[int]) -> None:
    if len(names) < 2:
        raise DataError(f"{len(names)} stages, needs at least 2")
    for name, now, earlier, before in zip(names[1:], values[1:], names, values, strict=False):
        if now > before:
            raise DataError(
                f"{now:,} at '{name}' and {before:,} at '{earlier}' before it", rule="stages do not grow"
            )
        if before == 0:
            raise DataError(f"nobody at '{earlier}', so '{name}' has no share", fix="end the flow there")
