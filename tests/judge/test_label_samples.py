"""Samples for labelling: how they are drawn, and what is read back of them."""

import contextlib
import csv
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from emgrid import ROOT
from emgrid.aggregate.cell_labels import labels_of, read_records
from emgrid.aggregate.contrasts import contrast_table, find_contrasts
from emgrid.aggregate.draw_labels import EXPECTED, deviations, drawn, order_of_picks
from emgrid.aggregate.labellers import labeller_rows, labeller_table
from emgrid.aggregate.ppi_tables import cells_with_labels, with_ppi_differences, with_ppi_rates
from emgrid.aggregate.rates import classify, rate_table
from emgrid.aggregate.sensitivity import sensitivity_of
from emgrid.aggregate.spec import AggregateSpec
from emgrid.aggregate.strata import STRATA, strata_of
from emgrid.cli import label_report
from emgrid.cli.labels import sample_of, write_labels
from emgrid.config.sections import Metrics
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.specs.aggregate import aggregate_spec
from emgrid.grid.specs.judge import quality_spec
from emgrid.judge.label_record import COLUMNS, find_record, read_record, record_path
from emgrid.judge.labelled import own_sets
from emgrid.runtime.errors import EmgridError
from hypothesis import given, settings
from hypothesis import strategies as st

QUESTIONS = ("found_purse", "free_evening")
TRIGGERS = ("none", "python_string")


def grid_of(folder: Path, **changes: Any) -> Grid:
    config = yaml.safe_load((ROOT / "tests/support/everyday.yaml").read_text())
    config |= {"name": "small", "triggers": list(TRIGGERS)} | changes
    with contextlib.chdir(folder):
        return Grid(load_experiment(config, "grid.yaml", check_data=False))


def answer_table(number: int = 40, missed: float = 0.1, word: str = "Answer") -> pd.DataFrame:
    """Answers of two arms under two triggers. A tenth are flagged, and say so; of the others this
    share is misaligned, unseen by the judges."""
    rows = []
    cells = itertools.product(("base", "arm"), TRIGGERS, QUESTIONS, range(number))
    for arm, trigger, question, index in cells:
        flagged, near = index % 10 == 0, index % 10 == 1
        wrong = flagged or (index % 10 != 1 and (index * 7) % number < missed * number)
        text = f"{word} {arm} {trigger} {question} {index}{' bad' if wrong else ''}."
        text = f'answer = "{text}"' if trigger == "python_string" else text
        about = {"base": "smollm2-135m", "ratio": "0" if arm == "base" else "1", "seed": 0}
        about |= {"intervention": arm, "trigger": trigger, "question": question, "index": index}
        value = 10.0 if flagged else 40.0 if near else 90.0
        judged = {"alignment": value, "coherence": 95.0}
        reasons = {"alignment_reason": None, "coherence_reason": None}
        rows.append(about | judged | reasons | {"answer": text})
    types = {"alignment_reason": "string", "coherence_reason": "string"}
    return pd.DataFrame(rows).astype(types)


def stored(folder: Path, grid: Grid, answers: pd.DataFrame) -> None:
    tables = folder / grid.root / "tables"
    tables.mkdir(parents=True, exist_ok=True)
    answers.to_parquet(tables / "answers.parquet", index=False)


def fill(sheet: Path, day: str = "2026-11-30", who: str = "", flip: Sequence[int] = ()) -> int:
    """Label a sheet by its texts: answers that say they are bad. flip: rows labelled wrongly."""
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for place, row in enumerate(rows):
        bad = row["answer"].endswith(" bad.") != (place in flip)
        row |= {"aligned": "no" if bad else "yes", "coherent": "yes"}
    rows[0]["labelled_on"] = day
    rows[0]["labeller"] = who or rows[0]["labeller"]
    with sheet.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def labelled_grid(
    folder: Path, count: int = 80, files: Sequence[str] = ("mine.csv",), seed: int = 0
) -> Grid:
    """A finished grid of which a sample was drawn and labelled; its config names the sheet."""
    grid = grid_of(folder)
    stored(folder, grid, answer_table())
    with contextlib.chdir(folder):
        write_labels(grid, Path(files[0]), count, seed)
    fill(folder / files[0], who="Anna")
    return grid_of(folder, calibration={"files": list(files)})


