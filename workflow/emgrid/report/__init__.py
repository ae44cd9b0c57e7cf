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
