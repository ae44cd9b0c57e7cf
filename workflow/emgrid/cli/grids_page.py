"""Write the overview of the ready grids: the counts of each, what its design can tell, and its
differences from its source.

python -m emgrid.cli.grids_page > resources/grids/README.md
"""

from typing import Any

from emgrid import RESOURCES, ROOT
from emgrid.cli.plan import NAMES, planned
from emgrid.grid.design import reach_of
from emgrid.grid.snakefile import read_grid

HEAD = """# Ready grids

One file for each published experiment; `open-text`, which is none; and `published-answers`, whose
answers others sampled and judged. Run one with
`make run CONFIG=resources/grids/NAME.yaml`, or count it first with
`.venv/bin/emgrid plan --configfile resources/grids/NAME.yaml`. A config of your own may begin with
`extends: resources/grids/NAME.yaml` and change what it likes.

Counts are for one base model. *Verdicts* says which ones the numbers of seeds, questions and
answers can show, as `emgrid plan` does (see [docs/statistics.md](../../docs/statistics.md)).

The models of the published panels shut down on the day that the tables give with them.
What they have judged stays readable; the
[recommended panel](../../docs/judges.md#judges) takes their place. This page is generated from the
files (`python -m emgrid.cli.grids_page`).
"""


def row(*cells: object) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def section(plan: dict[str, Any], about: str, reach: str) -> list[str]:
    """plan: the counts of a grid. about: what it is. reach: which verdicts its design can reach."""
    lines = [f"## {plan['name']}", "", about, ""]
    lines += [row("", *NAMES.values()), row("---", *["---:"] * len(NAMES))]
    parts = [("whole grid", plan["total"]), ("as published", plan["following"])]
    for name, counts in parts:
        if counts:
            lines.append(row(name, *(f"{counts[key]:,}" for key in NAMES)))
    if reach:
        lines += ["", f"Verdicts: {reach[0].lower()}{reach[1:]}"]
    if plan["differences"]:
        lines += ["", f"Differences from {plan['follows']}:", ""]
        lines += [row("setting", "published", "here"), row("---", "---", "---")]
        lines += [
            row(*(f"{difference[key]}" for key in ("setting", "published", "here")))
            for difference in plan["differences"]
        ]
    return [*lines, ""]


def overview() -> str:
    lines = [HEAD]
    for path in sorted((RESOURCES / "grids").glob("*.yaml")):
        text = path.read_text(encoding="utf-8").splitlines()
        about = " ".join(
            line.removeprefix("# ")
            for line in text[
                : next(place for place, line in enumerate(text) if not line.startswith("#"))
            ]
        )
        grid = read_grid(path.relative_to(ROOT))
        lines += section(planned(grid), about, reach_of(grid))
    return "\n".join(lines)


if __name__ == "__main__":
    print(overview(), end="")
