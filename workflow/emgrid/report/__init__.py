"""The report: figures and one self-contained page."""

FIGURES = ("rates", "heatmap", "likelihood", "judges")
