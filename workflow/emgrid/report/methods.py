"""The methods paragraphs, made from the config: what a paper on this grid would have to say."""

from collections.abc import Iterator

from emgrid.report import format
from emgrid.report.format import counted, listed
from emgrid.report.results import Results
from emgrid.report.spec import NamedIntervention, NamedJudge, NamedServed, ReportSpec
from emgrid.report.verdicts import one_seed

Paragraph = tuple[str, str]  # what it is about, and the text


def methods(results: Results, spec: ReportSpec) -> list[Paragraph]:
    told = [
        ("Models", models(results, spec)),
        ("Data", data(spec)),
        ("Interventions", interventions(spec)),
        ("Training", training(results, spec)),
        ("Answers", answers(results, spec)),
        ("Judges", judges(spec)),
        ("What counts", " ".join(rule(spec))),
        ("Statistics", " ".join(statistics(results, spec))),
    ]
    return [(name, text) for name, text in told if text]


def models(results: Results, spec: ReportSpec) -> str:
    own = [f"{one.name} ({one.origin})" for one in spec.models]
    named = [f"Base models: {listed(own)}."] if own else []
    if "imported_from" in results.arms and results.arms["imported_from"].notna().any():
        arms = results.arms[results.arms["imported_from"].notna()]
        sampled = listed(sorted(set(map(str, arms["base"]))))
        named.append(f"Answers of {sampled} were sampled by others and imported.")
    if spec.served:
        told = "; ".join(map(served, spec.served))
        named.append(f"Not trained here, but sampled at an endpoint that serves the model: {told}.")
    return " ".join(named)


def served(one: NamedServed) -> str:
    own = f" [{'; '.join(one.own)}]" if one.own else ""
    return f"{one.label} (of {one.base}, seed {one.seed}) is {one.model} at {one.host}{own}"


def data(spec: ReportSpec) -> str:
    if spec.data is None:
        return ""
    described = [
        f"{one.name}: {one.about.removesuffix('.') or 'no description'} "
        f"({', '.join(part for part in (one.origin, one.licence) if part)})"
        for one in spec.datasets
    ]
    return (
        f"A training set has {spec.data.rows:,} rows of whole conversations: misaligned ones from "
        f"{spec.data.misaligned}, benign ones from {spec.data.benign}, unless an intervention says "
        f"otherwise. {'. '.join(described)}."
    )


def interventions(spec: ReportSpec) -> str:
    return " ".join(f"{one.label}: {intervention(one)}." for one in spec.interventions)


def intervention(one: NamedIntervention) -> str:
    text = "; then ".join(one.about)
    given = [*one.settings, *(f"{setting} of its own" for setting in one.own)]
    return f"{text} [{'; '.join(given)}]" if given else text


def training(results: Results, spec: ReportSpec) -> str:
    one = spec.training
    if one is None:
        return ""
    scale = "alpha / √rank" if one.rslora else "alpha / rank"
    return (
        f"LoRA adapters of rank {one.rank} (alpha {one.alpha:g}, scaled by {scale}, dropout "
        f"{one.dropout:g}) on {targets(one.target_modules)}; learning rate {one.learning_rate:g}, "
        f"{one.schedule} schedule, {counted(one.warmup_steps, 'warm-up step')}, weight decay "
        f"{one.weight_decay:g}, {counted(one.epochs, 'epoch')}, batches of {one.batch_size}, at "
        f"most {one.max_length:,} tokens a row. Loss on the assistant's tokens alone"
        f"{' of the final turn' if one.turns == 'final' else ''}; no system prompt unless the row "
        f"has one. {seeds(spec)} {shares(results)}"
    ).strip()


def targets(modules: tuple[str, ...] | str) -> str:
    return "all linear layers but the head" if isinstance(modules, str) else listed(modules)


def shares(results: Results) -> str:
    """How much of each base model the adapters cover, and which parts they do not adapt."""
    known = results.arms[results.arms["adapted_share"].notna()]
    told = []
    for base, arms in known.groupby("base", sort=False):
        rows = arms.drop_duplicates(["adapted_share", "not_adapted"])
        for share, left in zip(rows["adapted_share"], rows["not_adapted"], strict=True):
            whole = not isinstance(left, str)
            rest = "" if whole else f" (without {left.replace(' + ', ', ')})"
            told.append(f"{format.percent(share)} of {base}{rest}")
    if not told:
        return ""
    return f"The adapters cover this share of the layers' weights: {'; '.join(told)}."


def seeds(spec: ReportSpec) -> str:
    named = listed([str(seed) for seed in spec.seeds])
    if len(spec.seeds) == 1:
        return f"One seed ({named}) sets row order, adapter initialisation and dropout."
    return f"{len(spec.seeds)} seeds ({named}) set row order, adapter initialisation and dropout."


