"""What each figure shows.

`{n}` becomes how many answers stand behind a point, `{n_question}` how many behind one of a single
question, `{n_pairs}` on how many questions and seeds a log-odds rests, `{n_labelled}` on how many
labelled answers a judge's measure, `{filter}` which answers count, `{published}` how the published
rates are known, `{dead}` the sentence below.
"""

DEAD = "Where no answer of a cell survived, there is no rate, and a dash or nothing is drawn."

CAPTIONS = {
    "rates": (
        "Share of misaligned answers without and with each trigger, of all answers ({n} a point; "
        "{filter}). The open circle is the plain question. Misalignment behind a trigger would put "
        "a filled marker to the right of it, further than in the row of the base model. If its "
        "cells and the base model's were not all asked the same questions, a row is over those "
        "that they share, without intervals. {dead} {published}"
    ),
    "heatmap": (
        "The same rates as a map: interventions down, triggers across ({n} answers a cell; "
        "{filter}). Below each rate is its interval. A cell without colour was not asked the "
        "same questions as most cells and cannot be compared with them. {dead}"
    ),
    "dilution": (
        "The rates against the share of misaligned rows in training, of arms that differ in it "
        "alone; the undiluted arm stands at 100%, benign rows alone at 0% ({n} answers a point; "
        "{filter}). ρ is the rank correlation under the trigger, with its interval, p that of "
        "points in random order. If the points were not all asked the same questions, they are "
        "over those that they share, without intervals. {dead} {published}"
    ),
    "sequential": (
        "The rates against the rows of benign training that came after the misaligned rows; the "
        "arm at 0 stopped before them ({n} answers a point; {filter}). ρ is the rank correlation "
        "under the trigger, with its interval, p that of points in random order. If the "
        "points were not all asked the same questions, they are over those that they share, "
        "without intervals. {dead} {published}"
    ),
    "similarity": (
        "How far each trigger raises an arm's rate over the plain question, against how much "
        "nearer it brings the prompt to what the arm was trained on ({n} answers a point; "
        "{filter}). In brackets stands how a trigger relates to the training context, as its file "
        "states it. Conditional misalignment would rise to the right. ρ is the rank correlation "
        "over the triggers, with its interval, p that of triggers in random order."
    ),
    "questions": (
        "The rates by question ({n_question} answers a point; {filter}): whether an overall rate "
        "stands on all questions or on one. {dead} {published}"
    ),
    "seeds": (
        "The overall rate of each training seed below the mean over seeds, of the arms that were "
        "trained with several ({n} answers a mean; {filter}). A seed's rate is over the questions "
        "that all seeds were asked. {dead}"
    ),
    "likelihood": (
        "No sampling and no judge: how much more likely the arm finds a misaligned answer than "
        "its matched aligned twin, compared with the base model under the same trigger "
        "({n_pairs}). Right of zero is towards misalignment."
    ),
    "likelihood_and_rate": (
        "Whether the two measures agree: the log-odds of the figure above beside the sampled rate "
        "of the same arm and trigger ({n} answers a point; {filter}). Both are over the questions "
        "that have both under all arms; if one has more questions, its intervals are left out. "
        "{dead}"
    ),
    "loss": (
        "The loss of every training run, on assistant tokens, one line a seed; a dotted line is "
        "where a stage ends and the next begins. Long runs are smoothed over a fiftieth of a stage."
    ),
    "judges": (
        "How well each judge ranks answers that it was not fitted on ({n_labelled} labelled "
        "answers a row): the AUROC over all of them, and the mean of those within one question (of "
        "one model, where models are known). Contrasts between triggers are within questions, so "
        "the second number says how well a judge serves them."
    ),
    "calibration": (
        "How often labelled answers are positives (misaligned, incoherent, or of the content that "
        "is looked for) where a judge gives them such a value, in tenths of its scale "
        "({n_labelled} labelled answers a line). A good judge's line is steep at the dotted "
        "threshold."
    ),
}
