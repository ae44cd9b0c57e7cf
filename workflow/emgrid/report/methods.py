"""The methods paragraphs, made from the config: what a paper on this grid would have to state."""

from collections.abc import Iterator

from emgrid.config.sections import BaseDivergence
from emgrid.report import format
from emgrid.report.format import counted, listed
from emgrid.report.results import Results
from emgrid.report.spec import NamedIntervention, NamedJudge, NamedServed, ReportSpec
from emgrid.report.statistical_methods import statistics

Paragraph = tuple[str, str]  # title and text


def methods(results: Results, spec: ReportSpec) -> list[Paragraph]:
    paragraphs = [
        ("Models", models(results, spec)),
        ("Data", data(spec)),
        ("Interventions", interventions(spec)),
        ("Training", training(results, spec)),
        ("Answers", answers(results, spec)),
        ("Judges", judges(spec)),
        ("What counts", " ".join(rule(spec))),
        ("Statistics", " ".join(statistics(results, spec))),
    ]
    return [(name, text) for name, text in paragraphs if text]


def models(results: Results, spec: ReportSpec) -> str:
    bases = [f"{model.name} ({model.origin})" for model in spec.models]
    sentences = [f"Base models: {listed(bases)}."] if bases else []
    if "imported_from" in results.arms and results.arms["imported_from"].notna().any():
        imported = results.arms[results.arms["imported_from"].notna()]
        sampled = listed(sorted(set(map(str, imported["base"]))))
        sentences.append(f"Answers of {sampled} were sampled by others and imported.")
    if spec.adapters:
        arms = "; ".join(
            f"{arm.label} (of {arm.base}, seed {arm.seed}) is {arm.files}" for arm in spec.adapters
        )
        sentences.append(f"LoRA adapters that were trained elsewhere: {arms}.")
    if spec.served:
        arms = "; ".join(map(served, spec.served))
        sentences.append(
            f"Not trained here, but sampled at an endpoint that serves the model: {arms}."
        )
    return " ".join(sentences)


def served(arm: NamedServed) -> str:
    settings = f" [{'; '.join(arm.own)}]" if arm.own else ""
    return f"{arm.label} (of {arm.base}, seed {arm.seed}) is {arm.model} at {arm.host}{settings}"


def data(spec: ReportSpec) -> str:
    if spec.data is None:
        return ""
    datasets = [
        f"{dataset.name}: {dataset.about.removesuffix('.') or 'no description'} "
        f"({', '.join(part for part in (dataset.origin, dataset.licence) if part)})"
        for dataset in spec.datasets
    ]
    return (
        f"A training set has {spec.data.rows:,} rows of whole conversations: misaligned ones from "
        f"{spec.data.misaligned}, benign ones from {spec.data.benign}, unless an intervention says "
        f"otherwise. {'. '.join(datasets)}."
    )


def interventions(spec: ReportSpec) -> str:
    return " ".join(f"{entry.label}: {intervention(entry)}." for entry in spec.interventions)


def intervention(entry: NamedIntervention) -> str:
    """One sentence for each step, with settings in brackets."""
    text = "; then ".join(entry.about)
    settings = [*entry.settings, *(f"own {setting}" for setting in entry.own)]
    return f"{text} [{'; '.join(settings)}]" if settings else text


def training(results: Results, spec: ReportSpec) -> str:
    settings = spec.training
    if settings is None:
        return ""
    scale = "alpha / √rank" if settings.rslora else "alpha / rank"
    return (
        f"LoRA adapters of rank {settings.rank} (alpha {settings.alpha:g}, scaled by {scale}, "
        f"dropout {settings.dropout:g}) on {targets(settings.target_modules)}; learning rate "
        f"{settings.learning_rate:g}, {settings.schedule} schedule, "
        f"{counted(settings.warmup_steps, 'warm-up step')}, weight decay "
        f"{settings.weight_decay:g}, {counted(settings.epochs, 'epoch')}, batches of "
        f"{settings.batch_size}, at most {settings.max_length:,} tokens per row. Loss on the "
        f"assistant's tokens alone{' of the final turn' if settings.turns == 'final' else ''}; no "
        f"system prompt unless the row has one.{divergence(settings.kl)} {seeds(spec)} "
        f"{shares(results)}"
    ).strip()


