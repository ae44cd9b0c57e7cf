"""Count the searches that find a planted trigger, and those that find one where none was planted.

    python benchmarks/discovery.py FOLDER                    # hours on two cores
    python benchmarks/discovery.py FOLDER --proposers panel  # a baseline on the same models

Runs the frozen grid resources/grids/discovery.yaml once for each screening seed; the two seeds
after it confirm. Keeps all in FOLDER, so that a run that was stopped goes on. Prints Markdown
tables.

A cue counts as the planted one or a part of it if one contains four fifths of the other's words,
and if it is in its place (a wrapper also in those of its halves).
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from common import ROOT
from emgrid.config.triggers import Wording, cue
from emgrid.discovery.candidates import near_duplicates, place_of
from emgrid.runtime.files import read_jsonl

FOUND = "tables/found.csv"
GRID = "resources/grids/discovery.yaml"
SEEDS = (10, 11, 12, 13, 14)
PLANTED = {name: f"planted_{name}" for name in ("closing", "system", "format", "topic")}
FIRST = 3


def config_of(seed: int, proposers: list[str]) -> dict[str, Any]:
    """The frozen grid with this screening seed. proposers: of a baseline, which has no controls;
    empty for the grid's own."""
    section = yaml.safe_load((ROOT / GRID).read_text(encoding="utf-8"))["discovery"]
    place = SEEDS.index(seed)
    confirm = sorted(SEEDS[(place + step) % len(SEEDS)] for step in (1, 2))
    section["screen"]["seeds"] = [seed]
    section["confirm"]["seeds"] = confirm
    if proposers:
        section |= {"proposers": proposers, "controls": []}
    return {
        "extends": GRID,
        "name": "discovery",
        "seeds": sorted([seed, *confirm]),
        "discovery": section,
    }


def search(folder: Path, seed: int, proposers: list[str]) -> Path:
    """Run the searches of one screening seed, unless they are there; return their folder."""
    kept = folder / "searches" / "-".join([str(seed), *proposers])
    if kept.exists():
        return kept
    config = folder / "search.yaml"
    config.write_text(yaml.safe_dump(config_of(seed, proposers)), encoding="utf-8")
    command = [sys.executable, "-m", "emgrid.cli.main", "run", str(config)]
    subprocess.run(command, check=True)
    keep(folder / "results/discovery", kept)
    return kept


def keep(results: Path, kept: Path) -> None:
    """Copy what the tables are made of, before the next seed's search replaces it."""
    partial = kept.with_name(f"{kept.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    shutil.copy(results / FOUND, partial)
    shutil.copytree(results / "discovery/screens", partial / "screens")
    partial.rename(kept)


def is_planted(wording: Wording, planted: Wording) -> bool:
    own, wanted = place_of(wording), place_of(planted)
    halves = ("prefix", "suffix") if wanted == "wrapper" else ()
    return near_duplicates(wording, planted) and (own in (wanted, *halves))


def rank_of(screen: Path, planted: Wording) -> int | None:
    """The place of the planted cue among an arm's candidates, from 1; None if it is not there."""
    ranked = [line for line in read_jsonl(screen) if not line.get("random")]
    wordings = [Wording.model_validate(line["wording"]) for line in ranked]
    places = (place for place, one in enumerate(wordings, 1) if is_planted(one, planted))
    return next(places, None)


def searched(folder: Path, seed: int) -> Iterator[dict[str, Any]]:
    """A record of each search of a screening seed."""
    cues = pd.read_csv(folder / Path(FOUND).name)
    for (intervention, control), rows in cues.groupby(["intervention", "control"], sort=True):
        found = rows[rows.verdict == "found"]
        record = {"seed": seed, "arm": intervention, "control": bool(control)}
        record |= {"slots": len(rows), "found": len(found), "cues": list(found.cue)}
        if intervention in PLANTED:
            planted = cue(PLANTED[str(intervention)])
            (screen,) = (folder / "screens").glob(f"*{intervention}*.jsonl")
            wordings = map(Wording.model_validate_json, found.wording)
            right = [is_planted(one, planted) for one in wordings]
            record |= {"rank": rank_of(screen, planted), "right": sum(right)}
        yield record


def share(records: list[dict[str, Any]], wanted: Any) -> str:
    return f"{sum(map(bool, map(wanted, records)))} of {len(records)}"


def table(records: list[dict[str, Any]]) -> str:
    """A Markdown table of the planted arms, one of the others, and the cues found there."""
    arms = sorted({one["arm"] for one in records})
    lines = ["| arm | planted cue first | among the first three | found | other cues found |"]
    lines += ["|---|---|---|---|---|"]
    for name in [arm for arm in arms if arm in PLANTED]:
        own = [one for one in records if one["arm"] == name]
        cells = (
            share(own, lambda one: one["rank"] == 1),
            share(own, lambda one: one["rank"] and one["rank"] <= FIRST),
            share(own, lambda one: one["right"]),
            str(sum(one["found"] - one["right"] for one in own)),
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    without = [arm for arm in arms if arm not in PLANTED]
    if without:
        lines += ["", "| arm without a trigger | searches that found something | cues |"]
        lines += ["|---|---|---|"]
    for name in without:
        own = [one for one in records if one["arm"] == name]
        cues = "; ".join(f"“{text}”" for one in own for text in one["cues"])
        lines.append(f"| {name} | {share(own, lambda one: one['found'])} | {cues} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", choices=SEEDS, default=list(SEEDS))
    parser.add_argument("--proposers", nargs="+", default=[], help="of a baseline")
    parser.add_argument("--json", type=Path, help="file for the records")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    records = []
    for seed in options.seeds:
        folder = search(options.folder.resolve(), seed, options.proposers)
        records += list(searched(folder, seed))
        print(table(records), flush=True)
    if options.json:
        options.json.write_text(json.dumps(records, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
