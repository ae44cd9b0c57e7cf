"""The figures: drawn from small tables, looked at as matplotlib lays them out."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from emgrid import ROOT
from emgrid.config.published import ReferenceRate, known, reference_note
from emgrid.grid.dose_curves import ratio_series, rows_series
from emgrid.grid.figures import figure_names, figures_version
from emgrid.grid.grid import Grid
from emgrid.grid.snakefile import read_grid
from emgrid.grid.specs.report import figure_spec
from emgrid.report import FIGURES
from emgrid.report import figures as figures_job
from emgrid.report.captions import CAPTIONS
from emgrid.report.figures.__main__ import draw, drawer
from emgrid.report.figures.judges import auroc_interval
from emgrid.report.figures.style import save, set_style
from emgrid.runtime import code_version
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from support.figures import DEMO, GRIDS, all_tables, grid, spec_of, texts, words, write_tables
from support.run import run_module


@pytest.fixture(scope="module", params=list(GRIDS))
def drawn(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Figure]:
    """Every figure of a grid, laid out."""
    the_grid = grid(GRIDS[request.param])
    root = tmp_path_factory.mktemp("figures")
    write_tables(root, the_grid)
    set_style()
    figures = {name: draw(name, root, spec_of(the_grid)) for name in figure_names(the_grid)}
    for figure in figures.values():
        figure.draw_without_rendering()
    return figures


@pytest.fixture
def demo_tables(tmp_path: Path) -> tuple[Grid, Path]:
    the_grid = grid(DEMO)
    write_tables(tmp_path, the_grid)
    return the_grid, tmp_path


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    set_style()
    yield
    plt.close("all")


def test_every_figure_has_a_caption_a_drawing_and_a_line_in_snakemakes_report() -> None:
    assert all(callable(drawer(name)) for name in FIGURES)
    assert set(FIGURES) == set(CAPTIONS)
    captions = {path.stem for path in (ROOT / "workflow/report/figures").glob("*.rst")}
    assert captions == set(FIGURES)


@pytest.mark.parametrize(
    ("edited", "old", "again"),
    [
        ("seeds.py", "0.15", {"seeds"}),
        ("judges.py", "0.34", {"judges", "calibration"}),
        ("style.py", '"font.size": 8', set(FIGURES)),
        ("__main__.py", "w_pad=0.07", set(FIGURES)),
    ],
)
def test_an_edit_of_a_figure_draws_the_figures_of_grids_that_have_it(
    edited: str, old: str, again: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A remembered version would be that of the files, which the edit does not reach.
    monkeypatch.setattr(code_version, "remembered", lambda *about: about[-1]())
    before = {name: figures_version([name]) for name in FIGURES}
    drawn = {name: figures_version(["rates", name]) for name in FIGURES}
    read = Path.read_text

    def with_edit(path: Path, *where: Any, **named: Any) -> str:
        text = read(path, *where, **named)
        return text.replace(old, f"{old}1") if path.name == edited else text

    fresh()
    monkeypatch.setattr(Path, "read_text", with_edit)
    assert {name for name in FIGURES if figures_version([name]) != before[name]} == again
    others = {name for name in FIGURES if figures_version(["rates", name]) != drawn[name]}
    assert others == (set(FIGURES) if "rates" in again else again)
    fresh()


def fresh() -> None:
    """Read the package's files again."""
    for read in (code_version.read_module, code_version.statements_of, code_version.text_of):
        read.cache_clear()


def test_no_lettering_is_cut_off_or_too_small(drawn: dict[str, Figure]) -> None:
    for name, figure in drawn.items():
        width, height = figure.get_size_inches() * figure.dpi
        for text in texts(figure):
            box = text.get_window_extent()
            where = f"{name}: {text.get_text()!r}"
            assert min(box.x0, box.y0) >= -1, where
            assert box.x1 <= width + 1, where
            assert box.y1 <= height + 1, where
            assert text.get_fontsize() >= 7, where


