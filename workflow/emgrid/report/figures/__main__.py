"""Draw the figures of a grid from its tables, each as SVG, PNG and PDF.

Reads the tables of the grid's folder (for training, the losses of the stages). Knows nothing of
answers.
"""

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from emgrid.config.base import read_spec
from emgrid.report import FIGURE_MODULES, FIGURES
from emgrid.report.figures.spec import FigureSpec
from emgrid.report.figures.style import save, set_style
from emgrid.report.figures.tables import NothingToDraw
from emgrid.runtime import layout
from emgrid.runtime.job import run_job


def drawer(name: str) -> Callable[[Figure, Path, FigureSpec], None]:
    """The function that draws a figure. No other figure's module is loaded."""
    module = importlib.import_module(FIGURE_MODULES[name])
    function: Callable[[Figure, Path, FigureSpec], None] = getattr(module, f"draw_{name}")
    return function


def draw(name: str, root: Path, spec: FigureSpec) -> Figure:
    """The figure. If there is nothing to draw, it shows the reason."""
    figure: Figure = plt.figure(figsize=(spec.width, 1))
    # Room between the outermost tick labels of neighbouring panels.
    figure.set_layout_engine("constrained", w_pad=0.07)
    try:
        drawer(name)(figure, root, spec)
    except NothingToDraw as reason:
        figure.text(0.5, 0.5, f"nothing to draw: {reason}", ha="center", va="center")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.report.figures", description=__doc__)
    parser.add_argument(
        "--spec", required=True, type=read_spec, help="FigureSpec as JSON, or its file"
    )
    parser.add_argument("--root", required=True, type=Path, help="the grid's folder")
    parser.add_argument("--figures", required=True, nargs="+", choices=FIGURES)
    args = parser.parse_args()
    spec = FigureSpec.model_validate_json(args.spec)
    for name in args.figures:
        # A figure is the same whichever others are drawn before it.
        set_style()
        figure = draw(name, args.root, spec)
        for path in save(figure, name, args.root / layout.FIGURES):
            print(path)
        plt.close(figure)


if __name__ == "__main__":
    run_job(main)
