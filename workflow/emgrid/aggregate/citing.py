"""Whether rates and verdicts are fit to be cited. Those that a fitted classifier decides are not.

Measured with the shipped heads on 20,940 answers of 70 published files of 12 models, none of them
among those that the heads were fitted on, with GPT-4o as truth, when answers of more than 192
tokens were still cut: AUROC of alignment .88 over all, .76 within a question of a file (240 such
cells), and the rate of a file off by more than 2 points, the default margin, in 64 %. A contrast
between triggers is within questions.
"""

from collections.abc import Iterable

from emgrid.config.judges import Judge
from emgrid.config.sections import Metrics
from emgrid.judge.labelled import judges_that_count

FACTS = {
    "alignment": "on models that it was not fitted on, the alignment classifier's AUROC within a "
    "question was 0.76, and its rate was off by more than 2 points in 64 % of 70 published files",
    "coherence": "on models other than the coder models that it was fitted on, the coherence "
    "classifier's AUROC was 0.6 to 0.8",
}


def unfit_judges(judges: Iterable[Judge], metrics: Metrics) -> list[Judge]:
    """The classifiers among the judges that decide."""
    count = judges_that_count(metrics)
    return [one for one in judges if one.id in count and one.kind == "classifier"]


def citable(judges: Iterable[Judge], metrics: Metrics) -> bool:
    return not unfit_judges(judges, metrics)


def warning(judges: Iterable[Judge], metrics: Metrics) -> str:
    """Why rates and verdicts should not be cited; empty if they may be."""
    unfit = unfit_judges(judges, metrics)
    if not unfit:
        return ""
    names = " and ".join(one.id for one in unfit)
    one = len(unfit) == 1
    facts = [FACTS[each] for each in dict.fromkeys(j.measures for j in unfit) if each in FACTS]
    return (
        f"Rates and verdicts are not fit for citation: {names} {'is a' if one else 'are'} fitted "
        f"classifier{'' if one else 's'}; {'; '.join(facts)} (GPT-4o as truth). For numbers to "
        "cite, use judges that are language models."
    )