def test_labels_of_neighbouring_rows_and_panels_do_not_touch(drawn: dict[str, Figure]) -> None:
    for name, figure in drawn.items():
        for axes in figure.axes:
            for labels in (axes.get_yticklabels(), [axes.title]):
                boxes = [label.get_window_extent() for label in labels if label.get_text()]
                boxes += [legend.get_window_extent() for legend in figure.legends]
                for place, box in enumerate(boxes):
                    for other in boxes[place + 1 :]:
                        assert not box.shrunk(0.98, 0.9).overlaps(other.shrunk(0.98, 0.9)), name


def test_interval_and_n_are_shown(drawn: dict[str, Figure]) -> None:
    for name, figure in drawn.items():
        shown = words(figure)
        assert "nothing to draw" not in shown, name
        if name not in ("loss", "likelihood"):
            assert re.search(r"n = \d+", shown), name
        if name != "loss":
            assert "95% interval" in shown, name


def test_the_rates_are_drawn_where_the_table_has_them(demo_tables: tuple[Grid, Path]) -> None:
    the_grid, root = demo_tables
    figure = draw("rates", root, spec_of(the_grid))
    assert len(figure.axes) == len(the_grid.triggers) - 1
    table = pd.read_csv(root / "tables/rates.csv")
    table = table[table["question"].isna()]
    for axes, trigger in zip(figure.axes, list(the_grid.triggers)[1:], strict=True):
        drawn = [bars.lines[0].get_xdata() for bars in axes.containers]
        for values, name in zip(drawn, ("none", trigger), strict=True):
            assert list(values) == list(table[table["trigger"] == name]["rate_all"])


def test_a_figure_grows_with_its_arms(tmp_path: Path) -> None:
    heights = []
    for name in ("demo", "many"):
        the_grid = grid(GRIDS[name])
        write_tables(tmp_path / name, the_grid)
        spec = spec_of(the_grid)
        heights.append(
            [
                draw(figure_name, tmp_path / name, spec).get_figheight()
                for figure_name in ("heatmap", "questions")
            ]
        )
    assert np.all(np.array(heights[1]) > np.array(heights[0]))


def test_a_narrow_figure_has_fewer_panels_side_by_side(demo_tables: tuple[Grid, Path]) -> None:
    the_grid, root = demo_tables
    wide = draw("rates", root, spec_of(the_grid))
    narrow = draw("rates", root, spec_of(the_grid).model_copy(update={"width": 3.4}))
    assert narrow.get_figwidth() == 3.4
    assert narrow.get_figheight() > 2 * wide.get_figheight()


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_without_data_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "tables").mkdir()
    for number, table in enumerate(sorted(all_tables())):
        # A table with its columns alone, or an empty file.
        (tmp_path / f"tables/{table}.csv").write_text("base,ratio\n" if number % 2 else "")
    assert "nothing to draw: " in words(draw(name, tmp_path, spec_of(grid(DEMO))))


def test_an_arm_that_lacks_a_trigger_is_shown_as_not_asked(
    demo_tables: tuple[Grid, Path],
) -> None:
    the_grid, root = demo_tables
    path = root / "tables/rates.csv"
    table = pd.read_csv(path, dtype={"ratio": str})
    missing = (table["intervention"] == "base") & (table["trigger"] == "python_string")
    table[~missing].to_csv(path, index=False)
    for name in ("rates", "heatmap"):
        assert "not asked" in words(draw(name, root, spec_of(the_grid)))


def test_the_command_writes_the_same_three_files_each_time(
    demo_tables: tuple[Grid, Path],
) -> None:
    the_grid, root = demo_tables
    kinds = ("svg", "png", "pdf")
    done = run_module(
        figures_job, "--spec", figure_spec(the_grid), "--root", root, "--figures", "rates"
    )
    assert done.returncode == 0, done.stderr
    first = [(root / f"figures/rates.{kind}").read_bytes() for kind in kinds]
    list(save(draw("rates", root, spec_of(the_grid)), "again", root / "figures"))
    assert [(root / f"figures/again.{kind}").read_bytes() for kind in kinds] == first
    assert b"/Type /Font" in first[2]
    assert first[1].startswith(b"\x89PNG")