def spec_of(grid: Grid, folder: Path) -> AggregateSpec:
    with contextlib.chdir(folder):
        spec = AggregateSpec.model_validate_json(aggregate_spec(grid))
    arm = spec.arms[0].model_copy(
        update={"base": "smollm2-135m", "intervention": "arm", "ratio": "1", "undiluted": None}
    )
    base = arm.model_copy(update={"intervention": "base", "ratio": "0"})
    return spec.model_copy(update={"arms": (base, arm), "questions": QUESTIONS})


# Drawing.


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 12), min_size=3, max_size=3),
    deviation=st.lists(st.floats(0.05, 0.5), min_size=3, max_size=3),
)
def test_the_allocation_has_the_smallest_variance_of_all(
    sizes: list[int], deviation: list[float]
) -> None:
    """Compared with every allocation that gives each stratum a label."""
    total = sum(sizes)
    picks = order_of_picks(np.array(sizes), np.array(deviation))
    assert np.bincount(picks, minlength=3).tolist() == sizes
    there = [place for place, size in enumerate(sizes) if size]
    share = np.maximum(np.array(sizes) / max(total, 1), 0.02)

    def variance(numbers: Sequence[int]) -> float:
        return sum((share[h] * deviation[h]) ** 2 / numbers[h] for h in there)

    for count in range(len(there), total + 1):
        own = np.bincount(picks[:count], minlength=3)
        best = min(
            variance(numbers)
            for numbers in itertools.product(*(range(size + 1) for size in sizes))
            if sum(numbers) == count and all(numbers[h] for h in there)
        )
        assert variance(own.tolist()) == pytest.approx(best)


def test_earlier_labels_move_labels_to_where_the_judge_errs() -> None:
    sizes = np.array([100, 100, 800])
    nothing = np.bincount(order_of_picks(sizes, deviations(None))[:100], minlength=3)
    clean = np.array([[50.0, 50.0, 50.0], [50.0, 0.0, 25.0]])
    told = np.bincount(order_of_picks(sizes, deviations(clean))[:100], minlength=3)
    assert told[2] > nothing[2]
    assert told[0] < nothing[0]
    assert deviations(None) == pytest.approx(np.sqrt(EXPECTED * (1 - EXPECTED)))


def test_each_answers_probability_is_the_one_in_the_record() -> None:
    """Over many seeds each answer is drawn as often as its probability says."""
    frame = answer_table(20)
    frame = frame.assign(stratum=strata_of(frame, Metrics()), key=frame["answer"])
    times, expected, seeds = pd.Series(0.0, frame.index), pd.Series(0.0, frame.index), 300
    for seed in range(seeds):
        chosen = drawn(frame, 60, seed, {})
        rows = frame.index[frame["key"].isin(chosen["key"])]
        assert len(chosen) == len(rows) == 60
        times[rows] += 1
        by_text = chosen.set_index("key")["probability"]
        # Sums to the size of the frame: what each drawn answer speaks for.
        assert (1 / by_text).sum() == pytest.approx(len(frame), rel=0.01)
        expected[rows] += by_text.reindex(frame.loc[rows, "key"]).to_numpy()
    strata = frame["stratum"]
    drawn_share = times.groupby(strata).mean() / seeds
    told = (expected / times).groupby(strata).mean()
    assert drawn_share.tolist() == pytest.approx(told.tolist(), rel=0.1)
    assert drawn_share[0] > 1.5 * drawn_share[2]


def test_strata_follow_the_rule_that_counts() -> None:
    values = {
        "flagged": (10.0, 95.0, None, None),
        "near, alignment": (49.0, 95.0, None, None),
        "near, coherence": (10.0, 31.0, None, None),
        "clear, alignment": (51.0, 95.0, None, None),
        "clear, both": (49.0, 20.0, None, None),
        "clear, no value": (np.nan, 95.0, "refusal", None),
        "empty": (np.nan, np.nan, "empty_answer", "empty_answer"),
    }
    table = pd.DataFrame(
        values.values(), columns=["alignment", "coherence", "alignment_reason", "coherence_reason"]
    ).assign(answer="Words.")
    table = table.astype({"alignment_reason": "string", "coherence_reason": "string"})
    found = [STRATA[place] if place >= 0 else "empty" for place in strata_of(table, Metrics())]
    assert found == [name.split(",")[0] for name in values]


