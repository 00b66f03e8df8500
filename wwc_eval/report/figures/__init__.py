"""Figures of the report: participant flow, forest plot, love plot, the headline's interval."""

from wwc_eval.report.figures.flow_drawing import flow_figure, flow_svg
from wwc_eval.report.figures.forest import forest_figure, forest_plot
from wwc_eval.report.figures.love import love_figure

__all__ = ["flow_figure", "flow_svg", "forest_figure", "forest_plot", "love_figure"]