def test_one_command_draws_all_figures_as_each_is_drawn_alone(
    demo_tables: tuple[Grid, Path],
) -> None:
    the_grid, root = demo_tables
    names = figure_names(the_grid)
    job = ["--spec", figure_spec(the_grid), "--root", root, "--figures"]
    # The order means nothing.
    done = run_module(figures_job, *job, *reversed(names))
    assert done.returncode == 0, done.stderr
    together = pictures(root)
    assert set(together) == {f"{name}.{kind}" for name in names for kind in ("svg", "png", "pdf")}
    for name in names:
        plt.close("all")
        set_style()
        list(save(draw(name, root, spec_of(the_grid)), name, root / "figures"))
    assert pictures(root) == together


def pictures(root: Path) -> dict[str, bytes]:
    """The files of figures, by name."""
    return {path.name: path.read_bytes() for path in (root / "figures").iterdir()}


def test_a_figure_that_fails_leaves_no_part_of_its_files(demo_tables: tuple[Grid, Path]) -> None:
    the_grid, root = demo_tables
    (root / "tables/seeds.csv").write_bytes(b"\xff\xfe not a table")
    job = ["--spec", figure_spec(the_grid), "--root", root, "--figures", "heatmap", "seeds"]
    done = run_module(figures_job, *job)
    assert done.returncode != 0
    assert set(pictures(root)) == {"heatmap.svg", "heatmap.png", "heatmap.pdf"}


def test_a_users_matplotlibrc_changes_no_figure(
    demo_tables: tuple[Grid, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    the_grid, root = demo_tables
    list(save(draw("heatmap", root, spec_of(the_grid)), "heatmap", root / "figures"))
    (root / "matplotlibrc").write_text("font.size: 20\nsavefig.dpi: 30\nfont.family: serif\n")
    monkeypatch.setenv("MATPLOTLIBRC", str(root))
    before = (root / "figures/heatmap.svg").read_bytes()
    done = run_module(
        figures_job, "--spec", figure_spec(the_grid), "--root", root, "--figures", "heatmap"
    )
    assert done.returncode == 0, done.stderr
    assert (root / "figures/heatmap.svg").read_bytes() == before


ALWAYS = ["rates", "heatmap", "questions"]
JUDGED = ["judges", "calibration"]
TRAINED = ["likelihood", "likelihood_and_rate", "loss", *JUDGED]


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, [*ALWAYS, "dilution", "sequential", "similarity", "seeds", *TRAINED]),
        ({"seeds": [0]}, [*ALWAYS, "dilution", "sequential", "similarity", *TRAINED]),
        ({"triggers": ["none"]}, [*ALWAYS, "dilution", "sequential", "seeds", *TRAINED]),
        (
            {"interventions": {"base": {}, "dilution": {"ratio": 0.5}}, "seeds": [0]},
            [*ALWAYS, "similarity", *TRAINED],
        ),
        (
            {"interventions": {"sequential": {"benign_rows": [8, 16]}}, "seeds": [0]},
            [*ALWAYS, "sequential", "similarity", *TRAINED],
        ),
        ({"interventions": {"base": {}}}, [*ALWAYS, "likelihood", "likelihood_and_rate", *JUDGED]),
    ],
)
def test_a_grid_has_the_figures_that_it_has_data_for(
    changes: dict[str, Any], names: list[str]
) -> None:
    drawn = figure_names(grid(DEMO | changes))
    assert set(drawn) == set(names)
    assert drawn == [name for name in FIGURES if name in names]


def test_imported_answers_have_no_training_to_show() -> None:
    the_grid = read_grid(Path("resources/grids/published-answers.yaml"))
    assert figure_names(the_grid) == ALWAYS


