"""The report: figures and one self-contained page."""

# The figures in the order of the report, and the tables that each reads.
FIGURES = {
    "rates": ("rates.csv",),
    "heatmap": ("rates.csv",),
    "dilution": ("rates.csv", "dose.csv"),
    "sequential": ("rates.csv", "dose.csv"),
    "similarity": ("similarity.csv", "contrasts.csv", "rates.csv", "dose.csv"),
    "questions": ("rates.csv",),
    "seeds": ("rates.csv", "seeds.csv"),
    "likelihood": ("likelihood.csv",),
    "likelihood_and_rate": ("likelihood.csv", "rates.csv"),
    "loss": ("arms.csv",),
    "judges": ("judges.csv",),
    "calibration": ("calibration.csv", "judges.csv"),
}

# Where each is drawn, by a function `draw_<figure>`.
FIGURE_MODULES = {
    name: f"emgrid.report.figures.{module}"
    for name, module in {
        "rates": "pairs",
        "heatmap": "heatmap",
        "dilution": "dose",
        "sequential": "dose",
        "similarity": "similarity",
        "questions": "questions",
        "seeds": "seeds",
        "likelihood": "pairs",
        "likelihood_and_rate": "metrics",
        "loss": "loss",
        "judges": "judges",
        "calibration": "judges",
    }.items()
}
