"""Figures: text inside its boxes, marks that can be told apart, axes in the right units."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import combinations, pairwise
from xml.etree import ElementTree as ET

import matplotlib as mpl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ImageFont
from report_records import ARMS, analysis, baseline, effect, failed_effect, flow, locked, secondaries
from report_trials import HOSTILE, hostile

from wwc_eval.data.flow import Flow, FlowBox
from wwc_eval.errors import DesignError
from wwc_eval.estimate import Estimates
from wwc_eval.report import flow_svg, forest_plot
from wwc_eval.report.figures.axis import ratio_ticks, tick_words
from wwc_eval.report.figures.flow_layout import layout_flow
from wwc_eval.report.figures.forest import MARKS, forest_figure
from wwc_eval.report.figures.forest_rows import forest_panels
from wwc_eval.report.figures.love import love_figure
from wwc_eval.report.figures.ruler import ruler_figure
from wwc_eval.report.figures.style import styled
from wwc_eval.report.figures.textsize import text_width, wrap
from wwc_eval.table import Column, Table

SVG = "{http://www.w3.org/2000/svg}"
FOUR = ("usual", "phone call", "conference", "conference with advocate and a named lead practitioner")


@lru_cache
def font(*, bold: bool) -> ImageFont.FreeTypeFont:
    """DejaVu Sans at 100 pixels, read by Pillow: another measure than the package's own."""
    folder = mpl.get_data_path() + "/fonts/ttf/"
    return ImageFont.truetype(folder + ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"), 100)


def drawn(svg: str):
    """Boxes and texts of a flow: (x, y, width, height) and (text, left, right, top, bottom, role)."""
    root = ET.fromstring(svg)
    boxes = [tuple(float(rect.get(k)) for k in ("x", "y", "width", "height")) for rect in root.iter(f"{SVG}rect")]
    texts = []
    for node in root.iter(f"{SVG}text"):
        size = float(node.get("font-size"))
        width = font(bold=node.get("font-weight") == "700").getlength(node.text or "") * size / 100
        x, y = float(node.get("x")), float(node.get("y"))
        left = x - width / 2 if node.get("text-anchor") == "middle" else x
        texts.append((node.text, left, left + width, y - 0.8 * size, y + 0.25 * size))
    return root, boxes, texts


def check_inside(svg: str) -> None:
    root, boxes, texts = drawn(svg)
    _, _, width, height = (float(part) for part in root.get("viewBox").split())
    for x, y, w, h in boxes:
        assert x >= 0
        assert y >= 0
        assert x + w <= width
        assert y + h <= height
    for one, other in combinations(boxes, 2):
        apart = (
            one[0] + one[2] <= other[0] or other[0] + other[2] <= one[0]
            or one[1] + one[3] <= other[1] or other[1] + other[3] <= one[1]
        )  # fmt: skip
        assert apart, (one, other)
    for text, left, right, top, bottom in texts:
        assert right <= width, text
        holders = [
            b for b in boxes if b[0] <= left and right <= b[0] + b[2] and b[1] <= top and bottom <= b[1] + b[3]
        ]
        in_gutter = right < min((b[0] for b in boxes), default=width)
        assert holders or in_gutter, text


@pytest.mark.parametrize("arms", [("all",), ARMS, FOUR[:3], FOUR])
def test_text_of_the_flow_stays_inside_its_boxes(arms):
    check_inside(flow_svg(flow(arms)))


def test_hostile_text_of_the_flow_stays_inside_its_boxes():
    svg = flow_svg(hostile().flow)
    check_inside(svg)
    assert "<script" not in svg


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
counts = st.dictionaries(words, st.one_of(st.integers(0, 10**7), st.just("<10")), max_size=2)


@pytest.mark.property
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    arms=st.lists(words, min_size=1, max_size=4, unique=True),
    label=words,
    count=counts,
    reasons=st.lists(st.tuples(words, counts), max_size=3),
    kinds=st.lists(
        st.sampled_from(["received", "excluded", "allocated", "lost", "analysed", "other"]), max_size=5
    ),
)
def test_any_flow_is_drawn_well_formed_and_inside(arms, label, count, reasons, kinds):
    boxes = [FlowBox(kind="received", label=label, counts=count)]
    for number, kind in enumerate(kinds):
        held = arms if number % 2 else [None]
        boxes += [FlowBox(kind=kind, label=label, counts=count, arm=arm, reasons=tuple(reasons)) for arm in held]
    root, _, texts = drawn(flow_svg(Flow(arms=tuple(arms), boxes=tuple(boxes))))
    assert root.find(f"{SVG}desc") is not None
    # Pillow draws a missing glyph wider or narrower than a browser's fallback font: known characters only
    if all(ord(character) < 0x250 for text, *_ in texts for character in text or ""):
        check_inside(flow_svg(Flow(arms=tuple(arms), boxes=tuple(boxes))))


