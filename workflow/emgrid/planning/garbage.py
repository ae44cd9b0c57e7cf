"""What lies in a grid's folder that none of its configs needs, and how it is deleted.

What cannot be told apart from what is needed is needed: rows of an arm whose model is not known
yet, judgements of a judge that is in a panel, logs. Rows that were paid for are told apart.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from emgrid.data.mix import used_sources
from emgrid.grid.grid import Grid
from emgrid.grid.specs.data import dataset_spec, generate_spec, mix_spec, qualify_spec
from emgrid.grid.specs.train import train_spec
from emgrid.judge.judge import identity
from emgrid.judge.judgement_store import folder_name
from emgrid.planning.inventory import KEY, Holdings
from emgrid.planning.jobs import outputs
from emgrid.runtime import layout
from emgrid.runtime.files import read_json, whole_file
from emgrid.train.train import TrainSpec


@dataclass(frozen=True)
class Unneeded:
    """path: a file or folder below the grid's. bytes: its own, hard links or not. keep: the keys of
    the rows that stay, None where all of it goes. paid: it holds what was paid for."""

    path: Path
    what: str
    bytes: int
    rows: int | None = None
    keep: frozenset[str] | None = None
    paid: bool = False


class Needs(Holdings):
    """What one config needs. Adapters are looked for where trainings are kept, since a stage's
    folder holds the one that was trained last."""

    def __init__(self, grid: Grid, root: Path, mixed: Iterable[str] = ()) -> None:
        super().__init__(grid, root, renewed=grid.stages, mixed=mixed)

    @cached_property
    def trainings(self) -> list[TrainSpec]:
        """The specs of trainings that are not found among the kept ones (yet)."""
        unknown = [s for s in self.grid.stages.values() if self.kept_training(s) is None]
        return [TrainSpec.model_validate_json(train_spec(self.grid, s.name)) for s in unknown]

    @cached_property
    def judge_folders(self) -> set[str]:
        """The folders of judgements that are needed; `id.` alone where a judge's is not known."""
        known = self.grid.config.known_judges()
        revision = self.grid.config.revision.judge
        judges = [(judge, revision) for judge in self.grid.config.panel().values()]
        for made in self.grid.generated:
            judges += [(known[name], 0) for name in self.grid.keep_judges(made)]
        found = set()
        for judge, number in judges:
            try:
                found.add(folder_name(judge, identity(judge, self.bench, number)))
            except (KeyError, OSError):
                found.add(f"{judge.id}.")
        return found


def unneeded(grids: Sequence[Grid], root: Path) -> list[Unneeded]:
    """What no grid of those that share a folder needs, largest first."""
    needs = [Needs(grid, root, mixed_otherwise(grids)) for grid in grids]
    found = [*folders(grids, root), *kept_adapters(needs, root), *kept_rows(needs, root)]
    found += judgements(needs, root)
    return sorted(found, key=lambda one: (-one.bytes, str(one.path)))


def mixed_otherwise(grids: Sequence[Grid]) -> set[str]:
    """Stages that configs mix of other rows under one name, such as a data set at another path:
    their folder holds the rows of one of them."""
    found: dict[str, set[str]] = {}
    for grid in grids:
        for name in grid.stages:
            found.setdefault(name, set()).add(rows_of(grid, name))
    return {name for name, rows in found.items() if len(rows) > 1}


def rows_of(grid: Grid, stage: str) -> str:
    """What a stage's rows depend on, in one text."""
    told = [mix_spec(grid, stage)]
    for source, _ in used_sources(grid.stages[stage].mixture):
        if source.dataset in grid.generated:
            drawn = grid.generated[source.dataset].drawn
            told += [generate_spec(grid, one.name) for one in drawn]
            told.append(qualify_spec(grid, source.dataset))
        else:
            told.append(dataset_spec(grid, source.dataset))
    return "\n".join(told)


def folders(grids: Sequence[Grid], root: Path) -> Iterator[Unneeded]:
    """Outputs of jobs that no grid has."""
    stages = {stage.folder for grid in grids for stage in grid.stages.values()}
    arms = {arm.folder for grid in grids for arm in grid.arms}
    files = {file for grid in grids for made in outputs(grid).values() for file in made}
    models = {str(Path(file).parent) for file in files}
    drawn = {layout.stored_generated(name) for name in names_of("generate", grids)}
    generated = {layout.generated_record(name) for name in names_of("qualify", grids)}
    wanted = stages | arms | files | models | drawn | generated
    patterns = {
        layout.stage_folder("*"): "stage of no arm",
        layout.arm_folder("*", "*", "*", "*"): "arm of no config",
        layout.arm_folder("*", "*", "*", "*", "served"): "arm of no config",
        layout.arm_folder("*", "*", "*", "*", "imported"): "arm of no config",
        f"{layout.MODELS}/*": "base model of no config",
        layout.source_file("*"): "data set of no config",
        layout.dataset_file("*"): "data set of no config",
        layout.import_file("*"): "file of no config",
        "generated/*.json*": "training rows of no config",
        layout.generated_answers("*"): "training rows of no config",
        layout.stored_generated("*"): "answers of no training",
        layout.job_record("*", "*"): "record of no job",
    }
    for pattern, what in patterns.items():
        for path in sorted(root.glob(pattern)):
            below = path.relative_to(root)
            if str(below) not in wanted and not below.name.startswith("."):
                yield Unneeded(below, what, size(path))


