"""The statistical methods in words that a paper can use, with citations and priors.

The estimates are made in aggregate/; the priors are those of resources/priors.yaml.
"""

from collections.abc import Iterator

from emgrid.config.priors import USUAL, Normal, RatePriors, RisePriors, prior_sets
from emgrid.config.sections import Metrics
from emgrid.report import format
from emgrid.report.format import listed
from emgrid.report.results import Results
from emgrid.report.spec import ReportSpec
from emgrid.report.verdicts import one_seed


def statistics(results: Results, spec: ReportSpec) -> Iterator[str]:
    """The paragraph's sentences."""
    metrics = spec.metrics
    priors = prior_sets()[USUAL]
    yield "A rate is the mean over questions of the mean over seeds."
    yield population(metrics)
    yield contrasts(metrics, priors.rises)
    yield rates(metrics, priors.rates)
    yield decisions(metrics)
    yield adjustment()
    looks = results.verdicts["looks"].max() if "looks" in results.verdicts else 1
    if looks > 1:
        yield repeated_looks(int(looks))
    if len(results.existence.columns):
        yield single_questions()
    others = [name for name in prior_sets() if name != USUAL]
    yield (
        "All priors are in resources/priors.yaml, with their evidence; verdicts under "
        f"{len(others)} other sets ({listed(others)}) are in robustness.csv."
    )
    yield (
        "Intervals of rank correlations, and of rates corrected for judge errors (Rogan & Gladen "
        f"1978), come from {metrics.resamples:,} draws."
    )
    if "rate_ppi" in results.rates:
        yield by_labels(metrics)
    warning = one_seed(results, spec)
    if warning:
        yield warning


def repeated_looks(number: int) -> str:
    return (
        f"Verdicts were looked at up to {number} times, planned or with more answers than before; "
        "the error of bounds and adjusted p-values is split evenly over the looks (Bonferroni; see "
        "Jennison & Turnbull 2000 on group sequential designs)."
    )


def population(metrics: Metrics) -> str:
    if metrics.fixed_questions:
        return (
            "Questions are held fixed: intervals and p-values include the differences between "
            "seeds and answers, and apply to these questions, not to similar ones."
        )
    return (
        "Questions and seeds are taken as samples: intervals and p-values apply to all questions "
        "and trainings of which these are examples."
    )


def contrasts(metrics: Metrics, priors: RisePriors) -> str:
    scales = (
        priors.question_sd, priors.question_trigger_sd, priors.seed_sd, priors.seed_trigger_sd
    )  # fmt: skip
    names = [f"{prior.scale:g}" for prior in scales]
    degrees = "seeds and answers" if metrics.fixed_questions else "questions and seeds"
    return (
        "Contrasts cover the questions that all compared cells were asked (with fewer than two, "
        "none is given). They are estimated by a logistic model of the two cells with crossed "
        "random effects of question, question by trigger, seed, and seed by trigger (Baayen, "
        "Davidson & Bates 2008); two arms with the same seeds are paired by seed. The four "
        "standard deviations are integrated over half-normal priors (Gelman 2006) of scale "
        f"{listed(names)}, the mean log-odds has the prior {normal(priors.intercept)} and the "
        f"change {normal(priors.trigger)}; the likelihood at each point of the grid of standard "
        "deviations is Laplace's approximation (Tierney & Kadane 1986; Rue, Martino & Chopin "
        "2009). A difference is one of rates, that is, of means over questions and seeds. Its p "
        "is twice the posterior probability of the less probable sign; that of a verdict is "
        "one-sided, the posterior probability that the rate does not rise. Differences of two "
        "rises take their posteriors as independent. As a check without priors, contrasts.csv "
        "gives the p of a crossed analysis of variance of arcsine-transformed rates (Freeman & "
        f"Tukey 1950), with the degrees of freedom of {degrees} (Satterthwaite 1946)."
    )