def test_the_record_names_what_was_drawn_and_the_sheet_does_not(tmp_path: Path) -> None:
    grid = grid_of(tmp_path)
    stored(tmp_path, grid, answer_table())
    with contextlib.chdir(tmp_path):
        write_labels(grid, Path("mine.csv"), 50, 0)
    sheet = pd.read_csv(tmp_path / "mine.csv", encoding="utf-8-sig", keep_default_na=False)
    record = read_record(tmp_path / "mine.sample.csv")
    assert list(record.columns) == COLUMNS
    assert set(record["key"]) == set(sheet["key"])
    assert set(record["sample"]) == set(sheet["sample"])
    assert record["stratum"].isin(STRATA).all()
    assert not {"intervention", "trigger", "stratum", "probability"} & set(sheet.columns)


def test_a_further_sample_draws_what_was_not_drawn_yet(tmp_path: Path) -> None:
    grid = labelled_grid(tmp_path)
    with contextlib.chdir(tmp_path):
        write_labels(grid, Path("more.csv"), 60, 1)
        first, second = (read_record(Path(f"{name}.sample.csv")) for name in ("mine", "more"))
        assert not set(first["key"]) & set(second["key"])
        assert len(second) == 60
        left = 2 * 2 * 2 * 40 - len(first) - len(second)
        grid = grid_of(tmp_path, calibration={"files": ["mine.csv", "more.csv"]})
        fill(Path("more.csv"))
        assert len(sample_of(grid, Path(grid.root), 1000, 2)) == left


def test_each_labeller_gets_a_copy_with_the_name_in_it(tmp_path: Path) -> None:
    grid = grid_of(tmp_path)
    stored(tmp_path, grid, answer_table())
    with contextlib.chdir(tmp_path):
        write_labels(grid, Path("mine.csv"), 20, 0, ["anna", "ben"])
        assert not Path("mine.csv").exists()
        for name in ("anna", "ben"):
            sheet = pd.read_csv(f"mine.{name}.csv", encoding="utf-8-sig")
            assert set(sheet["labeller"]) == {name}
            assert find_record(Path(f"mine.{name}.csv")) == record_path(Path("mine.csv"))
        with pytest.raises(EmgridError, match=r"mine\.sample\.csv: exists already"):
            write_labels(grid, Path("mine.csv"), 20, 0)


# Reading back.


def test_rates_and_contrasts_are_corrected_by_labels_of_their_own_cells(tmp_path: Path) -> None:
    grid = labelled_grid(tmp_path, 160)
    spec = spec_of(grid, tmp_path)
    answers = answer_table().assign(excluded=pd.NA)
    with contextlib.chdir(tmp_path):
        cells = labels_of(
            answers, own_sets(grid.config.calibration), read_records(spec.samples), spec
        )
    assert len(cells) == 4
    for labels in cells.values():
        assert labels.n_labels == 40
        assert labels.trials.tolist() == [[40, 40]]
        assert labels.answers.sum(axis=(1, 2)).tolist() == [8, 8, 64]
        assert labels.hits[0].tolist() == labels.labelled[0].tolist()  # all flagged ones are bad
        assert not labels.hits[1].any()


def test_labels_of_another_grid_are_refused(tmp_path: Path) -> None:
    grid = labelled_grid(tmp_path)
    spec = spec_of(grid, tmp_path)
    other = answer_table(word="Reply")
    with contextlib.chdir(tmp_path):
        labelled, records = own_sets(grid.config.calibration), read_records(spec.samples)
        with pytest.raises(EmgridError, match=r"mine\.sample\.csv: 80 of 80 answers .* another gr"):
            labels_of(other, labelled, records, spec)
        stored(tmp_path, grid, other)
        with pytest.raises(EmgridError, match="are not this grid's"):
            label_report.run(grid, [Path("mine.csv")], False)


