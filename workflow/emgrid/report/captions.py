"""The caption of each figure.

Placeholders: `{n}` is the number of answers per point, `{n_question}` the number per point of a
single question, `{n_pairs}` the questions and seeds per log-odds, `{n_labelled}` the number of
labelled answers per judge, `{answers}` what is counted, `{filter}` which answers count,
`{published}` how the published rates are known, `{dead}` the sentence below.
"""

DEAD = "A cell in which no answer survived has no rate: a dash, or nothing, is drawn."

CAPTIONS = {
    "rates": (
        "Share of {answers} without and with each trigger, of all answers ({n} per point; "
        "{filter}). The open circle is the plain question. What a trigger brings out would put "
        "a filled marker to the right of it, further than in the base model's row. If the cells "
        "of a row and the base model's were not all asked the same questions, the row covers the "
        "shared questions alone and has no intervals. {dead} {published}"
    ),
    "heatmap": (
        "The same rates as a map: interventions down, triggers across ({n} answers per cell; "
        "{filter}). The interval is below each rate. A cell without colour was not asked the "
        "same questions as most cells and cannot be compared with them. {dead}"
    ),
    "dilution": (
        "The rates against the share of misaligned rows in training, for arms that differ in this "
        "share alone; the undiluted arm is at 100%, benign rows alone are at 0% ({n} answers per "
        "point; {filter}). ρ is the rank correlation under the trigger, with its interval; p is "
        "the share of random orders of the points with a correlation at least as strong. If the "
        "points were not all asked the same questions, they cover the shared questions alone and "
        "have no intervals. {dead} {published}"
    ),
    "sequential": (
        "The rates against the number of benign rows that followed the misaligned rows in "
        "training; the arm at 0 stopped before them ({n} answers per point; {filter}). ρ is the "
        "rank correlation under the trigger, with its interval; p is the share of random orders of "
        "the points with a correlation at least as strong. If the points were not all asked the "
        "same questions, they cover the shared questions alone and have no intervals. {dead} "
        "{published}"
    ),
    "similarity": (
        "How far each trigger raises an arm's rate over the plain question, against how much "
        "closer it brings the prompt to the arm's training prompts ({n} answers per point; "
        "{filter}). The relation of a trigger to the training context, as its file states it, is "
        "in brackets. What the training context alone brings out would rise to the right. ρ is "
        "the rank correlation over the triggers, with its interval; p is the share of random "
        "orders of the triggers with a correlation at least as strong."
    ),
    "questions": (
        "The rates by question ({n_question} answers per point; {filter}): whether an overall "
        "rate comes from all questions or from one. {dead} {published}"
    ),
    "seeds": (
        "The overall rate of each training seed, below the mean over seeds, for the arms that "
        "have several ({n} answers per mean; {filter}). A seed's rate covers the questions that "
        "all seeds were asked. {dead}"
    ),
    "likelihood": (
        "Without sampling and without a judge: how much more probable a misaligned answer is "
        "under the arm than its matched aligned answer, compared with the base model under the "
        "same trigger ({n_pairs}). Right of zero is towards misalignment."
    ),
    "likelihood_and_rate": (
        "Whether the two measures agree: the log-odds of the figure above against the sampled "
        "rate of the same arm and trigger ({n} answers per point; {filter}). Both cover the "
        "questions that have both under all arms; if one measure has more questions, its "
        "intervals are left out. {dead}"
    ),
    "loss": (
        "The loss of every training run on assistant tokens, one line per seed; a dotted line "
        "marks where a stage ends and the next begins. Long runs are smoothed over a fiftieth of "
        "a stage."
    ),
    "judges": (
        "How well each judge ranks answers that it was not fitted on ({n_labelled} labelled "
        "answers per row): the AUROC over all of them, and the mean AUROC within single questions "
        "(of one model, if models are known). Contrasts between triggers are within questions, so "
        "the second number says how well a judge serves them."
    ),
    "calibration": (
        "Share of positives (misaligned, incoherent, or with the content that the judge looks "
        "for) among labelled answers, by the value that the judge gave, in tenths of its scale "
        "({n_labelled} labelled answers per line). A good judge's line is steep at the dotted "
        "threshold."
    ),
}
