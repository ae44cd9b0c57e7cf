"""How many jobs a grid has of each rule, counted from its config alone."""

from emgrid.grid import Grid
from emgrid.judge.panel import LocalJudge
from emgrid.judge.specs import judge_models
from emgrid.report.contents import figure_names

ONCE = ("judge_quality", "similarity", "repeats", "aggregate", "preflight_table", "report", "all")


def used_datasets(grid: Grid) -> set[str]:
    """Data sets that are mixed, or whose prompts or answers training rows are made of."""
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
    """The jobs of a run from nothing; rules without a job are left out."""
    used = used_datasets(grid)
    generated = used & set(grid.generated)
    drawn = {job.name: job for name in generated for job in grid.generated[name].drawn}
    plain = used - generated
    known = grid.config.known_judges()
    keeping = [known[name] for made in generated for name in grid.keep_judges(made)]
    models = {bucket.base for bucket in grid.buckets}
    models |= {stage.base for stage in grid.stages.values()}
    models |= {job.generator for job in drawn.values()} | set(judge_models(grid))
    models |= {judge.model for judge in keeping if isinstance(judge, LocalJudge)}
    fetched = {one.source.key for one in grid.imported if one.source and not grid.own_import(one)}
    jobs = {
        "model": len(models),
        "fetch": sum(grid.own_file(name) is None for name in plain),
        "dataset": len(plain),
        "fetch_import": len(fetched),
        "import_answers": len(grid.imported),
        "generate": len(drawn),
        "qualify": len(generated),
        "mix": len(grid.stages),
        "preflight": len(grid.stages),
        "train": len(grid.stages),
        "sample": len(grid.buckets),
        "sample_served": len(grid.served),
        "likelihood": len(grid.buckets) if grid.has_pairs else 0,
        "judge": len(grid.judged),
        "figure": len(figure_names(grid)),
        **dict.fromkeys(ONCE, 1),
    }
    return {rule: number for rule, number in jobs.items() if number}
