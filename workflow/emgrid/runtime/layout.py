"""Where everything of a grid is: the one place that spells paths below results/<name>/.

Paths are relative to the grid's folder, as rules and specs hold them. A name may be a wildcard of a
rule, such as "{bucket}", or "*". Knows no other module.
"""

# Parts of the folder of a training stage.
ADAPTER = "adapter"
WEIGHTS = "adapter_model.safetensors"  # in the adapter's folder
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_RECORD = "adapter.json"  # holds the hash of the weights
TRAINING_ROWS = "train.jsonl"
MIX_RECORD = "mix.json"
CHECK_RECORD = "preflight.json"
LOSS = "loss.csv"
STOPS = "stops"  # adapters that were saved on the way, by the share of the steps
PROVENANCE = "provenance.json"  # also in each folder of answers

# Parts of the folder of an arm.
ANSWERS = "answers"
LIKELIHOOD = "likelihood"
JUDGEMENTS = "judgements"
IMPORT_NOTES = "notes.json"

# Rows and adapters that are stored, so that they are never computed again.
STORED_ADAPTERS = "rows/adapters"
STORED_JUDGEMENTS = "rows/judgements"
STORED_SERVED = "rows/served"

MODELS = "assets/models"
ADAPTERS = "assets/adapters"  # trained elsewhere
TABLES = "tables"
FIGURES = "figures"
TRANSCRIPTS = "transcripts"
BENCHMARKS = "benchmarks"
LOGS = "logs"
INSPECT = "inspect"
INSPECT_BUNDLE = "inspect-bundle"
REPORT = "report.html"
ROUNDS = "rounds.json"  # how many questions each arm is asked under each trigger
ENGINES = "engines.json"  # what `auto` in sampling.engine and engines.jobs stands for in a grid
LOOKS = "looks.json"  # how often each cell was aggregated with more answers than before
ANSWER_TABLE = "tables/answers.parquet"
FOUND_ANSWERS = "tables/found_answers.parquet"

# The tables that a finished grid has, by their file names.
REPORTED_TABLES = (
    "answers.parquet",
    "rates.csv",
    "seeds.csv",
    "contrasts.csv",
    "verdicts.csv",
    "existence.csv",
    "robustness.csv",
    "dose.csv",
    "similarity.csv",
    "repeats.csv",
    "likelihood.csv",
    "arms.csv",
    "judgements.csv",
    "judges.csv",
    "calibration.csv",
    "judge_errors.csv",
    "agreement.csv",
    "preflight.csv",
)


def grid_folder(name: str) -> str:
    """The folder of a grid, from where Snakemake is started."""
    return f"results/{name}"


def model_record(base: str) -> str:
    """The file that makes a base model ready to load."""
    return f"{MODELS}/{base}/model.json"


def prompts_record(base: str) -> str:
    """What the check of a base model's prompts found."""
    return f"{MODELS}/{base}/prompts.json"


def imported_adapter(key: str) -> str:
    """The folder of an adapter that was trained elsewhere. Holds what a stage's folder holds: the
    adapter, its hash and provenance.json."""
    return f"{ADAPTERS}/{key}"


def source_file(dataset: str) -> str:
    """A data set as it was fetched."""
    return f"assets/sources/{dataset}.jsonl"


def dataset_file(dataset: str) -> str:
    """A data set as chat rows."""
    return f"assets/datasets/{dataset}.jsonl"


def import_file(key: str) -> str:
    """A fetched file of answers that somebody else sampled."""
    return f"assets/imports/{key}"


def generated_answers(name: str) -> str:
    """Answers that were drawn to be trained on."""
    return f"generated/answers/{name}.jsonl"


def generated_rows(name: str) -> str:
    """Training rows made of generated answers."""
    return f"generated/{name}.jsonl"


def generated_record(name: str) -> str:
    """How many generated answers qualified, and why the others did not."""
    return f"generated/{name}.record.json"


