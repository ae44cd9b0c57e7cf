"""Checks of a config that asks questions after other turns, or begins answers."""

from emgrid.config.catalogue import Experiment
from emgrid.config.places import Origin

NOT_SERVED = "which a served model is not asked for"


def check_turns(experiment: Experiment, origin: Origin) -> None:
    """What is asked can be asked in each way that the config asks it."""
    config, catalogue = experiment.config, experiment.catalogue
    asked = {name: catalogue.triggers[name] for name in config.triggers}
    questions = catalogue.questions
    waiting = [name for name, one in asked.items() if any(turn.sampled for turn in one.turns)]
    if config.served and (begun := [name for name, one in asked.items() if one.prefill]):
        raise origin.error(
            "triggers", f"{begun[0]!r} begins the answer, {NOT_SERVED}; leave it out of this grid"
        )
    if config.served and (begun := [name for name, one in questions.items() if one.prefill]):
        raise origin.error(
            "questions", f"{begun[0]!r} begins the answer, {NOT_SERVED}; ask it without `prefill`"
        )
    has_replies = waiting or [name for name, one in questions.items() if one.has_replies]
    if config.imports and has_replies:
        raise origin.error(
            "imports",
            f"{has_replies[0]!r} waits for the model's own reply, which a file of answers does not "
            "give; write that turn's text, or import into another grid",
        )
    paired = [name for name, one in questions.items() if one.pairs]
    if waiting and paired and config.matched_pairs != 0 and config.interventions:
        raise origin.error(
            "matched_pairs",
            f"the pairs of {paired[0]!r} are scored under every trigger, and {waiting[0]!r} waits "
            "for the model's own reply; set matched_pairs: 0",
        )