def test_the_flow_is_told_in_words_with_its_counts():
    root = ET.fromstring(flow_svg(flow(), {"families": "family"}))
    described = root.find(f"{SVG}desc").text
    assert root.get("role") == "img"
    assert root.find(f"{SVG}title").text == "Participant flow"
    assert (
        "conference: Lost to follow-up: 35 families, 60 children (Moved out of the local authority: 24 families"
        in described
    )
    assert "Did not receive it: <10 families" in described


def test_one_family_is_not_families():
    box = FlowBox(kind="received", label="Randomised", counts={"families": 1, "children": 1})
    assert "1\u00a0family, 1\u00a0children" in flow_svg(Flow(arms=(), boxes=(box,)), {"families": "family"})


def test_an_empty_flow_is_an_empty_drawing():
    _, boxes, texts = drawn(flow_svg(Flow(arms=ARMS, boxes=())))
    assert boxes == texts == []


def by_arm(boxes):
    """The same boxes arm by arm in place of stage by stage."""
    spanning = [box for box in boxes if box.arm is None]
    arms = list(dict.fromkeys(box.arm for box in boxes if box.arm is not None))
    return tuple(spanning + [box for arm in arms for box in boxes if box.arm == arm])


@pytest.mark.parametrize("arms", [ARMS, FOUR])
def test_a_flow_told_arm_by_arm_is_the_same_drawing(arms):
    staged = flow(arms)
    told = Flow(arms=arms, boxes=by_arm(staged.boxes), notes=staged.notes)
    heights = [{box.y for box in layout_flow(one).boxes} for one in (staged, told)]
    assert heights[0] == heights[1]
    check_inside(flow_svg(told))


def test_an_arm_that_skips_a_stage_or_has_one_of_its_own_keeps_its_order():
    kinds = {"usual": ("allocated", "lost", "analysed"), "conference": ("allocated", "excluded", "analysed")}
    boxes = tuple(FlowBox(kind=kind, label=kind, counts={}, arm=arm) for arm, own in kinds.items() for kind in own)
    layout = layout_flow(Flow(arms=ARMS, boxes=boxes))
    tops = {(layout.boxes[t.box].x, t.text): t.y for t in layout.texts if t.role == "body"}
    for column in {x for x, _ in tops}:
        own = [text for (x, text), _ in sorted(tops.items(), key=lambda item: item[1]) if x == column]
        assert own in (list(kinds["usual"]), list(kinds["conference"]))
    analysed = [y for (_, text), y in tops.items() if text == "analysed"]
    assert analysed[0] == analysed[1]


def test_arms_of_a_flow_stand_in_declared_order():
    layout = layout_flow(flow(FOUR))
    heads = [text for text in layout.texts if text.role == "arm"]
    by_box = sorted({text.box: layout.boxes[text.box].x for text in heads}.items(), key=lambda pair: pair[1])
    assert [next(t.text for t in heads if t.box == box) for box, _ in by_box][:3] == [
        "Usual",
        "Phone call",
        "Conference",
    ]


@pytest.mark.parametrize(
    "text", ["Referred at the pre-proceedings stage", "mean (SD)", "−12.9 to −3.3", "Ynys Môn"]
)
@pytest.mark.parametrize("bold", [False, True])
def test_widths_agree_with_another_reader_of_the_font(text, bold):
    assert text_width(text, 13, bold=bold) == pytest.approx(font(bold=bold).getlength(text) * 0.13, rel=0.03)


def test_widths_do_not_depend_on_what_was_drawn_before():
    before = text_width("Moved out of the local authority", 13)
    forest_figure((analysis(),))
    assert text_width("Moved out of the local authority", 13.0) == before


def test_wrapping_cuts_words_that_fit_no_line_and_says_that_more_follows():
    lines = wrap("W" * 200, 100, 14, lines=3)
    assert len(lines) == 3
    assert lines[-1].endswith("…")
    assert all(text_width(line, 14) <= 100 for line in lines)
    assert wrap("", 100, 14) == [""]


