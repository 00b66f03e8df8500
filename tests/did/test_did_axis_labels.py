"""Labels of axes stand inside their figures, however long the name of a rate is."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

import wwc_eval as we
from wwc_eval.did.axis_words import axis_label

UNITS = "cla_starts per 10,000 child_population"


@pytest.fixture(scope="module")
def panel():
    rng = np.random.default_rng(5)
    start = np.where(np.arange(40) < 12, 2018 + np.arange(40) % 2, 0)
    data = pd.DataFrame(
        [
            (la, year, rng.poisson(300 - 30 * (0 < start[la] <= year)), 45_000, start[la])
            for la in range(40)
            for year in range(2012, 2022)
        ],
        columns=["la", "year", "cla_starts", "child_population", "start"],
    )
    names = {"unit": "la", "period": "year", "outcome": "cla_starts", "cohort": "start"}
    return we.Panel(data, **names, exposure="child_population", per=10_000)


RESULTS = {
    "honest, one event": lambda panel: we.did.honest(we.did.sun_abraham(panel)),
    "honest, average": lambda panel: we.did.honest(we.did.sun_abraham(panel), "smoothness", weights="average"),
    "pre-trends": lambda panel: we.did.pre_trend_power(we.did.sun_abraham(panel)),
    "event study": we.did.event_study,
    "Callaway and Sant'Anna": lambda panel: we.did.callaway_santanna(panel).aggregate("event"),
    "decomposition": we.did.bacon_decomposition,
}


@pytest.mark.parametrize("name", list(RESULTS))
def test_labels_of_rates_are_no_longer_than_their_axes(panel, name):
    ax = RESULTS[name](panel).plot()
    assert UNITS in " ".join(ax.get_ylabel().split("\n"))
    ax.figure.set_size_inches(6.4, 4.0)
    FigureCanvasAgg(ax.figure).draw()
    box, page = ax.yaxis.label.get_window_extent(), ax.figure.bbox
    assert page.y0 <= box.y0 <= box.y1 <= page.y1
    assert page.x0 <= box.x0


def test_the_level_of_honest_intervals_stands_in_the_legend(panel):
    ax = we.did.honest(we.did.sun_abraham(panel), level=0.9).plot()
    assert "honest 90% interval" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_short_labels_are_one_line_and_names_stay_whole():
    assert axis_label("effect on rate (95% interval)") == "effect on rate (95% interval)"
    name = "starts_of_section_47_enquiries_in_the_year_to_march_per_child"
    assert name in axis_label(f"effect on {name} (95% interval)").splitlines()