def names_of(rule: str, grids: Sequence[Grid]) -> set[str]:
    """The names of a rule's jobs, as their files have them."""
    return {Path(file).stem for grid in grids for file in outputs(grid).get(rule, ())}


def kept_adapters(needs: Sequence[Needs], root: Path) -> Iterator[Unneeded]:
    names = {need.training_name(s) for need in needs for s in need.grid.stages.values()}
    unsure = [spec.bare() for need in needs for spec in need.trainings]
    for path in sorted((root / layout.STORED_ADAPTERS).glob("[!.]*")):
        if path.name not in names:
            spec = TrainSpec.model_validate(read_json(path / layout.PROVENANCE)["spec"])
            if spec.bare() not in unsure:
                yield Unneeded(path.relative_to(root), "adapter of no stage", size(path))


def kept_rows(needs: Sequence[Needs], root: Path) -> Iterator[Unneeded]:
    """Answers and scores by their keys. An arm's file that some config cannot tell the keys of
    stays as it is."""
    wanted: dict[Path, set[str] | None] = {}

    def want(path: Path, keys: Iterable[str] | None) -> None:
        before = wanted.setdefault(path, set())
        wanted[path] = None if keys is None or before is None else before | set(keys)

    for need in needs:
        for arm in need.grid.sampled:
            want(need.answer_file(arm), need.answer_keys(arm))
            if arm.settings is not None:
                path = root / layout.stored_scores(arm.writer)
                want(path, need.score_keys(arm) if need.grid.has_pairs else ())
    served = f"{layout.STORED_SERVED}/*.jsonl"
    for pattern in (layout.stored_answers("*"), layout.stored_scores("*"), served):
        for path in sorted(root.glob(pattern)):
            keys = wanted.get(path, set())
            if keys is not None:
                yield from rows_without(path, keys, root, paid=pattern == served)


def rows_without(path: Path, keys: set[str], root: Path, paid: bool) -> Iterator[Unneeded]:
    """The rows of a file whose keys are none of these; what was paid for nothing stays on the
    bill."""
    dropped = spare = kept = 0
    for key, line in lines_of(path):
        if key in keys or key.startswith("unusable/"):
            kept += 1
        else:
            dropped += 1
            spare += len(line)
    if dropped:
        keep = frozenset(keys) if kept else None
        yield Unneeded(path.relative_to(root), "rows of no arm", spare, dropped, keep, paid)


def lines_of(path: Path) -> Iterator[tuple[str, bytes]]:
    """The whole lines of a file of kept rows with their keys."""
    with path.open("rb") as file:
        for line in file:
            found = KEY.match(line)
            if found and line.endswith(b"\n"):
                yield found[1].decode(), line


def judgements(needs: Sequence[Needs], root: Path) -> Iterator[Unneeded]:
    """Folders of judges that are in no panel, or were edited since."""
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


def freed(found: Iterable[Unneeded], root: Path) -> int:
    """Bytes that deleting frees: of a file with several names, only if all of them go."""
    total = 0
    links: dict[tuple[int, int], list[int]] = {}
    for one in found:
        if one.keep is not None:
            total += one.bytes
            continue
        path = root / one.path
        for file in [path] if path.is_file() else path.rglob("*"):
            if file.is_file():
                about = file.stat()
                place = links.setdefault((about.st_dev, about.st_ino), [0, about.st_nlink, 0])
                place[0] += 1
                place[2] = about.st_size
    return total + sum(bytes for gone, names, bytes in links.values() if gone == names)


def delete(found: Iterable[Unneeded], root: Path) -> None:
    """Delete what is not needed; of a file of which rows stay, a shorter one takes the place."""
    for one in found:
        path = root / one.path
        if one.keep is not None:
            with whole_file(path) as draft, draft.open("wb") as file:
                file.writelines(
                    line
                    for key, line in lines_of(path)
                    if key in one.keep or key.startswith("unusable/")
                )
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
