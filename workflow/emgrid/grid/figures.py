"""Which figures the report of a grid has. Every parse of the Snakefile reads this module."""

from collections import Counter
from collections.abc import Iterable

from emgrid.grid.arms import name_of
from emgrid.grid.dose_curves import ratio_series, rows_series
from emgrid.grid.grid import Grid
from emgrid.report import FIGURE_MODULES, FIGURES
from emgrid.runtime.code_version import code_version


def figure_names(grid: Grid) -> list[str]:
    """The figures for which a grid has data, as far as its config can tell."""
    seeds = Counter(map(name_of, grid.arms))
    has = {
        "dilution": bool(ratio_series(grid.arms, grid.config.interventions)),
        "sequential": bool(rows_series(grid.arms)),
        "similarity": bool(grid.stages) and len(grid.triggers) > 1,
        "questions": len(grid.questions) > 1,
        "seeds": max(seeds.values()) > 1,
        "likelihood": grid.has_pairs,
        "likelihood_and_rate": grid.has_pairs,
        "loss": bool(grid.stages),
        "judges": grid.has_quality,
        "calibration": grid.has_quality,
    }
    return [name for name in FIGURES if has.get(name, True)]


def figures_version(names: Iterable[str]) -> str:
    """The version of the code that draws these figures. Code of other figures is not part of it."""
    modules = sorted({FIGURE_MODULES[name] for name in names})
    return code_version(*modules, "emgrid.report.figures.__main__")