def test_forest_of_a_risk_difference_is_in_percentage_points():
    ax = forest_plot(analysis(), scale="risk_difference")
    assert ax.get_xlabel() == "Percentage points (below 0 is better for children)"
    assert ax.get_xscale() == "linear"
    low, high = ax.get_xlim()
    assert low < -12.9 < -3.3 < 0 < high
    assert any(text.get_text() == "−8.1 (−12.9 to −3.3)" for text in ax.texts)
    drawn_at = [line.get_xdata() for line in ax.lines if line.get_marker() == "s"]
    assert drawn_at[0][0] == pytest.approx(-8.12)


def test_forest_of_ratios_is_on_a_log_axis():
    ax = forest_plot([analysis()], scale="odds_ratio")
    assert ax.get_xscale() == "log"
    assert "0.7" in {tick.get_text() for tick in ax.get_xticklabels()}


def test_forest_draws_on_the_axes_given_and_nothing_else():
    from matplotlib.figure import Figure

    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert forest_plot([analysis()], left, scale="risk_difference") is left
    assert not right.lines
    assert figure.axes == [left, right]


def test_forest_takes_estimates_of_any_room():
    ones = Estimates([effect(-0.05, 0.02, term="a"), effect(-0.03, 0.02, term="b")], title="Fit")
    labels = [tick.get_text() for tick in forest_plot([ones, effect(0.01, 0.02, term="c")]).get_yticklabels()]
    assert labels == ["Fit", "a", "b", "c"]


def test_forest_refuses_to_mix_scales():
    with pytest.raises(DesignError, match="one axis cannot hold several scales or units") as error:
        forest_plot([analysis()])
    assert "scale=" in str(error.value)
    with pytest.raises(DesignError, match="there is no estimate to draw") as error:
        forest_plot([analysis()], scale="hedges_g")
    assert "'risk_difference', 'odds_ratio'" in str(error.value)
    with pytest.raises(DesignError, match="there is no estimate to draw"):
        forest_plot([])


def test_forest_panels_keep_scales_and_units_apart():
    record = locked()
    panels = forest_panels(record.analyses)
    assert [panel.title for panel in panels] == [
        "Risk difference (percentage points)", "Odds ratio", "Difference in means (days)", "Rate ratio",
    ]  # fmt: skip
    first = [row.group for row in panels[0].rows]
    assert list(dict.fromkeys(first)) == [
        "Primary", "Varying “In care at 12 months, as randomised”", "Infants", "Earlier child protection plan", "Secondary",
    ]  # fmt: skip
    # an interaction is a difference of effects and no effect
    assert all(":" not in row.estimate.term.partition(" | ")[0] for panel in panels for row in panel.rows)


def test_roles_differ_in_shape_or_fill_and_not_in_colour_alone():
    looks = {role: (shape, filled) for role, (shape, _, filled, _) in MARKS.items()}
    looks.pop("unadjusted")  # a sensitivity analysis like the others
    assert len(set(looks.values())) == len(looks)


def test_an_absurd_interval_is_cut_and_marked():
    wild = analysis(id="wild", title="Wild", role="sensitivity", of="primary", estimates=(effect(-0.05, 9.0),))
    ax = forest_plot([analysis(), wild], scale="risk_difference")
    low, high = ax.get_xlim()
    assert high - low < 100
    assert {"<", ">"} <= {line.get_marker() for line in ax.lines}


def test_an_infinite_interval_and_no_estimate_are_drawn_without_complaint():
    endless = effect(5.0, 2.0, "odds_ratio").replace(ci_low=0.0, ci_high=math.inf)
    ax = forest_plot([endless, failed_effect("odds_ratio"), effect(0.7, 0.1, "odds_ratio")])
    assert any(text.get_text() == "not estimated" for text in ax.texts)
    assert all(math.isfinite(limit) for limit in ax.get_xlim())
    only = forest_plot([failed_effect()])
    assert list(only.get_xticks()) == []


