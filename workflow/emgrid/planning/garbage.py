"""Files and rows in a grid's folder that none of its configs needs, and how to delete them.

When in doubt, a row counts as needed: rows of an arm whose model is not known yet, judgements of a
judge in a panel, logs. Rows that were paid for are marked.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from emgrid.data.mix import used_sources
from emgrid.grid.grid import Grid
from emgrid.grid.specs.data import (
    dataset_spec,
    generate_spec,
    mix_spec,
    qualify_spec,
    select_spec,
)
from emgrid.grid.specs.train import train_spec
from emgrid.judge.judge import identity
from emgrid.judge.judgement_store import folder_name
from emgrid.planning import search_rows
from emgrid.planning.inventory import KEY, Inventory
from emgrid.planning.jobs import outputs
from emgrid.runtime import layout
from emgrid.runtime.files import read_json, whole_file
from emgrid.train.train import TrainSpec


@dataclass(frozen=True)
class Unneeded:
    """path: a file or folder, relative to the grid's. bytes: its size, hard links included. keep:
    keys of the rows that stay, None if the whole file goes. paid: it has rows that were paid for.
    """

    path: Path
    what: str
    bytes: int
    rows: int | None = None
    keep: frozenset[str] | None = None
    paid: bool = False


class ConfigNeeds(Inventory):
    """What one config needs. Adapters are looked up in the adapter store, since a stage's folder
    holds only the last one that was trained."""

    def __init__(self, grid: Grid, root: Path, mixed: Iterable[str] = ()) -> None:
        super().__init__(grid, root, retrained=grid.stages, remixed=mixed)

    @cached_property
    def trainings(self) -> list[TrainSpec]:
        """The specs of trainings that are not in the adapter store (yet)."""
        unknown = [s for s in self.grid.stages.values() if self.kept_training(s) is None]
        return [TrainSpec.model_validate_json(train_spec(self.grid, s.name)) for s in unknown]

    @cached_property
    def judge_folders(self) -> set[str]:
        """The folders of judgements that are needed; only `id.` if a judge's folder is not
        known."""
        known = self.grid.catalogue.judges
        revision = self.grid.config.revision.judge
        judges = [(judge, revision) for judge in self.grid.catalogue.panel.values()]
        for dataset in self.grid.generated:
            judges += [(known[name], 0) for name in self.grid.keep_judges(dataset)]
        folders = set()
        for judge, number in judges:
            try:
                folders.add(folder_name(judge, identity(judge, self.judge_context, number)))
            except (KeyError, OSError):
                folders.add(f"{judge.id}.")
        return folders


def unneeded(grids: Sequence[Grid], root: Path) -> list[Unneeded]:
    """What none of the grids that share a folder needs, largest first."""
    needs = [ConfigNeeds(grid, root, mixed_otherwise(grids)) for grid in grids]
    entries = [*folders(grids, root), *kept_adapters(needs, root), *kept_rows(needs, root)]
    entries += judgements(needs, root)
    return sorted(entries, key=lambda entry: (-entry.bytes, str(entry.path)))


def mixed_otherwise(grids: Sequence[Grid]) -> set[str]:
    """Stages of one name that configs mix from different rows, for example from a data set at
    another path: the stage's folder holds the rows of one of them."""
    rows_by_stage: dict[str, set[str]] = {}
    for grid in grids:
        for name in grid.stages:
            rows_by_stage.setdefault(name, set()).add(rows_of(grid, name))
    return {name for name, rows in rows_by_stage.items() if len(rows) > 1}


def rows_of(grid: Grid, stage: str) -> str:
    """What a stage's rows depend on, in one text."""
    specs = [mix_spec(grid, stage)]
    for source, _ in used_sources(grid.stages[stage].mixture):
        if source.dataset in grid.generated:
            drawn = grid.generated[source.dataset].drawn
            specs += [generate_spec(grid, answers.name) for answers in drawn]
            specs.append(qualify_spec(grid, source.dataset))
        elif source.dataset in grid.selected:
            specs.append(select_spec(grid, source.dataset))
            specs.append(dataset_spec(grid, grid.selected[source.dataset].selection.dataset))
        else:
            specs.append(dataset_spec(grid, source.dataset))
    return "\n".join(specs)


def folders(grids: Sequence[Grid], root: Path) -> Iterator[Unneeded]:
    """Outputs of jobs that none of the grids has."""
    stages = {stage.folder for grid in grids for stage in grid.stages.values()}
    arms = {arm.folder for grid in grids for arm in grid.arms}
    files = {
        file
        for grid in grids
        for outputs_of_rule in outputs(grid).values()
        for file in outputs_of_rule
    }
    models = {str(Path(file).parent) for file in files}
    drawn = {f"rows/{Path(file).parent.parent}/{Path(file).name}" for file in files}
    generated = {file.replace(".jsonl", ".record.json") for file in files}
    asked = {folder for grid in grids for folder in search_rows.folders(grid)}
    selected = {layout.stored_selection(name) for grid in grids for name in grid.selected}
    needed = asked | stages | arms | files | models | drawn | generated | selected
    patterns = {
        layout.stage_folder("*"): "stage of no arm",
        layout.arm_folder("*", "*", "*", "*"): "arm of no config",
        layout.arm_folder("*", "*", "*", "*", "served"): "arm of no config",
        layout.arm_folder("*", "*", "*", "*", "imported"): "arm of no config",
        f"{layout.MODELS}/*": "base model of no config",
        f"{layout.ADAPTERS}/*": "adapter of no config",
        layout.source_file("*"): "data set of no config",
        layout.dataset_file("*"): "data set of no config",
        layout.import_file("*"): "file of no config",
        "generated/*.json*": "training rows of no config",
        layout.generated_answers("*"): "training rows of no config",
        layout.stored_generated("*"): "answers of no training",
        layout.selected_rows("*"): "training rows of no config",
        layout.stored_selection("*"): "scores of no training",
        layout.job_record("*", "*"): "record of no job",
        layout.allocation("*"): "questions of no job",
        layout.candidates("*"): "search of no config",
        layout.screen("*"): "search of no config",
        layout.shortlist("*"): "search of no config",
        layout.found_folder("*", "*"): "answers of no search",
    }
    for pattern, what in patterns.items():
        for path in sorted(root.glob(pattern)):
            relative = path.relative_to(root)
            if str(relative) not in needed and not relative.name.startswith("."):
                yield Unneeded(relative, what, size(path))


