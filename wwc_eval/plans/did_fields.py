"""Blocks of a plan's difference-in-differences: how errors are made, inference for few treated, sensitivity to trends."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wwc_eval.plans.fields import Block, ColumnName, Number, Text

__all__ = ["DidInference", "FewTreatedInference", "Sensitivity"]


class DidInference(Block):
    """How errors are made."""

    vcov: Literal["CR0", "CR1", "CR1S", "CR2", "CR3"] | None = Field(
        None, description="Of regression estimators; CR1S where nothing is said"
    )
    cluster: ColumnName | None = Field(None, description="Clusters above the unit, such as the region")
    draws: int | None = Field(
        None,
        ge=99,
        description="Multiplier bootstrap of Callaway-Sant'Anna with so many draws, bands for all events; permutations of "
        "the randomisation test of staggered",
    )
    seed: int | None = Field(None, ge=0, description="Seed of the draws")


class FewTreatedInference(Block):
    """Inference that holds with few treated units, beside the estimator's own."""

    methods: list[Literal["permutation", "wild_bootstrap", "conley_taber", "ferman_pinto", "CR2", "CR3"]] = Field(
        default=["permutation", "wild_bootstrap", "ferman_pinto"], min_length=1
    )
    draws: int = Field(9_999, ge=99)
    seed: int = Field(ge=0)
    population: ColumnName | None = Field(
        None,
        description="Column of the population, whose size Ferman-Pinto lets the variance depend on; of participants seen "
        "once their number where it is missing",
    )
    slopes: Literal["never", "own", "all"] | None = Field(
        None,
        description="Of participants seen once: whose slopes adjust the means of units; those of never treated units "
        "where there are any, each unit's own, or of all",
    )
    allocation: Text | None = Field(
        None,
        description="The lottery that decided who began when, which permutation then repeats: randomisation for the "
        "plan's own scheme, or the path of a receipt.json with its allocation.csv beside it",
    )


class Sensitivity(Block):
    """How far the answer rests on parallel trends."""

    honest: Literal["relative_magnitudes", "smoothness"] | None = Field(
        None, description="Intervals that allow departures from parallel trends (Rambachan and Roth)"
    )
    values: list[Annotated[Number, Field(ge=0)]] = Field(
        default_factory=list, description="Sizes of the departures; the room's own where empty"
    )
    pre_trend_power: bool = Field(False, description="Which trends a test before treatment could have seen (Roth)")
    leave_one_out: bool = Field(False, description="The effect without each treated unit in turn")
    compare: bool = Field(False, description="Every estimator on the same cells, side by side")
    composition: list[ColumnName] = Field(
        default_factory=list,
        description="Of participants seen once: columns of which is shown whether treatment changed them, and so who is "
        "seen; the covariates where empty",
    )
