"""Hostile text: every string is refused with a FormulaError and runs nothing.

The strings are read in a subprocess under an audit hook: compiling, executing, importing, opening a file or
starting a process while they are read would be recorded by the interpreter itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pandas as pd
import pytest

from wwc_eval.errors import FormulaError
from wwc_eval.formula import parse_condition, parse_formula

MARK = "sentinel"
TOUCH = f"open('{MARK}','w')"

FORMULAS = [
    f"y ~ {TOUCH}",
    f"{TOUCH} ~ x",
    f"y ~ x + {TOUCH}",
    "y ~ os.system('id')",
    "y ~ os.system(x)",
    "y ~ __import__('os').system('id')",
    "y ~ __import__(x)",
    "y ~ eval(x)",
    "y ~ exec(x)",
    "y ~ compile(x)",
    "y ~ open(x)",
    "y ~ print(x)",
    "y ~ getattr(x, y)",
    "y ~ globals()",
    "y ~ I(x)",
    "y ~ I(x + 1)",
    "y ~ I(__import__('os').system('id'))",
    "y ~ Q('x')",
    "y ~ C(x)",
    "y ~ {x + 1}",
    "y ~ {__import__('os')}",
    "y ~ f'{x}'",
    'y ~ f"{__import__(1)}"',
    "y ~ lambda: x",
    "y ~ (lambda: x)()",
    "y ~ lambda x: x",
    "y ~ [x for x in y]",
    "y ~ x if y else z",
    "y ~ x; import os",
    "import os",
    "y ~ x\nimport os",
    "y ~ x # comment",
    "y ~ x.__class__",
    "y ~ x.__class__.__mro__[1].__subclasses__()",
    "y ~ ().__class__",
    "y ~ ''.join(x)",
    "y ~ np.log(x)",
    "y ~ pd.eval(x)",
    "y ~ log.__globals__",
    "y ~ log(x).__class__",
    "y ~ log(__import__('os'))",
    "y ~ log(log)(x)",
    "y ~ log(x)(x)",
    "y ~ x()",
    "y ~ x[0]",
    "y ~ x['a']",
    "y ~ @x",
    "y ~ x@z",
    "y ~ $x",
    "y ~ x$z",
    "y ~ !x",
    "y ~ x := 1",
    "y ~ x == 1",
    "y ~ x < 1",
    "y ~ x & z",
    "y ~ x % 2",
    "y ~ x // 2",
    "y ~ x \\ z",
    "y ~ \\x6f\\x73",
    "y ~ `os.system('id')`",
    "y ~ `__import__('os').system('id')`",
    "y ~ `x` `z`",
    "y ~ `x``z`",
    "y ~ `x`.`z`",
    "y ~ `x`(z)",
    "y ~ `log`(x)",
    "y ~ `x\n+ z`",
    "y ~ `x\x00z`",
    "y ~ x\x00",
    "y ~ \x00",
    "\x00",
    "y ~ x\x1b[31m",
    "y ~ lоg(x)",
    "y ~ ｌｏｇ(x)",
    "y ~ ｅval(x)",
    "y ~ x∗z",
    "y ∼ x",
    "y ~ x＋z",
    "y ~ xｚ",
    "y ~ 𝐱",
    "y ~ x\u202ez",
    "y ~ x\u200b + z",
    "y ~ x\u00a0+ z",
    "y ~ `х`",
    "y ~ __builtins__",
    "y ~ __class__",
    "y ~ _x",
    "y ~ ${x}",
    "y ~ %s",
    "y ~ {{ x }}",
    "y ~ {% x %}",
    "y ~ <script>",
    "y ~ !!python/object/apply:os.system [id]",
    "y ~ x | import os",
    "y ~ (1 | os.system)",
    "y ~ (1 | __import__('os'))",
    "y ~ (1 | eval(g))",
    "y ~ (eval(x) | g)",
    "y ~ (1 | `os.system(1)`)",
    "y ~ poly(x, __import__)",
    "y ~ poly(x, 2**99)",
    "y ~ poly(x, 1e9)",
    "y ~ poly(x, " + "9" * 5000 + ")",
    "y ~ x^" + "9" * 5000,
    "y ~ x^x",
    "y ~ " + "(" * 5000 + "x" + ")" * 5000,
    "y ~ " + "log(" * 2000 + "x" + ")" * 2000,
    "y ~ " + "(x + " * 1500,
    "y ~ " + "-" * 5000 + "x",
    "y ~ " + "x" * 20000,
    "y ~ " + "x + " * 5000,
    "y ~ " + "(x|g) + " * 1200,
    "y ~ ((((x + z)^9)^9)^9 + w)^9 + `no such`",
]

CONDITIONS = [
    TOUCH,
    f"x == {TOUCH}",
    f"{TOUCH} == 1",
    "__import__('os').system('id') == 0",
    "x == __import__('os')",
    "os.system('id') == 0",
    "eval('1') == 1",
    "exec('1') == 1",
    "x == eval('1')",
    "len(x) == 1",
    "x.str.len() == 1",
    "x.__class__ == 1",
    "x['a'] == 1",
    "@x == 1",
    "x == @lists",
    "x == f'{z}'",
    'x == f"{__import__(1)}"',
    "x == b'1'",
    "(lambda: 1)() == 1",
    "lambda x: x == 1",
    "x == 1 if x else 2",
    "[x for x in z] == 1",
    "x in [z for z in x]",
    "x in [__import__('os')]",
    "x in __import__('os').environ",
    "x in range(3)",
    "x in {1, 2}",
    "x in (1, 2)",
    "x in 'abc'",
    "x is None",
    "x is __class__",
    "x == {}",
    "x == ${HOME}",
    "x == {{ 7*7 }}",
    "x := 1",
    "x = 1",
    "x == 1; import os",
    "x == 1 # or 1",
    "x == 1 -- comment",
    "x == 1 or 1 == 1",
    "1 == 1",
    "'1' == '1'; drop table",
    "x == 1 & z == 2",
    "x + 1 == 2",
    "x ** 9 == 2",
    "-x == 2",
    "~x",
    "x",
    "True",
    "None == x",
    "`os.system('id')` == 0",
    "`x` `z` == 1",
    "x == `__import__('os')`",
    "x == '\x00'",
    "x\x00 == 1",
    "x == 'a\nb'",
    "ｘ == 1",
    "x ＝= 1",
    "x == “a”",
    "x\u200b == 1",
    "х == 1",
    "x == 1e999",
    "x == 0x10",
    "x == 1_000",
    "x == 1j",
    "x == .5",
    "not " * 2000 + "x == 1",
    "(" * 4000 + "x == 1" + ")" * 4000,
    "((x == 1) and " * 600,
    "x == " + "9" * 9000,
    "x == 1 and " * 3000,
    "x" * 20000 + " == 1",
]


def _frame():
    return pd.DataFrame({"y": [0.0, 1.0, 1.0], "x": [1.0, 2.0, 3.0], "z": [1.0, 0.0, 1.0], "g": ["a", "b", "a"]})


def test_there_are_enough_strings():
    assert len(set(FORMULAS)) + len(set(CONDITIONS)) > 150


@pytest.mark.parametrize("text", FORMULAS, ids=range(len(FORMULAS)))
def test_hostile_formulas_are_refused(text):
    with pytest.raises(FormulaError) as caught:
        parse_formula(text).design(_frame())
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("text", CONDITIONS, ids=range(len(CONDITIONS)))
def test_hostile_conditions_are_refused(text):
    with pytest.raises(FormulaError) as caught:
        parse_condition(text).evaluate(_frame())
    assert len(str(caught.value)) < 1000


WATCH = textwrap.dedent(
    """
    import json, sys
    import pandas as pd
    from wwc_eval.errors import FormulaError
    from wwc_eval.formula import parse_condition, parse_formula

    frame = pd.DataFrame({"y": [0.0, 1.0, 1.0], "x": [1.0, 2.0, 3.0], "z": [1.0, 0.0, 1.0], "g": list("aba")})
    formulas, conditions = json.load(sys.stdin)

    def read(texts, verb):
        refused = 0
        for text in texts:
            try:
                verb(text)
            except FormulaError as error:
                str(error)
                refused += 1
        return refused

    verbs = (lambda t: parse_formula(t).design(frame), lambda t: parse_condition(t).evaluate(frame))
    # what loads or compiles on first use does so before the watch begins
    verbs[0]("y ~ log(x) + factor(z) + poly(x, 2) + (1 + z | g)")
    verbs[1]("x >= 1 and g in ['a'] or y is missing")
    read(["y ~ nosuch", "y ~ lоg(x)"], verbs[0])

    seen = []
    watching = True

    def hook(event, arguments):
        if watching:
            seen.append(event)

    sys.addaudithook(hook)
    if "--prove" in sys.argv:
        eval("1 + 1")
    counts = [read(formulas, verbs[0]), read(conditions, verbs[1])]
    watching = False
    print(json.dumps({"seen": sorted(set(seen)), "refused": counts}))
    """
)


def _watched(tmp_path, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", WATCH, *arguments],
        input=json.dumps([FORMULAS, CONDITIONS]),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
        timeout=120,
    )
    return json.loads(done.stdout)


def test_hostile_text_executes_nothing(tmp_path):
    found = _watched(tmp_path)
    assert found["seen"] == []
    assert found["refused"] == [len(FORMULAS), len(CONDITIONS)]
    assert not list(tmp_path.iterdir())


def test_the_watch_would_notice(tmp_path):
    assert {"compile", "exec"} <= set(_watched(tmp_path, "--prove")["seen"])
