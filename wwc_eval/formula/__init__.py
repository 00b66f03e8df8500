"""Model formulas and conditions: two small grammars that are read, never evaluated.

``parse_formula("y ~ arm + centre(age) + (1 | la/team)")`` gives a frozen :class:`Formula`, whose ``design``
makes the response, the design matrix and the groups; ``parse_condition("age >= 4 and la in ['A', 'B']")``
gives a frozen :class:`Condition`. What may be written is in docs/methods/formula.md.
"""

from wwc_eval.formula.aliasing import Alias
from wwc_eval.formula.conditions import Condition, parse_condition
from wwc_eval.formula.design import Design, RandomColumns
from wwc_eval.formula.model import Formula, parse_formula
from wwc_eval.formula.terms import Call, Factor, Power, RandomTerm, Response, Term, Variable
from wwc_eval.formula.tokens import quote_name

__all__ = [
    "Alias",
    "Call",
    "Condition",
    "Design",
    "Factor",
    "Formula",
    "Power",
    "RandomColumns",
    "RandomTerm",
    "Response",
    "Term",
    "Variable",
    "parse_condition",
    "parse_formula",
    "quote_name",
]