def selected_rows(name: str) -> str:
    """Rows of a data set that a model has chosen by their likelihood."""
    return f"selected/{name}.jsonl"


def stored_selection(name: str) -> str:
    """Every likelihood that was ever computed to choose rows."""
    return f"rows/selected/{name}.jsonl"


def stage_folder(name: str) -> str:
    """The folder of a training stage."""
    return f"stages/stage={name}"


def stage_file(name: str, file: str) -> str:
    """A file of a training stage, such as PROVENANCE."""
    return f"{stage_folder(name)}/{file}"


def arm_folder(base: str, intervention: str, ratio: str, seed: str, place: str = "arms") -> str:
    """The folder of an arm. place: `arms`, `served` or `imported`."""
    return f"{place}/base={base}/intervention={intervention}/ratio={ratio}/seed={seed}"


def arm_name(base: str, intervention: str, ratio: str, seed: str) -> str:
    """The name of an arm in one word: of its file of stored rows, its records and logs."""
    return f"base={base}.intervention={intervention}.ratio={ratio}.seed={seed}"


def trigger_file(trigger: str) -> str:
    """The file of one trigger in an arm's folder of answers, likelihoods or judgements."""
    return f"trigger={trigger}.jsonl"


def stored_answers(writer: str) -> str:
    """Every answer of an arm that was ever drawn. writer: the arm's name in one word."""
    return f"rows/answers/{writer}.jsonl"


def stored_scores(writer: str) -> str:
    """Every likelihood of an arm that was ever computed."""
    return f"rows/likelihood/{writer}.jsonl"


def search_name(base: str, intervention: str, ratio: str) -> str:
    """The name of an arm without its seed in one word: of its search for triggers."""
    return f"base={base}.intervention={intervention}.ratio={ratio}"


def candidates(search: str) -> str:
    """The candidates for triggers of an arm. search: its name without its seed."""
    return f"discovery/candidates/{search}.jsonl"


def screen(search: str) -> str:
    """The scores of an arm's candidates."""
    return f"discovery/screens/{search}.jsonl"


def shortlist(search: str) -> str:
    """The cues of an arm that are confirmed."""
    return f"discovery/found/{search}.json"


def found_folder(search: str, seed: str) -> str:
    """The folder of the answers under the cues of an arm's shortlist. seed: of the training, or
    `base` for the base model's answers."""
    return f"discovery/answers/{search}/seed={seed}"


def stored_screen(search: str) -> str:
    """Every likelihood that was ever computed for the screen of an arm."""
    return f"rows/screen/{search}.jsonl"


def stored_found(writer: str) -> str:
    """Every answer of an arm that was ever drawn under cues of a shortlist."""
    return f"rows/found/{writer}.jsonl"


def stored_generated(name: str) -> str:
    """Every answer to be trained on that was ever drawn."""
    return f"rows/generated/{name}.jsonl"


def job_record(job: str, name: str) -> str:
    """The one file that Snakemake watches of a job that writes many."""
    return f"jobs/{job}/{name}.json"


def table(name: str) -> str:
    """A table, by its file name."""
    return f"{TABLES}/{name}"


def figure(name: str, kind: str) -> str:
    """A figure. kind: svg, png or pdf."""
    return f"{FIGURES}/{name}.{kind}"


def spec_file(name: str) -> str:
    """A spec that a job reads from a file."""
    return f"specs/{name}.json"


def log(rule: str, name: str = "") -> str:
    """The log of a rule's job. name: of the job, if the rule has several."""
    return f"{LOGS}/{rule}/{name}.log" if name else f"{LOGS}/{rule}.log"


def benchmark(rule: str, name: str = "") -> str:
    """Snakemake's measurements of a rule's job."""
    return f"{BENCHMARKS}/{rule}/{name}.tsv" if name else f"{BENCHMARKS}/{rule}.tsv"


def allocation(name: str) -> str:
    """The questions that the arms of a sampling job are asked in this round. name: of the job."""
    return f"allocation/{name}.json"
