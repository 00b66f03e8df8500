"""A specification of high-quality practice as an object: load, check, hash, score."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from wwc_eval.data.chain import canonical_json
from wwc_eval.data.yaml_problems import Placing, field_problems
from wwc_eval.data.yaml_text import parse_yaml
from wwc_eval.errors import DesignError, Place
from wwc_eval.fidelity.specification.checks import check_specification
from wwc_eval.fidelity.specification.document import SpecificationFields
from wwc_eval.fidelity.specification.findings import Read
from wwc_eval.fidelity.specification.scales import SCALES
from wwc_eval.formula import Condition, parse_condition
from wwc_eval.table import Column, Table

if TYPE_CHECKING:
    from wwc_eval.fidelity.scoring.scores import FidelityScores

__all__ = ["FidelitySpecification"]


@dataclass(frozen=True, eq=False, repr=False)
class FidelitySpecification:
    """What high-quality practice looks like, written down before it is scored.

    Load it with :meth:`load`; it does not change afterwards.

    Examples
    --------
    >>> spec = FidelitySpecification.load("sample_data/specifications/safety_planning.yaml")
    >>> spec.id, spec.version, spec.units
    ('safety_planning', '1.0.0', ('case', 'worker', 'team', 'local_authority'))
    """

    read: Read

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FidelitySpecification:
        """Read a specification.

        Parameters
        ----------
        path : path
            A YAML 1.2 file, named ``*.yaml`` or ``*.yml``.

        Returns
        -------
        FidelitySpecification

        Raises
        ------
        DesignError
            With every fault, each as ``file:line:character code message fix``: of syntax (Y..), of fields (S..), or,
            where the fields are valid one by one, of what they say together (F..).
        """
        file = Path(path)
        if file.suffix not in {".yaml", ".yml"}:
            raise DesignError(
                "a specification's name ends in .yaml",
                place=Place(file=str(path)),
                fix="give the path of the YAML file",
            )
        try:
            content = file.read_bytes()
        except OSError as error:
            reason = error.strerror or "cannot be read"
            raise DesignError(
                f"cannot read the specification: {reason}", place=Place(file=str(path)), fix="check the path"
            ) from None
        return cls.parse(content, str(path))

    @classmethod
    def parse(cls, content: bytes, file: str = "specification.yaml") -> FidelitySpecification:
        """Specification from the bytes of a file; see :meth:`load`."""
        parsed = parse_yaml(content, file, what="specification", error=DesignError)
        try:
            document = SpecificationFields.model_validate(parsed.data)
        except ValidationError as error:
            placing = Placing(parsed=parsed, root=SpecificationFields, tag="type", choices=SCALES)
            raise DesignError(problems=field_problems(error, placing)) from None
        read = Read(document, parsed)
        problems = check_specification(read)
        if problems:
            raise DesignError(problems=problems)
        return cls(read)

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """JSON Schema (draft 2020-12), for editors that complete and check YAML.

        Examples
        --------
        >>> FidelitySpecification.json_schema()["title"]
        'wwc_eval fidelity specification'
        """
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **SpecificationFields.model_json_schema(by_alias=True),
            "title": "wwc_eval fidelity specification",
        }

    @property
    def document(self) -> SpecificationFields:
        """The fields."""
        return self.read.document

    @property
    def data(self) -> Mapping[str, Any]:
        """Plain data, as parsed."""
        found: Mapping[str, Any] = self.read.parsed.data
        return found

    @cached_property
    def hash(self) -> str:
        """SHA-256, in hexadecimal, of the content as canonical JSON: layout and comments do not count."""
        import hashlib

        return hashlib.sha256(canonical_json(self.data).encode("utf-8")).hexdigest()

    @property
    def id(self) -> str:
        """Name."""
        return self.document.spec.id

    @property
    def version(self) -> str:
        """Version."""
        return self.document.spec.version

    @property
    def units(self) -> tuple[str, ...]:
        """Units from the lowest to the highest."""
        return self.read.units

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands from the lowest to the highest."""
        return tuple(band.name for band in self.document.spec.bands)

    @cached_property
    def conditions(self) -> Mapping[str, Condition]:
        """Item: the condition under which it applies, where it has one."""
        given = {item.id: item.applies_if for item in self.document.items}
        return {name: parse_condition(text) for name, text in given.items() if text is not None}

    def condition_of(self, item: str) -> frozenset[str]:
        """Columns that say whether an item applies."""
        return self.conditions[item].columns if item in self.conditions else frozenset()

    def codes_of(self, item: str | None) -> Mapping[str, str]:
        """Codes for missing of an item, with their meanings."""
        fields = self.read.items.get(item or "")
        own = fields.missing if fields is not None else None
        return (own or self.document.spec.missing).codes

    def treatments_of(self, item: str) -> Mapping[str, str]:
        """What each meaning of a code does: drop, score_min or missing."""
        missing = self.read.items[item].missing or self.document.spec.missing
        return {name: getattr(missing, name) for name in ("not_applicable", "not_recorded", "not_seen")}

    def judged(self, item: str) -> bool:
        """Whether raters judge an item from a file, a recording or what they see: they may differ in severity."""
        return bool({"case_file", "observation", "audio"} & set(self.read.items[item].source))

    @property
    def arm_column(self) -> str | None:
        """Column of the arm, where arms are declared."""
        plan = self.document.differentiation
        return plan.arm if plan is not None else None

    def unit_place(self, item: str, columns: Mapping[str, str]) -> int:
        """Position, among the units of some ratings, of the unit that an item describes."""
        unit = self.read.items[item].unit
        if unit is None:
            return 0
        given, at = list(columns), self.units.index(unit)
        return next((given.index(name) for name in self.units[at:] if name in given), 0)

    def score(self, ratings: Any, units: Sequence[str] | Mapping[str, str] | None = None) -> FidelityScores:
        """Score ratings against the specification; see :func:`wwc_eval.fidelity.scoring.scores.score`.

        Parameters
        ----------
        ratings : DataFrame
            One row a rating: columns of the units, ``item``, ``value``, and where there are any ``rater``,
            ``respondent``, ``date``; besides columns that conditions name.
        units : list of str or mapping, optional
            Columns of the units from the lowest to the highest, or unit: column; the specification's names where
            missing. Units may be left out.

        Returns
        -------
        FidelityScores

        Raises
        ------
        DataError
            With every fault of the ratings, each with row, column, value, rule and fix.
        """
        from wwc_eval.fidelity.scoring.scores import score

        return score(self, ratings, units)

    @cached_property
    def table(self) -> Table:
        """Components with their role, weight, rule and number of items."""
        rows = [
            {
                "component": component.id,
                "dimension": component.dimension,
                "role": component.role,
                "weight": float(component.weight),
                "aggregate": component.aggregate,
                "items": len(self.read.items_of(component.id)),
                "essential_items": sum(item.essential for item in self.read.items_of(component.id)),
                "min_valid": float(component.min_valid),
            }
            for component in self.document.components
        ]
        columns = [
            Column(name="component"),
            Column(name="dimension"),
            Column(name="role"),
            Column(name="weight", kind="number", digits=2),
            Column(name="aggregate"),
            Column(name="items", kind="count"),
            Column(name="essential_items", kind="count"),
            Column(name="min_valid", kind="percent", digits=0),
        ]
        spec = self.document.spec
        bands = ", ".join(
            band.name if band.min is None else f"{band.name} from {band.min:g}" for band in spec.bands
        )
        notes = (
            f"Bands: {bands}; with probability {spec.band_confidence:g} at least, else indeterminate.",
            f"Content SHA-256 {self.hash[:16]}...",
        )
        return Table(rows, columns, title=f"{spec.practice} ({self.id} {self.version})", notes=notes)

    def __str__(self) -> str:
        """The table of components."""
        return str(self.table)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table.to_html()