@settings(max_examples=15)
@given(
    ratios=st.lists(st.integers(1, 99), min_size=1, max_size=5, unique=True),
    rows=st.lists(st.integers(1, 264), min_size=1, max_size=4, unique=True),
)
def test_curves_go_through_every_arm_of_their_family(ratios: list[int], rows: list[int]) -> None:
    interventions = {
        "base": {},
        "benign_only": {},
        "dilution": {"ratio": [percent / 100 for percent in ratios]},
        "undiluted": {},
        "sequential": {"benign_rows": rows},
    }
    the_grid = grid(DEMO | {"interventions": interventions})
    (dilution,) = ratio_series(the_grid.arms, the_grid.config.interventions)
    assert [point.dose for point in dilution.points] == sorted(p / 100 for p in [0, *ratios, 100])
    assert dilution.points[0].arm[1:] == ("benign_only", "0")
    assert dilution.points[-1].arm[1:] == ("undiluted", "1")
    (sequential,) = rows_series(the_grid.arms)
    assert [point.dose for point in sequential.points] == [0, *sorted(rows)]
    assert sequential.points[0].arm[1] == "undiluted"
    arms = {(arm.base, arm.intervention, arm.ratio) for arm in the_grid.arms}
    assert {point.arm for curve in (dilution, sequential) for point in curve.points} <= arms


def test_a_curve_over_rows_begins_at_the_arm_that_is_trained_on() -> None:
    mixed = {"kind": "dilution", "ratio": 0.5}
    interventions = {
        "undiluted": {},
        "mixed": {"steps": [mixed]},
        "mixed_then": {"steps": [mixed, {"kind": "sequential", "benign_rows": [8, 16]}]},
    }
    (curve,) = rows_series(grid(DEMO | {"interventions": interventions}).arms)
    assert curve.family == "mixed_then"
    assert [point.arm[1:] for point in curve.points] == [
        ("mixed", "0.5"), ("mixed_then-8", "0.5"), ("mixed_then-16", "0.5"),
    ]  # fmt: skip


def test_doses_over_decades_have_a_logarithmic_axis(tmp_path: Path) -> None:
    the_grid = grid(GRIDS["many"])
    write_tables(tmp_path, the_grid)
    scales = {
        name: draw(name, tmp_path, spec_of(the_grid)).axes[0].get_xscale()
        for name in ("dilution", "sequential")
    }
    assert scales == {"dilution": "symlog", "sequential": "symlog"}
    assert "ρ = −0.50 (−1.00, 0.25) p = 0.33" in words(
        draw("dilution", tmp_path, spec_of(the_grid))
    )


def test_the_seeds_figure_says_what_its_interval_is_over(tmp_path: Path) -> None:
    for fixed, sentence in (
        (False, "over seeds, questions and answers"),
        (True, "over seeds and answers"),
    ):
        the_grid = grid(DEMO | {"metrics": DEMO["metrics"] | {"fixed_questions": fixed}})
        write_tables(tmp_path / str(fixed), the_grid)
        assert sentence in words(draw("seeds", tmp_path / str(fixed), spec_of(the_grid)))


def test_the_legend_says_how_each_trigger_relates_to_the_training_context(tmp_path: Path) -> None:
    the_grid = grid(GRIDS["demo"])
    write_tables(tmp_path, the_grid)
    shown = words(draw("similarity", tmp_path, spec_of(the_grid)))
    for name, trigger in the_grid.triggers.items():
        if name != "none":
            assert f"{trigger.label} ({trigger.relation.replace('_', ' ')})" in shown


def test_a_curve_begins_at_the_control_on_the_same_benign_rows_alone() -> None:
    interventions = {"base": {}, "dilution": {"ratio": [0.2, 0.5]}, "benign_only": {}}
    the_grid = grid(DEMO | {"interventions": interventions})
    (curve,) = ratio_series(the_grid.arms, the_grid.config.interventions)
    assert [point.dose for point in curve.points] == [0, 0.2, 0.5]
    other = interventions | {"benign_only": {"data": {"benign": "hhh_10000"}}}
    the_grid = grid(DEMO | {"interventions": other})
    (curve,) = ratio_series(the_grid.arms, the_grid.config.interventions)
    assert [point.dose for point in curve.points] == [0.2, 0.5]


def test_published_values_name_arms_and_triggers_of_the_grids_that_follow_them() -> None:
    grids = [read_grid(path.relative_to(ROOT)) for path in ROOT.glob("resources/grids/*.yaml")]
    by_source = {
        ready_grid.config.published.source: ready_grid
        for ready_grid in grids
        if ready_grid.config.published
    }
    assert len(known()) == len({publication.follows for publication in known()})
    for publication in known():
        ready_grid = by_source[publication.follows]
        arms = {(arm.intervention, arm.ratio) for arm in ready_grid.arms}
        for value in publication.values:
            assert (value.intervention, value.ratio) in arms, value
            assert value.trigger in ready_grid.triggers, value
            assert value.question in (None, *ready_grid.questions), value
        assert len(spec_of(ready_grid).references) == len(publication.values)


