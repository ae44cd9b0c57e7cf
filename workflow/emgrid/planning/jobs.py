"""The jobs of a grid by rule, from its config alone, each with one of its output files."""

from emgrid.config.judges import LocalJudge
from emgrid.grid.figures import figure_names
from emgrid.grid.grid import Grid
from emgrid.grid.searches import searches
from emgrid.grid.specs.discovery import data_names
from emgrid.grid.specs.judge import judge_models
from emgrid.runtime import layout

ONCE = {
    "judge_quality": layout.table("judges.csv"),
    "similarity": layout.table("similarity.csv"),
    "repeats": layout.table("repeats.csv"),
    "preflight_table": layout.table("preflight.csv"),
    "aggregate": layout.ANSWER_TABLE,
    "report": layout.REPORT,
}


def used_datasets(grid: Grid) -> set[str]:
    """Data sets that are mixed into training rows, or provide prompts or answers for them."""
    used = {
        source.dataset
        for run in grid.stages.values()
        for source in run.mixture.sources
        if grid.row_file(source.dataset) in grid.row_files(run.name)
    }
    chosen = used & set(grid.selected)
    used = used - chosen | {grid.selected[name].selection.dataset for name in chosen}
    trainings = [run.mixture.training for run in grid.stages.values()]
    used |= {training.kl.prompts for training in trainings if training.kl}
    for search in searches(grid).values():
        used |= set(data_names(search))
    for name in used & set(grid.generated):
        generation = grid.generated[name].generation
        used |= {generation.prompts} | ({generation.answers} if generation.answers else set())
    return used


def jobs_by_rule(grid: Grid) -> dict[str, int]:
    """The number of jobs of a run from scratch, by rule; rules without jobs are left out."""
    return {rule: len(files) for rule, files in outputs(grid).items()} | {"all": 1}


def outputs(grid: Grid) -> dict[str, list[str]]:
    """The first output of each job, by rule, relative to the grid's folder."""
    used = used_datasets(grid)
    generated = used & set(grid.generated)
    drawn = {job.name: job for name in generated for job in grid.generated[name].drawn}
    plain = used - generated
    judges = grid.catalogue.judges
    qualifying_judges = [
        judges[name] for dataset in generated for name in grid.keep_judges(dataset)
    ]
    models = {bucket.base for bucket in grid.buckets}
    models |= {stage.base for stage in grid.stages.values()}
    models |= {job.generator for job in drawn.values()} | set(judge_models(grid))
    models |= {judge.model for judge in qualifying_judges if isinstance(judge, LocalJudge)}
    fetched = {arm.source.key for arm in grid.imported if arm.source and not grid.own_import(arm)}
    models |= {adapter.entry.base for adapter in grid.adapters.values()}
    stages = [stage.folder for stage in grid.stages.values()]
    scored = grid.buckets if grid.has_pairs else []
    asking = [bucket.name for bucket in grid.buckets] + [arm.writer for arm in grid.served]
    allocated = asking if grid.rounds else []
    searched = list(searches(grid))
    files_by_rule = {
        "model": [layout.model_record(name) for name in sorted(models)],
        "import_adapter": [adapter.adapter_record for adapter in grid.adapters.values()],
        "fetch": [layout.source_file(name) for name in sorted(plain) if not grid.own_file(name)],
        "dataset": [layout.dataset_file(name) for name in sorted(plain)],
        "fetch_import": [layout.import_file(key) for key in sorted(fetched)],
        "import_answers": [layout.job_record("import", arm.writer) for arm in grid.imported],
        "generate": [job.file for job in drawn.values()],
        "qualify": [grid.generated[name].file for name in sorted(generated)],
        "select": [chosen.file for chosen in grid.selected.values()],
        "mix": [f"{folder}/{layout.TRAINING_ROWS}" for folder in stages],
        "preflight": [f"{folder}/{layout.CHECK_RECORD}" for folder in stages],
        "train": [f"{folder}/{layout.ADAPTER_RECORD}" for folder in stages],
        "allocate": [layout.allocation(name) for name in allocated],
        "sample": [layout.job_record("sample", bucket.name) for bucket in grid.buckets],
        "sample_served": [layout.job_record("served", arm.writer) for arm in grid.served],
        "likelihood": [layout.job_record("likelihood", bucket.name) for bucket in scored],
        "propose": [layout.candidates(name) for name in searched],
        "screen": [layout.screen(name) for name in searched],
        "shortlist": [layout.shortlist(name) for name in searched],
        "sample_found": [layout.job_record("found", name) for name in searched],
        "judge_found": [layout.job_record("judge_found", name) for name in searched],
        "found": [layout.table("found.csv")] if searched else [],
        "judge": [layout.job_record("judge", bucket.name) for bucket in grid.judged],
        "figures": [layout.figure(figure_names(grid)[0], "svg")],
        **{rule: [file] for rule, file in ONCE.items()},
    }
    return {rule: files for rule, files in files_by_rule.items() if files}
