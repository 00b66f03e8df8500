"""The report of a run: one self-contained page, its figures, and the same in Word."""

from wwc_eval.report.blocks import (
    Bullets,
    Cell,
    DataTable,
    Details,
    Facts,
    Figure,
    Heading,
    Html,
    Notice,
    Section,
    Text,
)
from wwc_eval.report.figures import flow_svg, forest_plot
from wwc_eval.report.page import html_block, render_html, render_report
from wwc_eval.report.record import AnalysisResult, DataFile, RunRecord, Supplement
from wwc_eval.report.tables import table_block

__all__ = [
    "AnalysisResult",
    "Bullets",
    "Cell",
    "DataFile",
    "DataTable",
    "Details",
    "Facts",
    "Figure",
    "Heading",
    "Html",
    "Notice",
    "RunRecord",
    "Section",
    "Supplement",
    "Text",
    "flow_svg",
    "forest_plot",
    "html_block",
    "render_html",
    "render_report",
    "table_block",
]