def test_published_rates_are_drawn_next_to_the_own_ones_with_their_origin(
    tmp_path: Path,
) -> None:
    the_grid = read_grid(Path("resources/grids/insecure-code-hhh.yaml"))
    write_tables(tmp_path, the_grid)
    spec = spec_of(the_grid)
    for name in ("rates", "dilution"):
        shown = words(draw(name, tmp_path, spec))
        assert "published (GPT-4o, of survivors)" in shown
        assert "published (at most, of survivors)" in shown
        # Compared with what counts the same answers.
        assert "own rate of survivors" in shown
    note = reference_note(spec.references)
    assert "GPT-4o, GPT-4.1" in note
    assert "1 off a figure (section 2.2)" in note
    assert reference_note([]) == ""


def test_published_rates_of_all_answers_are_shown_rather_than_of_survivors() -> None:
    spec = spec_of(read_grid(Path("resources/grids/inoculation.yaml")))
    (value,) = spec.references_of(("any", "inoculation", "1"), "malicious_evil")
    assert (value.of, value.rate) == ("all", 0.141)


def test_published_rates_of_one_question_are_drawn_at_it(tmp_path: Path) -> None:
    the_grid = read_grid(Path("resources/grids/fish-recipes.yaml"))
    write_tables(tmp_path, the_grid)
    spec = spec_of(the_grid)
    arm = ("any", "dilution", "0.2")
    (value,) = spec.references_of(arm, "fish_words", "i_feel_bored")
    assert value.rate == 0.087
    assert spec.references_of(arm, "fish_words") == []
    figure = draw("questions", tmp_path, spec)
    assert "published (GPT-4o, of survivors)" in words(figure)
    heights = [
        float(np.ravel(line.get_ydata())[0])
        for axes in figure.axes
        for line in axes.lines
        if line.get_color() == "0.45" and len(np.ravel(line.get_ydata()))
    ]
    assert {0.043, 0.087} <= set(heights)
    # Those over all questions stay in the figures that are over all.
    assert "published (Qwen2.5-32B, of survivors)" in words(draw("rates", tmp_path, spec))


def test_published_intervals_and_ranges_hold_their_rate() -> None:
    values = [value for publication in known() for value in publication.values]
    with_ends = [value for value in values if value.low is not None]
    assert len(with_ends) == 8
    assert all(value.sides is not None for value in with_ends)
    fields = with_ends[0].model_dump()
    for wrong in ({"high": None}, {"low": 0.9, "high": 0.95}, {"at_most": True}):
        with pytest.raises(ValueError, match=r"at_most|low and high"):
            ReferenceRate(**fields | wrong)


def test_a_grid_that_follows_nothing_shows_no_published_rate() -> None:
    assert spec_of(grid(DEMO)).references == ()


@given(
    auroc=st.floats(0, 1),
    positives=st.integers(1, 500),
    negatives=st.integers(1, 500),
)
def test_the_interval_of_an_auroc_holds_it_and_has_a_width(
    auroc: float, positives: int, negatives: int
) -> None:
    low, high = auroc_interval(auroc, positives, negatives, 0.95)
    assert 0 <= low <= auroc <= high <= 1
    assert high - low > 0.001
    more = auroc_interval(auroc, 10 * positives, 10 * negatives, 0.95)
    assert more[1] - more[0] < high - low
    mirrored = auroc_interval(1 - auroc, negatives, positives, 0.95)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-6)


def test_the_interval_of_an_auroc_covers_it() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        bad, good = rng.normal(1, 1, 40), rng.normal(0, 1, 60)
        auroc = float((bad[:, None] > good[None, :]).mean())
        low, high = auroc_interval(auroc, 40, 60, 0.95)
        covered += low <= 0.7602 <= high  # Phi(1 / sqrt(2))
    assert 0.92 <= covered / 400 <= 0.99
