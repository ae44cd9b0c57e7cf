"""Turn the answers, judgements and likelihoods of all arms into tables.

Reads the files of every arm in the grid's folder, and the judged labels and similarities in
tables/. Writes tables/answers.parquet and most other tables; results/README.md describes their
columns.
"""

import argparse
import gc
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from emgrid.aggregate.agreement import agreement_table
from emgrid.aggregate.answers import LONG_TEXTS, read_answers
from emgrid.aggregate.contrasts import (
    BESIDE,
    KINDS,
    PART,
    Contrasts,
    OtherPriors,
    contrast_table,
    estimated,
    find_comparisons,
    under_other_priors,
)
from emgrid.aggregate.dose import dose_table
from emgrid.aggregate.existence_table import existence_table
from emgrid.aggregate.labellers import labeller_rows, labeller_table
from emgrid.aggregate.log_odds import likelihood_table, read_likelihoods
from emgrid.aggregate.looks import Seen, looks_of, read_seen, with_these, write_seen
from emgrid.aggregate.mean_rates import with_mean_rates
from emgrid.aggregate.own_kind import cell_kinds, with_judge_quality
from emgrid.aggregate.ppi_tables import (
    cells_with_labels,
    with_ppi_differences,
    with_ppi_rates,
)
from emgrid.aggregate.rates import (
    CellName,
    classify,
    judgement_table,
    rate_table,
    rule_errors,
    seed_table,
)
from emgrid.aggregate.robustness import robustness_table
from emgrid.aggregate.sensitivity import Sensitivity, sensitivity_of
from emgrid.aggregate.spec import ARM, AggregateSpec
from emgrid.aggregate.truth import truth_table
from emgrid.aggregate.verdicts import verdict_table
from emgrid.config.base import read_spec
from emgrid.config.priors import USUAL, prior_sets
from emgrid.models.adapter_settings import settings_digest
from emgrid.runtime import layout
from emgrid.runtime.files import read_json, whole_file
from emgrid.runtime.job import run_job
from emgrid.runtime.processes import call_beside

ROW_GROUP = 2**16  # answers that are compressed together; all at once would take memory


def other_verdicts(
    others: Sequence[OtherPriors],
    spec: AggregateSpec,
    sensitivity: Sensitivity | None,
    usual: Contrasts,
) -> dict[str, pd.DataFrame]:
    """The table of verdicts under each other set of priors, by its name. usual: the contrasts over
    all answers under the usual priors."""
    return {
        other.name: verdict_table(other.over_answers(usual), other.survivors, spec, sensitivity)
        for other in others
    }


def arm_table(spec: AggregateSpec, root: Path) -> pd.DataFrame:
    """One row per arm and training stage: rows, tokens, seconds, the adapter's folder. An arm whose
    adapter was trained elsewhere has one row for that.

    same_adapter: in the last stage's row, the other arms whose last adapter has the same bytes.
    """
    rows = []
    equal = equal_adapters(spec, root)
    for arm in spec.arms:
        about_arm = arm.model_dump(include={"base", "intervention", "ratio", "seed", "label"})
        for number, stage in enumerate(arm.stages or (None,), start=1):
            row: dict[str, Any] = about_arm | {"stage": number if stage else 0}
            row |= {"imported_from": arm.source, "served_by": arm.served}
            row |= {"adapter_from": arm.adapter_from}
            if arm.adapter and not stage:
                row |= imported_adapter(root, arm.adapter)
                row |= {"same_adapter": equal.get(arm.folder)}
            if stage:
                folder = layout.stage_folder(stage)
                record = read_json(root / folder / layout.PROVENANCE)
                sources = read_json(root / folder / layout.MIX_RECORD)["sources"]
                row |= {
                    "adapter": f"{folder}/adapter",
                    "same_adapter": equal.get(arm.folder) if number == len(arm.stages) else None,
                    "rows": record["rows"],
                    "sources": " + ".join(f"{part['rows']} {part['source']}" for part in sources),
                    "tokens": record["tokens"],
                    "trained_tokens": record["trained_tokens"],
                    "rows_cut": record["rows_cut"],
                    **adapted(record),
                    "seconds": record["seconds"],
                }
            rows.append(row)
    trained = ["rows", "sources", "tokens", "trained_tokens", "rows_cut"]
    trained += ["adapted", "adapted_share", "not_adapted", "seconds"]
    arm_columns = ["base", "intervention", "ratio", "seed", "label", "stage"]
    origin = ["imported_from", "served_by", "adapter_from", "adapter", "same_adapter"]
    return pd.DataFrame(rows, columns=[*arm_columns, *origin, *trained])


