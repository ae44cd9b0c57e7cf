"""Draw one figure from the tables, as SVG, PNG and PDF.

Reads the tables of the grid's folder (of training, the losses of its stages). Knows nothing of
answers.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from emgrid.errors import run_stage
from emgrid.report import FIGURES
from emgrid.report.figures.dose import draw_dilution, draw_sequential
from emgrid.report.figures.heatmap import draw_heatmap
from emgrid.report.figures.judges import draw_calibration, draw_judges
from emgrid.report.figures.loss import draw_loss
from emgrid.report.figures.metrics import draw_likelihood_and_rate
from emgrid.report.figures.pairs import draw_likelihood, draw_rates
from emgrid.report.figures.questions import draw_questions
from emgrid.report.figures.seeds import draw_seeds
from emgrid.report.figures.similarity import draw_similarity
from emgrid.report.figures.spec import FigureSpec
from emgrid.report.figures.style import save, set_style
from emgrid.report.figures.tables import NothingToDraw
from emgrid.strict import handed

DRAW: dict[str, Callable[[Figure, Path, FigureSpec], None]] = {
    "rates": draw_rates,
    "heatmap": draw_heatmap,
    "dilution": draw_dilution,
    "sequential": draw_sequential,
    "similarity": draw_similarity,
    "questions": draw_questions,
    "seeds": draw_seeds,
    "likelihood": draw_likelihood,
    "likelihood_and_rate": draw_likelihood_and_rate,
    "loss": draw_loss,
    "judges": draw_judges,
    "calibration": draw_calibration,
}


def draw(name: str, root: Path, spec: FigureSpec) -> Figure:
    """The figure; where there is nothing to draw, it says why."""
    figure: Figure = plt.figure(figsize=(spec.width, 1))
    # Room between the outermost tick labels of neighbouring panels.
    figure.set_layout_engine("constrained", w_pad=0.07)
    try:
        DRAW[name](figure, root, spec)
    except NothingToDraw as reason:
        figure.text(0.5, 0.5, f"nothing to draw: {reason}", ha="center", va="center")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.report.figures", description=__doc__)
    parser.add_argument(
        "--spec", required=True, type=handed, help="FigureSpec as JSON, or its file"
    )
    parser.add_argument("--root", required=True, type=Path, help="the grid's folder")
    parser.add_argument("--figure", required=True, choices=FIGURES)
    args = parser.parse_args()
    set_style()
    figure = draw(args.figure, args.root, FigureSpec.model_validate_json(args.spec))
    for path in save(figure, args.figure, args.root / "figures"):
        print(path)


if __name__ == "__main__":
    run_stage(main)
