"""Exports of a finished grid, which run when they are asked for."""

import pandas as pd
import pytest
from inspect_ai.log import list_eval_logs, read_eval_log
from support.eval_logs import assert_same
from support.run import GridRun


def test_the_rule_exports_a_finished_grid(finished: GridRun) -> None:
    done = finished.snakemake("inspect_bundle")
    assert done.returncode == 0, done.stdout + done.stderr
    table = pd.read_parquet(finished.root / "tables/answers.parquet")
    logs = [read_eval_log(info) for info in list_eval_logs(str(finished.root / "inspect"))]
    cells = table.groupby(["base", "intervention", "ratio", "seed", "trigger"])
    assert len(logs) == cells.ngroups
    for log in logs:
        assert_same(log, cells.get_group(tuple(log.eval.task_args.values())))
    bundled = finished.root / "inspect-bundle/logs"
    assert len(list(bundled.glob("*.eval"))) == len(logs)
    assert finished.planned(finished.config) == {}


@pytest.mark.parametrize("rule", ["push_wandb", "push_hub", "push_adapters"])
def test_a_push_runs_only_when_it_is_asked_for(finished: GridRun, rule: str) -> None:
    done = finished.snakemake("-n", rule)
    assert rule in done.stdout + done.stderr
    assert rule not in finished.planned(finished.config)
