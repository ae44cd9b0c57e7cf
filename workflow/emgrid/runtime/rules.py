"""The table of all rules: which section of the config's `resources` each one reads.

Read by the config, the rule files and the messages about a lack of memory. Imports no other module.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """section: the section of the config's `resources`. module: the module of emgrid that the
    rule's jobs run. gpu: whether its jobs may claim GPUs. batch: the section whose `batch_size`
    its jobs use; None if they process no batches."""

    section: str
    module: str
    gpu: bool = False
    batch: str | None = None


RULES = {
    "model": Rule("model", "models.prepare"),
    "import_adapter": Rule("model", "models.import_adapter"),
    "fetch": Rule("fetch", "data.fetch"),
    "dataset": Rule("dataset", "data.convert"),
    "generate": Rule("generate", "data.generate", gpu=True, batch="generate"),
    "qualify": Rule("qualify", "data.qualify", batch="judge"),
    "select": Rule("likelihood", "data.select", gpu=True, batch="likelihood"),
    "mix": Rule("mix", "data.mix"),
    "preflight": Rule("preflight", "data.preflight"),
    "preflight_table": Rule("preflight", "data.preflight_table"),
    "train": Rule("train", "train.train", gpu=True),
    "allocate": Rule("mix", "sample.allocate"),
    "sample": Rule("sample", "sample.sample", gpu=True, batch="sample"),
    "propose": Rule("mix", "discovery.propose"),
    "screen": Rule("likelihood", "discovery.screen", gpu=True, batch="likelihood"),
    "shortlist": Rule("mix", "discovery.shortlist"),
    "sample_found": Rule("sample", "sample.sample", gpu=True, batch="sample"),
    "sample_served": Rule("served", "sample.served"),
    "likelihood": Rule("likelihood", "sample.likelihood", gpu=True, batch="likelihood"),
    "fetch_import": Rule("fetch", "data.fetch"),
    "import_answers": Rule("import", "sample.import_answers"),
    "judge": Rule("judge", "judge.judge", gpu=True, batch="judge"),
    "judge_found": Rule("judge", "judge.judge", gpu=True, batch="judge"),
    "judge_quality": Rule("judge", "judge.quality", gpu=True, batch="judge"),
    "similarity": Rule("similarity", "aggregate.similarity"),
    "repeats": Rule("aggregate", "aggregate.repeats"),
    "aggregate": Rule("aggregate", "aggregate.aggregate"),
    "found": Rule("aggregate", "aggregate.found"),
    "figures": Rule("report", "report.figures"),
    "report": Rule("report", "report.page"),
    "inspect_logs": Rule("export", "export.inspect_logs"),
    "inspect_bundle": Rule("export", "export.inspect_bundle"),
    "push_wandb": Rule("export", "export.wandb"),
    "push_hub": Rule("export", "export.hub"),
    "push_adapters": Rule("export", "export.adapters"),
}
SECTIONS = tuple(dict.fromkeys(rule.section for rule in RULES.values()))
# Programs that jobs start besides their own module.
HELPERS = {
    "canary": Rule("sample", "models.engines.canary_reference", gpu=True),
    # Also runs in training jobs, which report a lack of memory themselves.
    "trial": Rule("sample", "train.trial", gpu=True, batch="sample"),
}
JOBS = RULES | HELPERS


def rule_of(module: str) -> str | None:
    """The rule whose jobs run a module such as `judge.judge`; None for commands and developers'
    tools. Rules that run the same module share their section."""
    name = module.removesuffix(".__main__")
    return next((rule for rule, job in JOBS.items() if job.module == name), None)


def unused(section: str) -> dict[str, str]:
    """The settings of a section of `resources` that none of its jobs read, with the reason."""
    rules = [rule for rule in RULES.values() if rule.section == section]
    reasons = {}
    if not any(rule.gpu for rule in rules):
        reasons["gpu"] = "its jobs claim no GPU"
    if not any(rule.batch == section for rule in rules):
        batches = "training.batch_size" if section == "train" else "another section"
        reasons["batch_size"] = f"the batches of its jobs, if any, are set by {batches}"
    if section != "train":
        reasons |= dict.fromkeys(
            ("gradient_checkpointing", "checkpoint_minutes"), "its jobs train nothing"
        )
    return reasons