def normal(prior: Normal) -> str:
    """A normal prior as N(mean, standard deviation²)."""
    return f"N({prior.mean:g}, {prior.sd:g}²)".replace("-", "−")


def rates(metrics: Metrics, priors: RatePriors) -> str:
    level, behaviour = format.level(metrics.confidence), metrics.behaviour
    seeds = (
        "The seeds differ from others by a normal error on the log-odds, whose standard deviation "
        "is integrated over its posterior, given the stratified chi-squared statistic of the seeds "
        "(Cochran 1954; Mantel & Haenszel 1959) and a half-normal prior of scale "
        f"{priors.seed_sd.scale:g}."
    )
    if metrics.fixed_questions:
        return (
            f"The {level} interval of a rate is a posterior interval: each question has its own "
            f"binomial rate with a beta distribution, and with no {behaviour.answer} the bound is "
            f"that of Clopper & Pearson (1934). {seeds}"
        )
    share = priors.cold_share
    return (
        f"The {level} interval of a rate is the posterior interval of a hierarchy with a spike at "
        "zero (zero-inflated models: Lambert 1992; Hall 2000): a question is never answered "
        f"{behaviour.state} with some probability, else its log-odds are normal. That probability "
        f"is zero with prior probability {share.at_zero:g}, else Beta({share.a:g}, {share.b:g}); "
        f"the mean of the log-odds is {normal(priors.question_mean)}, their standard deviation "
        f"half-normal of scale {priors.question_sd.scale:g}. {seeds}"
    )


def decisions(metrics: Metrics) -> str:
    level = format.level(metrics.confidence)
    return (
        f"A rise over the base model is shown to exceed the margin of {100 * metrics.margin:g} "
        f"points if its one-sided {level} lower bound in the logistic model exceeds the margin and "
        f"its adjusted p is below {1 - metrics.confidence:.2g}, both over all answers. It is shown "
        "to be small if its one-sided upper bound in the model of rates is below the margin (a "
        "test of equivalence, Schuirmann 1987), over all answers and among survivors. Arm and base "
        "model are taken as independent there, but what is unknown of the base model's questions "
        "is taken as equal with and without a trigger. Verdicts speak of answers that the judges "
        f"call {metrics.behaviour.called}."
    )


def adjustment() -> str:
    return (
        "p-values of verdicts are adjusted over the triggers and arms of a base model, those of "
        "contrasts over the triggers of an arm (Holm 1979); bounds are not adjusted."
    )


def by_labels(metrics: Metrics) -> str:
    return (
        "Rates and contrasts “by labels” are prediction-powered estimates (PPI++, Angelopoulos, "
        "Duchi & Zrnic 2023) from labels of the cell's own answers, drawn at random within strata "
        "of the judges' values with known probabilities (stratified: Fisch et al. 2024): the sum "
        "over strata of the share of all answers times the share of misaligned ones among the "
        "labels. They make no assumption about the judges' errors. The share in each stratum has a "
        "binomial posterior with Jeffreys' prior for the whole cell (Brown, Cai & DasGupta 2001), "
        "so that labels that all agree leave an interval; labels drawn with unequal probabilities "
        "count as their effective number (Kish 1965; Korn & Graubard 1998). Answers without a "
        "label are imputed (Rubin 1987), and each completed table goes through the models above, "
        "so that intervals include the differences between answers, seeds and questions. They come "
        f"from {metrics.resamples:,} draws. If several people labelled an answer, its label is the "
        "share of them who found it misaligned."
    )


def single_questions() -> str:
    return (
        "Rises of single questions are tested by the exact conditional test of 2 × 2 tables, "
        "stratified by seed (Fisher 1935; Birch 1964), and against the base model under the same "
        "trigger (the larger p, Berger 1982); that two trainings rise, by the largest p without "
        "any one seed (Benjamini & Heller 2008). They are adjusted over the triggers and questions "
        "of an arm (Holm 1979)."
    )
