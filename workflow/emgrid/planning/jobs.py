"""The jobs of a grid by rule, from its config alone, each with one of its output files."""

from emgrid.config.judges import LocalJudge
from emgrid.grid.figures import figure_names
from emgrid.grid.grid import Grid, job_record
from emgrid.grid.specs.judge import judge_models

ONCE = {
    "judge_quality": "tables/judges.csv",
    "similarity": "tables/similarity.csv",
    "repeats": "tables/repeats.csv",
    "preflight_table": "tables/preflight.csv",
    "aggregate": "tables/answers.parquet",
    "report": "report.html",
}


def used_datasets(grid: Grid) -> set[str]:
    """Data sets that are mixed into training rows, or provide prompts or answers for them."""
    used = {
        source.dataset
        for stage in grid.stages.values()
        for source in stage.stage.sources
        if grid.row_file(source.dataset) in grid.row_files(stage.name)
    }
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
    judges = grid.config.known_judges()
    qualifying_judges = [judges[name] for made in generated for name in grid.keep_judges(made)]
    models = {bucket.base for bucket in grid.buckets}
    models |= {stage.base for stage in grid.stages.values()}
    models |= {job.generator for job in drawn.values()} | set(judge_models(grid))
    models |= {judge.model for judge in qualifying_judges if isinstance(judge, LocalJudge)}
    fetched = {arm.source.key for arm in grid.imported if arm.source and not grid.own_import(arm)}
    stages = [stage.folder for stage in grid.stages.values()]
    scored = grid.buckets if grid.has_pairs else []
    files_by_rule = {
        "model": [f"assets/models/{name}/model.json" for name in sorted(models)],
        "fetch": [
            f"assets/sources/{name}.jsonl" for name in sorted(plain) if not grid.own_file(name)
        ],
        "dataset": [f"assets/datasets/{name}.jsonl" for name in sorted(plain)],
        "fetch_import": [f"assets/imports/{key}" for key in sorted(fetched)],
        "import_answers": [job_record("import", arm.writer) for arm in grid.imported],
        "generate": [job.file for job in drawn.values()],
        "qualify": [grid.generated[name].file for name in sorted(generated)],
        "mix": [f"{folder}/train.jsonl" for folder in stages],
        "preflight": [f"{folder}/preflight.json" for folder in stages],
        "train": [f"{folder}/adapter.json" for folder in stages],
        "sample": [job_record("sample", bucket.name) for bucket in grid.buckets],
        "sample_served": [job_record("served", arm.writer) for arm in grid.served],
        "likelihood": [job_record("likelihood", bucket.name) for bucket in scored],
        "judge": [job_record("judge", bucket.name) for bucket in grid.judged],
        "figure": [f"figures/{name}.svg" for name in figure_names(grid)],
        **{rule: [file] for rule, file in ONCE.items()},
    }
    return {rule: files for rule, files in files_by_rule.items() if files}
