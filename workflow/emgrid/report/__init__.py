"""The report: figures and one self-contained page."""

FIGURES = ("rates", "heatmap", "likelihood", "judges", "calibration")


def figure_names(has_pairs: bool, has_quality: bool) -> list[str]:
    """The figures of a grid; the likelihood needs questions with matched answers, what is said of
    judges needs judges that can judge labelled answers."""
    without = {"likelihood"} if not has_pairs else set()
    without |= {"judges", "calibration"} if not has_quality else set()
    return [name for name in FIGURES if name not in without]