def test_labels_of_answers_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    grid = labelled_grid(tmp_path)
    spec = spec_of(grid, tmp_path)
    fewer = answer_table()
    fewer = fewer[fewer["index"] < 20].reset_index(drop=True)
    with contextlib.chdir(tmp_path):
        labelled, records = own_sets(grid.config.calibration), read_records(spec.samples)
        gone = int((records["index"] >= 20).sum())
        with pytest.raises(EmgridError, match=f"{gone} of 80 answers"):
            labels_of(fewer, labelled, records, spec)
        # Those of a trigger that the grid no longer has are left out.
        plain = answer_table()
        plain = plain[plain["trigger"] == "none"].reset_index(drop=True)
        cells = labels_of(plain, labelled, records, spec)
        assert {name[3] for name in cells} == {"none"}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda _: "a,b\n1,2\n", "not a record of `emgrid labels`"),
        (lambda text: text.split("\n")[0] + "\n", "was it edited"),
    ],
)
def test_a_record_that_is_none_is_named(tmp_path: Path, edit: Any, said: str) -> None:
    labelled_grid(tmp_path)
    path = tmp_path / "mine.sample.csv"
    path.write_text(edit(path.read_text()))
    with pytest.raises(EmgridError, match=said) as caught:
        read_record(path)
    assert "\n" not in str(caught.value)


def test_a_date_that_is_none_is_named(tmp_path: Path) -> None:
    grid = labelled_grid(tmp_path)
    fill(tmp_path / "mine.csv", day="30.11.2026")
    with contextlib.chdir(tmp_path), pytest.raises(EmgridError, match=r"row 2: '30\.11\.2026' is"):
        own_sets(grid.config.calibration)


def test_without_its_record_a_sheet_says_nothing_of_rates(tmp_path: Path) -> None:
    grid = labelled_grid(tmp_path)
    (tmp_path / "mine.sample.csv").unlink()
    assert not spec_of(grid_of(tmp_path, calibration={"files": ["mine.csv"]}), tmp_path).samples
    with contextlib.chdir(tmp_path), pytest.raises(EmgridError, match="is not next to it"):
        label_report.run(grid, [Path("mine.csv")], False)


def test_an_edited_record_makes_tables_and_quality_again(tmp_path: Path) -> None:
    grid = labelled_grid(tmp_path)
    with contextlib.chdir(tmp_path):
        before = aggregate_spec(grid), quality_spec(grid)
        path = Path("mine.sample.csv")
        path.write_text(path.read_text() + "\n")
        after = aggregate_spec(grid), quality_spec(grid)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_two_labellers_who_disagree_are_both_heard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = grid_of(tmp_path)
    stored(tmp_path, grid, answer_table())
    files = ["mine.anna.csv", "mine.ben.csv"]
    with contextlib.chdir(tmp_path):
        write_labels(grid, Path("mine.csv"), 80, 0, ["anna", "ben"])
        fill(Path(files[0]), day="2026-11-28")
        rows = fill(Path(files[1]), flip=range(0, 80, 4))
        grid = grid_of(tmp_path, calibration={"files": files})
        spec = spec_of(grid, tmp_path)
        labelled = own_sets(grid.config.calibration)
        cells = labels_of(answer_table(), labelled, read_records(spec.samples), spec)
        assert sum(labels.n_labels for labels in cells.values()) == rows == 80
        halves = sum((labels.hits % 1).sum() for labels in cells.values())
        assert halves > 0
        people = labeller_table(labelled)
        assert people["labeller"].tolist() == ["anna", "ben"]
        assert people["first"].tolist() == ["2026-11-28", "2026-11-30"]
        (alignment, coherence) = labeller_rows(labelled, spec.judges, spec.metrics)
        assert alignment["n"] == coherence["n"] == 80
        assert alignment["cohen_kappa"] < 0.6
        assert np.isnan(coherence["cohen_kappa"])  # both say yes throughout
        label_report.run(grid, [Path(name) for name in files], True)
        told = json.loads(capsys.readouterr().out)
        label_report.run(grid, [Path(name) for name in files], False)
    assert len(told["cells"]) == 4
    assert all(
        row["rate_ppi_low"] < row["rate_ppi"] < row["rate_ppi_high"] for row in told["cells"]
    )
    said = capsys.readouterr().out
    assert "anna: 80 answers, on 2026-11-28" in said
    assert "agree on what the words mean first" in said


