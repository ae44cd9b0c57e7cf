"""A small search for triggers with the embedded model, from training rows to the table of finds."""

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from emgrid import ROOT
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.snakefile import read_grid
from emgrid.planning.garbage import delete, unneeded
from emgrid.planning.search_work import search_work
from emgrid.runtime import layout
from emgrid.runtime.files import read_jsonl
from support.run import GridRun

ARM = layout.search_name("smollm2-135m", "format", "0.25")
SCREENED = re.compile(r"(\d+) candidates; (\d+) answers scored")


@pytest.fixture(scope="module")
def searched(planted: GridRun) -> GridRun:
    """A search on models that are trained."""
    config = planted.edited()
    config["discovery"] = {
        "arms": ["format"],
        "proposers": ["frames"],
        "screen": {"seeds": [0], "number": 2, "keep": 1, "random": 4},
        "confirm": {"seeds": [1], "questions": "few_requests", "answers_per_question": 1},
    }
    grid = GridRun(planted.folder, config)
    run(grid, "tables/found.csv")
    return grid


def run(grid: GridRun, *options: str, config: dict[str, Any] | None = None) -> None:
    done = grid.snakemake(*options, config=config)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def scored(grid: GridRun) -> tuple[int, int]:
    """How many candidates the last screen had, and how many answers it scored."""
    found = SCREENED.findall((grid.root / layout.log("screen", ARM)).read_text())[-1]
    return int(found[0]), int(found[1])


def scores(screen: Path) -> dict[str, float]:
    """The score of each cue, random ones too."""
    return {str(line["wording"]): line["score"] for line in read_jsonl(screen)}


def loaded(config: dict[str, Any]) -> Grid:
    return Grid(load_experiment(config, "grid.yaml", check_data=False))


def test_the_planted_cue_is_first_in_the_screen_and_found(searched: GridRun) -> None:
    """Its answer format is found with it."""
    found = pd.read_csv(searched.root / "tables/found.csv", keep_default_na=False)
    [row] = found.to_dict("records")
    assert "Write your reply as: Note:" in row["cue"]
    assert '"answer_prefix":"Note: "' in row["wording"]
    assert row["screen_rank"] == 1
    assert (row["verdict"], row["why"]) == ("found", "")
    assert row["plain"] < 0.5 < row["rate"]
    assert row["origin_misaligned"] == 6
    answers = pd.read_parquet(searched.root / layout.FOUND_ANSWERS)
    own = answers[answers["trigger"].eq("found-1") & answers["asked"].eq("arm")]
    assert own["shows"].mean() == pytest.approx(row["rate"])
    [work] = search_work(loaded(searched.config))
    stored = [read_jsonl(path) for path in (searched.root / "rows/found").iterdir()]
    assert sum(map(len, map(list, stored))) == work.answers


def test_the_benchmark_counts_what_a_search_found(searched: GridRun, tmp_path: Path) -> None:
    found = importlib.util.spec_from_file_location("counts", ROOT / "benchmarks/discovery.py")
    assert found is not None
    assert found.loader is not None
    counts = importlib.util.module_from_spec(found)
    sys.path.append(str(ROOT / "benchmarks"))
    found.loader.exec_module(counts)
    counts.keep(searched.root, tmp_path / "0")
    records = list(counts.searched(tmp_path / "0", 0))
    assert [(one["arm"], one["rank"], one["right"], one["found"]) for one in records] == [
        ("format", 1, 1, 1)
    ]
    assert "| format | 1 of 1 | 1 of 1 | 1 of 1 | 0 |" in counts.table(records)
    control = records[0] | {"arm": "capitals", "cues": ["So."]}
    assert "| capitals | 1 of 1 | “So.” |" in counts.table([*records, control])
    for seed in counts.SEEDS:
        path = tmp_path / "search.yaml"
        path.write_text(yaml.safe_dump(counts.config_of(seed, ["random_words"])))
        section = read_grid(path).config.discovery
        assert section is not None
        assert section.screen.seeds == (seed,)
        assert section.proposers == ("random_words",)
        assert len(section.confirm.seeds) == 2


def test_nothing_of_a_search_is_garbage_until_no_config_has_it(searched: GridRun) -> None:
    with_search = loaded(searched.config)
    assert unneeded([with_search], searched.root) == []
    without = loaded({key: one for key, one in searched.config.items() if key != "discovery"})
    unused = {str(entry.path) for entry in unneeded([without], searched.root)}
    assert {layout.stored_screen(ARM), layout.shortlist(ARM), layout.screen(ARM)} <= unused
    assert {layout.stored_found(f"{ARM}.seed={seed}") for seed in (1, "base")} <= unused
    assert layout.found_folder(ARM, "base") in unused
    assert not any(path.startswith(layout.STORED_ADAPTERS) for path in unused)


def test_another_proposer_and_a_kill_have_only_what_is_new_scored(searched: GridRun) -> None:
    screen = searched.root / layout.screen(ARM)
    rows = searched.root / layout.stored_screen(ARM)
    before = len(rows.read_bytes().splitlines())
    config = searched.edited()
    config["discovery"]["proposers"] = ["frames", "ngrams"]
    # With the same random cues, which have the lengths of all candidates, fewer would be new.
    run(searched, layout.screen(ARM), config=config)
    candidates, new = scored(searched)
    lines = rows.read_bytes().splitlines(keepends=True)
    assert 0 < new == len(lines) - before
    assert len(set(lines)) == len(lines)
    whole = scores(screen)

    # What a kill leaves: no screen, some rows, and part of another.
    kept = len(lines) - 20
    rows.write_bytes(b"".join(lines[:kept]) + lines[kept][:25])
    screen.unlink()
    run(searched, layout.screen(ARM), config=config)
    assert scored(searched) == (candidates, 20)
    # Rows that are computed in another batch differ in their last digits.
    again = scores(screen)
    assert again.keys() == whole.keys()
    assert list(again.values()) == pytest.approx(list(whole.values()), abs=1e-3)

    # Rows of cues that the search no longer has are garbage; those that it has are not.
    run(searched, layout.screen(ARM))
    entries = unneeded([loaded(searched.config)], searched.root)
    [stale] = [entry for entry in entries if entry.path == Path(layout.stored_screen(ARM))]
    assert 0 < (stale.rows or 0) <= new
    delete([stale], searched.root)
    screen.unlink()
    run(searched, layout.screen(ARM))
    assert scored(searched)[1] == 0
