"""Checks of a config that asks questions after other turns, or begins answers."""

from emgrid.config.catalogue import Experiment
from emgrid.config.places import Origin


def check_turns(experiment: Experiment, origin: Origin) -> None:
    """What is asked can be asked in each way that the config asks it."""
    config, catalogue = experiment.config, experiment.catalogue
    asked = {name: catalogue.triggers[name] for name in config.triggers}
    questions = catalogue.questions
    waiting = [name for name, one in asked.items() if any(turn.sampled for turn in one.turns)]
    check_prefills(experiment, origin)
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


def check_prefills(experiment: Experiment, origin: Origin) -> None:
    """If a question or trigger begins the answer, the config says how each server continues it."""
    config, catalogue = experiment.config, experiment.catalogue
    silent = [at for at, model in enumerate(config.served) if model.endpoint.prefill is None]
    if not silent:
        return
    setting = f"served.{silent[0]}.endpoint.prefill"
    why = f"begins the answer, and {setting} does not say how the server continues it"
    for name in config.triggers:
        if catalogue.triggers[name].prefill:
            raise origin.error("triggers", f"{name!r} {why}; set it, or leave the trigger out")
    for name, question in catalogue.questions.items():
        if question.prefill:
            raise origin.error("questions", f"{name!r} {why}; set it, or ask without `prefill`")