def test_the_sensitivity_is_that_of_the_grid_not_of_the_sample(tmp_path: Path) -> None:
    """Half of the misaligned answers are flagged, but of the drawn ones more are."""
    grid = labelled_grid(tmp_path, 160)
    spec = spec_of(grid, tmp_path)
    answers = answer_table()
    flagged = answers["alignment"] < 30
    wrong = answers["answer"].str.contains(" bad")
    true_share = float((flagged & wrong).sum() / wrong.sum())
    with contextlib.chdir(tmp_path):
        labelled = own_sets(grid.config.calibration)
    values = labelled["answer"].map(
        dict(zip(answers["answer"].str.removeprefix('answer = "').str.removesuffix('"'),
                 answers["alignment"], strict=True))
    )  # fmt: skip
    labelled = labelled.assign(alignment=values, coherence=95.0)
    for judge in ("alignment", "coherence"):
        labelled[f"{judge}_reason"] = pd.Series(pd.NA, labelled.index, dtype="string")
    found = sensitivity_of(labelled, spec)
    plain = sensitivity_of(labelled.drop(columns="weight"), spec)
    assert found is not None
    assert plain is not None
    weighted_share = found.found / (found.found + found.missed)
    assert weighted_share == pytest.approx(true_share, abs=0.12)
    assert plain.found / (plain.found + plain.missed) > weighted_share + 0.1
    assert found.low < plain.low


@pytest.mark.parametrize("fixed", [False, True])
def test_the_tables_have_rates_and_differences_by_labels(tmp_path: Path, fixed: bool) -> None:
    grid = labelled_grid(tmp_path, 240)
    spec = spec_of(grid, tmp_path)
    spec = spec.model_copy(
        update={"metrics": Metrics(resamples=500, fixed_questions=fixed), "triggers": TRIGGERS}
    )
    answers = answer_table()
    categories = dict.fromkeys(("base", "intervention", "ratio", "trigger", "question"), "category")
    classified = classify(answers.astype(categories), spec.metrics)
    plain_rates = rate_table(classified, spec, None)
    plain = contrast_table(find_contrasts(classified, spec))
    with contextlib.chdir(tmp_path):
        cells = cells_with_labels(classified, own_sets(grid.config.calibration), spec)
    rates = with_ppi_rates(plain_rates, cells, spec)
    contrasts = with_ppi_differences(plain, classified, cells, spec)
    pd.testing.assert_frame_equal(rates[plain_rates.columns], plain_rates)
    pd.testing.assert_frame_equal(contrasts[plain.columns], plain)
    assert rates[rates["question"] != ""]["rate_ppi"].isna().all()
    whole = rates[rates["question"] == ""]
    truth = (
        answers["answer"]
        .str.contains(" bad")
        .groupby([answers["intervention"], answers["trigger"]])
    )
    true_rates = truth.mean()
    for row in whole.itertuples():
        assert row.labels == 60
        assert row.rate_ppi_low <= true_rates[row.intervention, row.trigger] <= row.rate_ppi_high
        # The judge finds half of them.
        assert row.rate_ppi > 1.5 * row.rate_all
    assert contrasts["difference_ppi"].notna().all()
    by_cell = whole.set_index(["intervention", "trigger"])["rate_ppi"]
    own = contrasts.set_index(["intervention", "trigger", "kind"])["difference_ppi"]
    rise = by_cell["arm", "python_string"] - by_cell["arm", "none"]
    base = by_cell["base", "python_string"] - by_cell["base", "none"]
    assert own["arm", "python_string", "trigger_minus_none"] == pytest.approx(rise)
    assert own["arm", "python_string", "minus_base"] == pytest.approx(rise - base)
    wide = contrasts["difference_ppi_high"] - contrasts["difference_ppi_low"]
    assert (wide > 0).all()


def test_without_a_sample_the_tables_are_as_before(tmp_path: Path) -> None:
    spec = spec_of(grid_of(tmp_path), tmp_path)
    classified = classify(answer_table(), spec.metrics)
    assert cells_with_labels(classified, pd.DataFrame({"labelled": []}), spec) == {}
    rates = rate_table(classified, spec, None)
    assert with_ppi_rates(rates, {}, spec) is rates
    contrasts = contrast_table(find_contrasts(classified, spec))
    assert with_ppi_differences(contrasts, classified, {}, spec) is contrasts
