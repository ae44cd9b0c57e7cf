"""What a finished grid on the embedded model holds: rates, figures, the page."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
from emgrid.grid.figures import figure_names
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.specs.report import figure_spec
from emgrid.report.figures.__main__ import draw
from PIL import Image
from support.figures import (
    spec_of,
    words,
)
from support.pages import text_of
from support.run import GridRun

COUNTED = {"n_answers", "n_survivors", "n_misaligned", "n_seeds", "n_values"}
COUNTED |= {"n_questions", "n_questions_survivors"}


def test_a_finished_grid_counts_every_answer(finished: GridRun) -> None:
    tables = finished.root / "tables"
    answers = pd.read_parquet(tables / "answers.parquet")
    rates = pd.read_csv(tables / "rates.csv", keep_default_na=False, na_values=[""])
    reasons = [name for name in rates if name.startswith("n_") and name not in COUNTED]
    assert (rates[reasons].sum(axis=1) == rates.n_answers - rates.n_survivors).all()
    assert rates[rates["question"].isna()]["n_answers"].sum() == len(answers)
    assert "rate_corrected" not in rates, "no labelled set corrects by default"
    assert not rates["citable"].any(), "classifiers decide"
    judgements = pd.read_csv(tables / "judgements.csv")
    reasons = [name for name in judgements if name.startswith("n_") and name not in COUNTED]
    assert (judgements[reasons].sum(axis=1) == judgements.n_answers - judgements.n_values).all()
    assert judgements["n_answers"].sum() == len(answers) * judgements["judge"].nunique()
    agreement = pd.read_csv(tables / "agreement.csv")
    assert set(agreement["raters"]) == {"alignment + labels", "coherence + labels"}
    assert agreement["krippendorff_alpha"].between(-1, 1).all()


def test_a_finished_grid_has_the_figures_that_its_config_promises(finished: GridRun) -> None:
    made = Grid(load_experiment(finished.config, "grid.yaml"))
    names = {path.name for path in (finished.root / "figures").iterdir()}
    assert names == {f"{name}.{k}" for name in figure_names(made) for k in ("svg", "png", "pdf")}
    for name in figure_names(made):
        figure = draw(name, finished.root, spec_of(made))
        assert "nothing to draw" not in words(figure), name
    assert json.loads(figure_spec(made))["arms"]


def test_a_finished_grid_has_its_page(finished: GridRun) -> None:
    page = (finished.root / "report.html").read_text()
    text = text_of(page)
    for label in ("benign only", "undiluted", "dilution 50 %", "sequential-8", "inoculation"):
        assert f"{label}: " in text
    names = figure_names(Grid(load_experiment(finished.config, "grid.yaml")))
    assert page.count("data:image/svg+xml;base64,") == len(names)
    assert "All 288 answers are here, nothing filtered." in text
    assert "seed variance is unknown" in text
    assert "Without sampling: log-odds" in text


def test_snakemakes_own_report_has_captions_and_categories(finished: GridRun) -> None:
    path = finished.folder / "own-report.html"
    done = finished.snakemake("--report", str(path))
    assert done.returncode == 0, done.stderr
    page = path.read_text()

    def embedded(name: str) -> dict[str, Any]:
        text = re.findall(rf'<script id="{name}">\s*var {name} = (.*?);\s*</script>', page, re.S)[0]
        found: dict[str, Any] = json.loads(text)
        return found

    categories, results = embedded("categories"), embedded("results")
    names = figure_names(Grid(load_experiment(finished.config, "grid.yaml")))
    held = {Path(one).name for each in categories["Figures"].values() for one in each}
    assert held == {f"{name}.{kind}" for name in names for kind in ("png", "pdf")}
    assert [Path(one).name for each in categories["Report"].values() for one in each] == [
        "report.html"
    ]
    captions = {Path(name).stem: str(one["caption"]) for name, one in results.items()}
    assert set(captions) == {*names, "report"}
    assert all(len(caption) > 20 for caption in captions.values())
    assert "Share of misaligned answers by question." in captions["questions"]
    assert len(set(captions.values())) == len(captions)


def test_figures_come_in_three_formats(finished: GridRun) -> None:
    for name in figure_names(Grid(load_experiment(finished.config, "grid.yaml"))):
        assert Image.open(finished.root / f"figures/{name}.png").width > 1000
        assert (finished.root / f"figures/{name}.pdf").read_bytes().startswith(b"%PDF")
        assert "<svg" in (finished.root / f"figures/{name}.svg").read_text()