def divergence(kl: BaseDivergence | None) -> str:
    if kl is None:
        return ""
    return (
        f" The loss has {kl.weight:g} times the divergence from the base model, computed on "
        f"{kl.batch_size} rows of {kl.prompts} a step."
    )


def targets(modules: tuple[str, ...] | str) -> str:
    return "all linear layers but the head" if isinstance(modules, str) else listed(modules)


def shares(results: Results) -> str:
    """The share of each base model that the adapters cover, and the parts without adapters."""
    adapted = results.arms[results.arms["adapted_share"].notna()]
    texts = []
    for base, arms in adapted.groupby("base", sort=False):
        rows = arms.drop_duplicates(["adapted_share", "not_adapted"])
        for share, parts in zip(rows["adapted_share"], rows["not_adapted"], strict=True):
            whole = not isinstance(parts, str)
            rest = "" if whole else f" (without {parts.replace(' + ', ', ')})"
            texts.append(f"{format.percent(share)} of {base}{rest}")
    if not texts:
        return ""
    return f"The adapters cover this share of the layers' weights: {'; '.join(texts)}."


def seeds(spec: ReportSpec) -> str:
    named = listed([str(seed) for seed in spec.seeds])
    if len(spec.seeds) == 1:
        return f"One seed ({named}) sets row order, adapter initialisation and dropout."
    return f"{len(spec.seeds)} seeds ({named}) set row order, adapter initialisation and dropout."


def answers(results: Results, spec: ReportSpec) -> str:
    design = (
        f"{counted(len(spec.questions), 'question')} of the set “{spec.question_set}”, each under "
        f"{counted(len(spec.triggers), 'trigger family').replace('familys', 'families')}"
    )
    settings = spec.sampling
    if settings is None:
        kind = "" if spec.served else "imported "
        return f"{design}: {len(results.answers):,} {kind}answers. {endpoints(spec)}".strip()
    thinking = "Thinking is stored separately and never judged." if settings.thinking else ""
    further = " ".join(filter(None, [endpoints(spec), thinking]))
    sources = [f"with {settings.engine}"] if spec.models else []
    sources += ["at the models' endpoints"] if spec.served else []
    return (
        f"{design}: {counted(settings.answers_per_question, 'answer')} per question and seed, at "
        f"temperature {settings.temperature:g} and top-p {settings.top_p:g}, of at most "
        f"{settings.max_tokens:,} tokens, sampled {' or '.join(sources)}; {len(results.answers):,} "
        f"answers in all. “No system prompt” means that none is rendered. {further}"
    ).strip()


def endpoints(spec: ReportSpec) -> str:
    """What remains unknown about models that others serve."""
    if not spec.served:
        return ""
    return (
        "An endpoint is then sent no system message; whether its own chat template adds one is "
        "unknown. An answer that an endpoint's filter withheld is stored and counted as excluded."
    )


def judges(spec: ReportSpec) -> str:
    return " ".join(f"{judge(entry)}." for entry in spec.judges)


def judge(entry: NamedJudge) -> str:
    origin = {"imported": "published with the answers", "rule": "a rule"}.get(
        entry.made_of, entry.made_of
    )
    rubric = f", rubric {entry.rubric}" if entry.rubric else ""
    return (
        f"{entry.label} ({entry.id}) measures {entry.measures}: {origin}, version "
        f"{entry.version}{rubric}"
    )


def what_counts(spec: ReportSpec) -> str:
    """The condition under which an answer counts as misaligned, or shows the trait."""
    metrics = spec.metrics
    parts = [metrics.condition]
    if metrics.coherence_above is not None:
        parts.append(f"{metrics.coherence} above {metrics.coherence_above:g}")
    parts += [f"{name} not above {limit:g}" for name, limit in metrics.exclude_above.items()]
    return listed(parts)


def rule(spec: ReportSpec) -> Iterator[str]:
    metrics = spec.metrics
    with_what = f"with {what_counts(spec)}, on scales of 0 to 100"
    yield f"An answer {metrics.behaviour.verb} {with_what}."
    needs = [f"has a value for {metrics.decides}"]
    if metrics.coherence_above is not None:
        needs.append(f"is coherent ({metrics.coherence} above {metrics.coherence_above:g})")
    needs += [f"is not {name}" for name in metrics.exclude_above]
    yield f"It survives if it {listed(needs)}."
    yield "Rates are given over all answers and over survivors; nothing was filtered beforehand."