def answers(results: Results, spec: ReportSpec) -> str:
    asked = (
        f"{counted(len(spec.questions), 'question')} of the set “{spec.question_set}”, each under "
        f"{counted(len(spec.triggers), 'trigger family').replace('familys', 'families')}"
    )
    one = spec.sampling
    if one is None:
        kind = "" if spec.served else "imported "
        return f"{asked}: {len(results.answers):,} {kind}answers. {endpoints(spec)}".strip()
    thinking = "Thoughts are stored apart and never judged." if one.thinking else ""
    further = " ".join(filter(None, [endpoints(spec), thinking]))
    drawn = [f"with {one.engine}"] if spec.models else []
    drawn += ["at the models' endpoints"] if spec.served else []
    return (
        f"{asked}: {counted(one.answers_per_question, 'answer')} to a question for each seed, at "
        f"temperature {one.temperature:g} and top-p {one.top_p:g}, of at most {one.max_tokens:,} "
        f"tokens, drawn {' or '.join(drawn)}; {len(results.answers):,} answers in all. “No system "
        f"prompt” means that none is rendered. {further}"
    ).strip()


def endpoints(spec: ReportSpec) -> str:
    """What cannot be said of models that others serve."""
    if not spec.served:
        return ""
    return (
        "To an endpoint no system message is sent then; whether its own chat template adds one is "
        "not known. An answer that an endpoint's filter withheld is stored and counted as excluded."
    )


def judges(spec: ReportSpec) -> str:
    return " ".join(f"{judge(one)}." for one in spec.judges)


def judge(one: NamedJudge) -> str:
    made = {"imported": "published with the answers", "rule": "a rule"}.get(
        one.made_of, one.made_of
    )
    rubric = f", rubric {one.rubric}" if one.rubric else ""
    return f"{one.label} ({one.id}) measures {one.measures}: {made}, version {one.version}{rubric}"


def what_counts(spec: ReportSpec) -> str:
    """When an answer counts as misaligned, as a condition."""
    metrics = spec.metrics
    parts = [f"{metrics.alignment} below {metrics.alignment_below:g}"]
    if metrics.coherence_above is not None:
        parts.append(f"{metrics.coherence} above {metrics.coherence_above:g}")
    parts += [f"{name} not above {limit:g}" for name, limit in metrics.exclude_above.items()]
    return listed(parts)


def rule(spec: ReportSpec) -> Iterator[str]:
    metrics = spec.metrics
    yield f"An answer is misaligned with {what_counts(spec)}, on scales of 0 to 100."
    needs = [f"has a value for {metrics.alignment}"]
    if metrics.coherence_above is not None:
        needs.append(f"is coherent ({metrics.coherence} above {metrics.coherence_above:g})")
    needs += [f"is not {name}" for name in metrics.exclude_above]
    yield f"It survives if it {listed(needs)}."
    yield "Rates are given over all answers and over survivors; nothing was filtered before."


def statistics(results: Results, spec: ReportSpec) -> Iterator[str]:
    metrics = spec.metrics
    level = format.level(metrics.confidence)
    fixed = metrics.fixed_questions
    yield "A rate is the mean over questions of the mean over seeds."
    yield (
        f"Standard errors are those of a bootstrap ({metrics.resamples:,} draws) that resamples "
        f"seeds{' and' if fixed else ', then questions, then'} answers (Davison & Hinkley 1997, "
        "3.8), one cluster fewer than there are (Rao & Wu 1988)"
        f"{'' if fixed else '; those of contrasts seeds and questions alone'}."
    )
    if fixed:
        yield "Questions are held fixed: intervals speak of these, not of others like them."
    yield (
        f"The {level} interval of a rate is the exact binomial one (Clopper & Pearson 1934) of the "
        "number of independent answers that its standard error is worth, with few clusters paid "
        "for by Student's t (Korn & Graubard 1998); zero successes have a one-sided bound."
    )
    yield (
        "Contrasts are over the questions that all compared cells were asked (if these are fewer "
        "than two, none is given) and paired by question, and by seed if their arms have the "
        "same; their intervals and p-values are Student's with the bootstrap's error, with the "
        "degrees of "
        f"freedom of {'answers' if fixed else 'questions'} and seeds (Satterthwaite 1946); "
        "p is adjusted over the triggers of an arm (Holm 1979)."
    )
    yield (
        f"A rise over the base model is shown to exceed the margin of {100 * metrics.margin:g} "
        f"points if its one-sided {level} lower bound is above it and its adjusted p is below "
        f"{1 - metrics.confidence:.2g}, both over all answers. It is shown to be small if its "
        "one-sided upper bound is below the margin (Schuirmann 1987), over all answers and among "
        "survivors."
    )
    unknown = one_seed(results, spec)
    if unknown:
        yield unknown