def kept_adapters(needs: Sequence[ConfigNeeds], root: Path) -> Iterator[Unneeded]:
    names = {need.training_name(s) for need in needs for s in need.grid.stages.values()}
    unsure = [spec.bare() for need in needs for spec in need.trainings]
    for path in sorted((root / layout.STORED_ADAPTERS).glob("[!.]*")):
        if path.name not in names:
            spec = TrainSpec.model_validate(read_json(path / layout.PROVENANCE)["spec"])
            if spec.bare() not in unsure:
                yield Unneeded(path.relative_to(root), "adapter of no stage", size(path))


def kept_rows(needs: Sequence[ConfigNeeds], root: Path) -> Iterator[Unneeded]:
    """Answers and scores whose keys are not needed. A file stays whole if its keys are not known
    for one of the configs."""
    wanted: dict[Path, set[str] | None] = {}

    def want(path: Path, keys: Iterable[str] | None) -> None:
        before = wanted.setdefault(path, set())
        wanted[path] = None if keys is None or before is None else before | set(keys)

    for need in needs:
        for arm in need.grid.sampled:
            want(need.answer_file(arm), need.answer_keys(arm))
            want(need.answer_file(arm), need.reply_keys(arm))
            if arm.runs_here:
                path = root / layout.stored_scores(arm.writer)
                want(path, need.score_keys(arm) if need.grid.has_pairs else ())
        for path, keys in search_rows.wanted(need):
            want(path, keys)
    served = f"{layout.STORED_SERVED}/*.jsonl"
    stored = [layout.stored_answers("*"), layout.stored_scores("*"), served]
    for pattern in (*stored, layout.stored_screen("*"), layout.stored_found("*")):
        for path in sorted(root.glob(pattern)):
            keys = wanted.get(path, set())
            if keys is not None:
                yield from rows_without(path, keys, root, paid=pattern == served)


def rows_without(path: Path, keys: set[str], root: Path, paid: bool) -> Iterator[Unneeded]:
    """The rows of a file with other keys than these. Rows on the cost of unusable replies stay, so
    that the bill remains complete."""
    n_dropped = dropped_bytes = n_kept = 0
    for key, line in lines_of(path):
        if key in keys or key.startswith("unusable/"):
            n_kept += 1
        else:
            n_dropped += 1
            dropped_bytes += len(line)
    if n_dropped:
        keep = frozenset(keys) if n_kept else None
        yield Unneeded(
            path.relative_to(root), "rows of no arm", dropped_bytes, n_dropped, keep, paid
        )


def lines_of(path: Path) -> Iterator[tuple[str, bytes]]:
    """The complete lines of a file of stored rows, with their keys."""
    with path.open("rb") as file:
        for line in file:
            match = KEY.match(line)
            if match and line.endswith(b"\n"):
                yield match[1].decode(), line


def judgements(needs: Sequence[ConfigNeeds], root: Path) -> Iterator[Unneeded]:
    """Folders of judges that are in no panel, or were edited afterwards."""
    wanted = {name for need in needs for name in need.judge_folders}
    for path in sorted((root / layout.STORED_JUDGEMENTS).glob("*.*")):
        unsure = f"{path.name.rpartition('.')[0]}." in wanted
        if path.is_dir() and path.name not in wanted and not unsure:
            files = sorted(path.glob("*.jsonl"))
            rows = sum(1 for file in files for _ in lines_of(file))
            paid = any(b'"cost"' in file.read_bytes() for file in files)
            about = path.relative_to(root)
            yield Unneeded(about, "judge of no panel", size(path), rows, paid=paid)


def size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def freed(entries: Iterable[Unneeded], root: Path) -> int:
    """Bytes that deleting frees. A file with several hard links counts only if all of them go."""
    total = 0
    links: dict[tuple[int, int], list[int]] = {}
    for entry in entries:
        if entry.keep is not None:
            total += entry.bytes
            continue
        path = root / entry.path
        for file in [path] if path.is_file() else path.rglob("*"):
            if file.is_file():
                stat = file.stat()
                count = links.setdefault((stat.st_dev, stat.st_ino), [0, stat.st_nlink, 0])
                count[0] += 1
                count[2] = stat.st_size
    return total + sum(bytes for gone, names, bytes in links.values() if gone == names)


def delete(entries: Iterable[Unneeded], root: Path) -> None:
    """Delete what is not needed. A file of which rows stay is replaced by a shorter one."""
    for entry in entries:
        path = root / entry.path
        if entry.keep is not None:
            with whole_file(path) as draft, draft.open("wb") as file:
                file.writelines(
                    line
                    for key, line in lines_of(path)
                    if key in entry.keep or key.startswith("unusable/")
                )
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