def imported_adapter(root: Path, folder: str) -> dict[str, Any]:
    """What is known of an adapter that was trained elsewhere: its folder and, from the manifest of
    exported rows if its entry names one, the rows."""
    record = read_json(root / folder / layout.PROVENANCE)
    rows = record.get("manifest", {}).get("stages", ())
    known = {"rows": sum(stage["rows"] for stage in rows)} if rows else {}
    if rows:
        known |= {name: sum(stage[name] for stage in rows) for name in ("tokens", "trained_tokens")}
        known |= {"sources": " + ".join(stage["sources"] for stage in rows)}
    return {"adapter": f"{folder}/{layout.ADAPTER}"} | known


def adapted(record: dict[str, Any]) -> dict[str, Any]:
    """The modules that a stage's LoRA adapts; empty for trainings that did not record them."""
    if (lora := record.get("lora")) is None:
        return {}
    return {
        "adapted": " + ".join(lora["modules"]),
        "adapted_share": lora["share"],
        "not_adapted": " + ".join(lora["left_out"]) or None,
    }


def equal_adapters(spec: AggregateSpec, root: Path) -> dict[str, str]:
    """For each arm's folder, the other arms of its base whose last adapter has the same bytes and
    settings."""
    by_adapter: dict[tuple[str, str, str], list[Any]] = {}
    for arm in spec.arms:
        last = layout.stage_folder(arm.stages[-1]) if arm.stages else arm.adapter
        if last:
            record = read_json(root / last / layout.PROVENANCE)
            config = root / last / layout.ADAPTER / layout.ADAPTER_CONFIG
            settings = settings_digest(read_json(config)) if config.is_file() else ""
            key = (arm.base, record["adapter_sha256"], settings)
            by_adapter.setdefault(key, []).append(arm)
    others_of = {}
    for arms in by_adapter.values():
        names = [f"{arm.intervention} {arm.ratio}, seed {arm.seed}" for arm in arms]
        if len(arms) > 1:
            print(f"warning: equal adapters on {arms[0].base}: {'; '.join(names)}", flush=True)
        for place, arm in enumerate(arms):
            others_of[arm.folder] = "; ".join([*names[:place], *names[place + 1 :]]) or None
    return {folder: others for folder, others in others_of.items() if others}


