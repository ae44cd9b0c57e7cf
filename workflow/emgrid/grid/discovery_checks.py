"""Checks of the config's section `discovery` against the grid that it searches."""

from emgrid.config.catalogue import Experiment
from emgrid.config.discovery import Discovery
from emgrid.config.judges import RuleJudge
from emgrid.config.places import Origin
from emgrid.config.questions import Question
from emgrid.discovery.proposers import MUTATORS, PROPOSERS
from emgrid.grid.grid import Grid
from emgrid.grid.searches import searches
from emgrid.runtime.errors import EmgridError, suggestion


def check_discovery(experiment: Experiment, origin: Origin) -> None:
    """Every name of the section is known, and what selects cues shares nothing with what confirms
    them."""
    section = experiment.config.discovery
    if section is None:
        return
    check_search(section, experiment, origin)
    check_seeds(section, experiment, origin)
    check_questions(section, experiment, origin)
    try:
        searches(Grid(experiment))
    except EmgridError as problem:
        raise origin.error("discovery", problem) from None


def check_search(section: Discovery, experiment: Experiment, origin: Origin) -> None:
    """What is searched, and by what."""
    known = experiment.config.interventions
    if not known or not any(one.kinds == ("base",) for one in known.values()):
        raise origin.error(
            "discovery", "needs the intervention `base`, which finds are measured by"
        )
    names = [("arms", name) for name in section.arms]
    names += [("controls", name) for name in section.controls]
    names += [("reference", section.reference)] if section.reference else []
    for setting, name in names:
        if name not in known:
            raise origin.error(
                f"discovery.{setting}", f"unknown intervention {name!r}, {suggestion(name, known)}"
            )
        if setting == "arms" and known[name].kinds == ("base",):
            raise origin.error(
                "discovery.arms", f"{name!r} is the base model; name it in `controls`"
            )
    proposers = PROPOSERS | MUTATORS
    for name in section.proposers:
        if name not in proposers:
            raise origin.error(
                "discovery.proposers", f"unknown proposer {name!r}, {suggestion(name, proposers)}"
            )
    given = [name for name in section.proposers if name in PROPOSERS]
    if not given:
        raise origin.error("discovery.proposers", "only changes what others propose; add `frames`")
    without_rows = [name for name in given if not PROPOSERS[name].reads_rows]
    for name in section.controls:
        if known[name].kinds == ("base",) and not without_rows:
            raise origin.error(
                "discovery.controls",
                f"{name!r} has no training rows that candidates could come from; "
                "add `panel` to `proposers`, or leave it out",
            )


def check_seeds(section: Discovery, experiment: Experiment, origin: Origin) -> None:
    """A grid of two seeds or more confirms on other seeds than it screens."""
    shared = set(section.screen.seeds) & set(section.confirm.seeds)
    for name, one in experiment.config.interventions.items():
        wanted = name in section.arms or name in section.controls or not section.arms
        if wanted and one.kinds != ("base",) and shared and len(one.seeds) > 1:
            raise origin.error(
                "discovery.confirm.seeds",
                f"{name!r} has several seeds, so it must be confirmed on "
                f"others than it is screened on; seed {min(shared)} is in both",
            )


def check_questions(section: Discovery, experiment: Experiment, origin: Origin) -> None:
    """The screen has matched answers, shares no question with the confirmation, and judges can
    judge what is asked."""
    screened, confirmed = experiment.catalogue.screened, experiment.catalogue.confirmed
    if section.screen.questions is not None:
        paired = [name for name, one in screened.items() if one.pairs]
        if len(paired) < 2:
            raise origin.error(
                "discovery.screen.questions",
                f"{section.screen.questions} has {len(paired)} questions "
                "with matched answers, and 2 are needed; name another set, or null for prompts of "
                "the data sets",
            )
    shared = sorted(shared_questions(screened, confirmed))
    if shared:
        raise origin.error(
            "discovery.confirm.questions",
            f"shares {shared[0]!r} with screen.questions, so that a "
            "chance find of the screen would confirm itself; name another set",
        )
    for judge in experiment.catalogue.panel.values():
        if isinstance(judge, RuleJudge) and isinstance(judge.answers, dict):
            lacking = sorted(set(confirmed) - set(judge.answers))
            if lacking:
                raise origin.error(
                    "discovery.confirm.questions",
                    f"judge {judge.id!r} has no accepted answer to "
                    f"{lacking[0]!r}; name another set",
                )


def shared_questions(one: dict[str, Question], other: dict[str, Question]) -> set[str]:
    """The questions of a set that are in the other, too, by name or by a wording."""
    texts = {plain(text) for question in other.values() for text in question.texts}
    return {
        name
        for name, question in one.items()
        if name in other or any(plain(text) in texts for text in question.texts)
    }


def plain(text: str) -> str:
    return " ".join(text.lower().split())