@pytest.mark.parametrize("results", [locked().analyses, secondaries(), hostile().analyses[:2]])
def test_nothing_of_a_forest_figure_leaves_the_figure(results):
    from wwc_eval.report.figures.forest import _place, _stack

    panels = forest_panels(results)
    with styled():
        figure, axes = _stack(panels, [_place(panel)[1] for panel in panels])
        figure.canvas.draw()
        renderer = figure.canvas.get_renderer()
        frame = figure.bbox
        texts = [
            t for ax in axes for t in (*ax.texts, *ax.get_yticklabels(), *ax.get_xticklabels(), ax.xaxis.label)
        ]
        for text in (text for text in texts if text.get_text()):
            box = text.get_window_extent(renderer)
            assert box.x0 >= frame.x0 - 1
            assert box.y0 >= frame.y0 - 1
            if HOSTILE[:6] not in text.get_text():
                assert box.x1 <= frame.x1 + 1, text.get_text()


def test_labels_of_a_forest_do_not_run_into_the_axes():
    ax = forest_plot(locked().analyses[:3], scale="risk_difference")
    with styled():
        ax.get_figure().canvas.draw()
        renderer = ax.get_figure().canvas.get_renderer()
        edge = ax.get_window_extent(renderer).x0
        assert all(tick.get_window_extent(renderer).x1 < edge for tick in ax.get_yticklabels())
        middles = sorted(tick.get_window_extent(renderer).y0 for tick in ax.get_yticklabels())
        assert all(after - before > 10 for before, after in pairwise(middles))


def test_a_long_forest_is_cut_into_figures_with_one_axis():
    many = [
        analysis(
            id=f"a{k}", title=f"Analysis {k}", role="exploratory", estimates=(effect(-0.05, 0.01 + 0.001 * k),)
        )
        for k in range(60)
    ]
    figures = forest_figure(many)
    assert [figure.name for figure in figures] == ["forest", "forest_2"]
    assert sum(figure.alt.count("Analysis") for figure in figures) == 60
    ends = [set(ET.fromstring(figure.svg).itertext()) for figure in figures]
    assert {"−10", "0"} <= ends[0] & ends[1]


def test_alt_text_of_a_forest_gives_every_estimate():
    (figure,) = forest_figure((analysis(),))
    assert "In care at 12 months, as randomised: −8.1 (−12.9 to −3.3)" in figure.alt
    assert "Odds ratio: In care at 12 months, as randomised: 0.713 (0.582 to 0.875)" in figure.alt


def test_love_plot_counts_what_is_notable():
    figure = love_figure(baseline(), ARMS)
    assert "9 standardised differences" in figure.alt
    assert "one is larger than 0.1 in size; the largest is 0.12 (Known to services before)" in figure.alt
    texts = set(ET.fromstring(figure.svg).itertext())
    assert "Ethnicity: mixed" in texts
    assert "Ethnicity: other" not in texts  # its difference is not shown


def test_love_plot_has_a_mark_an_arm():
    names = {arm: f"std_difference_{arm}" for arm in FOUR[1:]}
    table = baseline(FOUR)
    texts = set(ET.fromstring(love_figure(table, FOUR).svg).itertext())
    assert {f"Standardised difference, {arm}" for arm in names} <= texts


def test_no_love_plot_without_differences():
    assert love_figure(Table([{"v": "Age", "n": 3}], [Column(name="v"), Column(name="n", kind="count")])) is None


def test_ruler_marks_no_difference_and_the_smallest_worthwhile_effect():
    result = analysis()
    figure = ruler_figure(result.estimates[:1], result, -0.05, name="headline")
    texts = set(ET.fromstring(figure.svg).itertext())
    assert {"no difference", "smallest worthwhile"} <= texts
    assert "smallest worthwhile effect −5.0" in figure.alt
    assert ruler_figure(result.estimates[:1], analysis(status="separated"), None, name="h") is None
    assert ruler_figure((failed_effect(),), result, None, name="h") is None
    assert ruler_figure(result.estimates[1:], result, None, name="h") is not None


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.55, 1.05, [0.6, 0.7, 0.8, 0.9, 1.0]),
        (0.2, 6.0, [0.2, 0.5, 1.0, 2.0, 5.0]),
        (0.001, 1000.0, [0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0]),
    ],
)
def test_ticks_of_ratios_are_plain(low, high, expected):
    assert ratio_ticks(low, high) == expected


@pytest.mark.property
@settings(max_examples=60, deadline=None)
@given(low=st.floats(-12, 12), span=st.floats(0.01, 40))
def test_ticks_of_ratios_are_few_and_inside(low, span):
    ticks = ratio_ticks(math.exp(low), math.exp(low + span))
    assert len(ticks) <= 8
    assert all(math.exp(low) <= tick <= math.exp(low + span) for tick in ticks)
    assert len({tick_words(tick) for tick in ticks}) == len(ticks)