def write_answers(answers: pd.DataFrame, path: Path) -> None:
    with whole_file(path) as draft:
        answers.to_parquet(draft, index=False, row_group_size=ROW_GROUP)


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table. Floats keep all digits, so that they read back exactly."""
    with whole_file(path) as draft:
        table.to_csv(draft, index=False)
    print(f"{path.name}: {len(table)} rows", flush=True)


def write_tables(
    answers: pd.DataFrame, kinds: Mapping[CellName, str], spec: AggregateSpec, root: Path
) -> Mapping[CellName, Seen]:
    """Write all tables but that of the answers. kinds: of the answers of each cell, if a classifier
    decides. Returns the looks at each cell, this one included,
    to be noted once everything is written."""
    tables = root / "tables"
    # Grouped many times, which is faster by category than by text.
    answers = answers.astype(dict.fromkeys((*ARM, "trigger", "question"), "category"))
    classified = classify(answers, spec.metrics)
    labelled = pd.read_parquet(tables / "labelled.parquet")
    errors = rule_errors(labelled, spec)
    cells = cells_with_labels(classified, labelled, spec)
    rates = with_ppi_rates(rate_table(classified, spec, errors), cells, spec)
    rates = with_mean_rates(rates, answers, spec)
    rates = with_judge_quality(rates, answers, kinds, labelled, spec)
    write_csv(rates, tables / "rates.csv")
    write_csv(judgement_table(answers, spec), tables / "judgements.csv")
    agreement = agreement_table(answers, labelled, spec.judges, spec.metrics)
    people = list(labeller_rows(labelled, spec.judges, spec.metrics))
    agreement = pd.concat([agreement, pd.DataFrame(people)]) if people else agreement
    write_csv(agreement, tables / "agreement.csv")
    seen = read_seen(root)
    looks = looks_of(seen, classified, spec)
    usual = prior_sets()[USUAL]
    compared = find_comparisons(classified, spec, "answers", KINDS, looks)
    surviving = find_comparisons(classified, spec, "survivors", ("minus_base",), looks)
    others = call_beside(
        under_other_priors,
        compared,
        surviving,
        spec.metrics,
        worth_it=BESIDE < len(compared) <= PART,
    )
    contrasts = estimated(compared, spec.metrics, usual)
    differences = with_ppi_differences(contrast_table(contrasts), classified, cells, spec)
    write_csv(differences, tables / "contrasts.csv")
    survivors = estimated(surviving, spec.metrics, usual)
    sensitivity = sensitivity_of(labelled, spec)
    verdicts = verdict_table(contrasts, survivors, spec, sensitivity)
    write_csv(verdicts, tables / "verdicts.csv")
    if spec.samples:
        write_csv(labeller_table(labelled), tables / "labellers.csv")
    if spec.truth:
        write_csv(truth_table(verdicts, spec.truth), tables / "truth.csv")
    write_csv(existence_table(classified, spec, looks), tables / "existence.csv")
    write_csv(seed_table(classified), tables / "seeds.csv")
    similarity = pd.read_csv(tables / "similarity.csv", dtype={"ratio": str})
    write_csv(dose_table(classified, similarity, spec), tables / "dose.csv")
    write_csv(likelihood_table(read_likelihoods(spec, root), spec), tables / "likelihood.csv")
    write_csv(arm_table(spec, root), tables / "arms.csv")
    under_others = other_verdicts(others(), spec, sensitivity, contrasts)
    write_csv(robustness_table(answers, spec, under_others), tables / "robustness.csv")
    return with_these(seen, classified, spec)


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.aggregate.aggregate", description=__doc__)
    parser.add_argument(
        "--spec", required=True, type=read_spec, help="AggregateSpec as JSON, or its file"
    )
    parser.add_argument("--root", required=True, type=Path, help="the grid's folder")
    args = parser.parse_args()
    spec = AggregateSpec.model_validate_json(args.spec)
    # statsmodels collects garbage at every adjusted p; this exempts what was imported.
    gc.freeze()
    # Arrow's default allocator keeps much of the memory in which many files were parsed.
    if "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())
    answers = read_answers(spec, args.root)
    print(
        f"{len(answers)} answers of {len(spec.arms)} arms under {len(spec.triggers)} triggers",
        flush=True,
    )
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(write_answers, answers, args.root / layout.ANSWER_TABLE)
        kinds = cell_kinds(answers, spec)
        if not spec.samples:  # which are found by their texts
            answers = answers.drop(columns=LONG_TEXTS)
        looks = write_tables(answers, kinds, spec, args.root)
        written.result()
    # Last, so that a job that was stopped has not looked.
    write_seen(looks, args.root)


if __name__ == "__main__":
    run_job(main)
