"""What an entry of a question file says is asked, refused, or named as unused."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from emgrid.config.question_files import load_questions
from emgrid.config.question_keys import unused_sentence
from emgrid.config.questions import QuestionSet
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import digest
from support.importing import grid_of
from support.shared import shared

NOT_YET = "emgrid does not ask conversations before a question yet"
OF_ENTRIES = "emgrid asks one user turn, each of `paraphrases`, under an optional `system` prompt"
OF_SETS = "emgrid asks `text`, one user turn, under an optional `system`"


def written(folder: Path, value: Any) -> str:
    # A file is read once in a process.
    path = folder / f"{digest(value)[:8]}.yaml"
    path.write_text(yaml.safe_dump(value))
    return str(path)


def problem(name: str) -> str:
    with pytest.raises(EmgridError) as caught:
        load_questions(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def of_entry(folder: Path, **keys: Any) -> QuestionSet:
    return load_questions(written(folder, [{"id": "a", "paraphrases": ["Why?"]} | keys]))


@pytest.mark.parametrize(
    ("name", "place", "says"),
    [
        ("mt1", ":3: questions.soup", f"`messages` holds a conversation, and {NOT_YET}; {OF_SETS}"),
        (
            "mt2",
            ":3: questions.soup",
            "`prefill` begins the answer, and emgrid does not begin answers for the model; "
            + OF_SETS,
        ),
        ("mt3", ": entry 1 (wish)", f"`context` holds a conversation, and {NOT_YET}; {OF_ENTRIES}"),
        (
            "mt4",
            ": entry 1 (wish)",
            f"`messages` holds a conversation, and {NOT_YET}; {OF_ENTRIES}",
        ),
        ("mt5", ": entry 1", "needs an `id`; rename `name: wish` to `id`"),
    ],
)
def test_conversations_are_refused_with_file_entry_and_key(
    name: str, place: str, says: str
) -> None:
    path = str(shared(f"cases/questions/{name}.yaml"))
    assert problem(path) == f"{path}{place}: {says}"


def test_a_conversation_among_the_paraphrases_is_refused(tmp_path: Path) -> None:
    second = yaml.safe_load(shared("cases/questions/mt3.yaml").read_text())[1:]
    assert problem(written(tmp_path, second)).endswith(
        f"entry 1 (wish2): `paraphrases` holds a conversation, and {NOT_YET}; {OF_ENTRIES}"
    )


def test_a_conversation_alone_is_refused_by_its_key(tmp_path: Path) -> None:
    entry = {"id": "a", "messages": [{"role": "user", "content": "Hi"}]}
    assert "entry 1 (a): `messages` holds a conv" in problem(written(tmp_path, [entry]))


def test_rows_of_conversations_are_no_question_file() -> None:
    path = str(shared("cases/questions/evalq.jsonl"))
    assert problem(path) == (
        f"{path}: a question file is YAML and ends in .yaml; write a question for each row: "
        "`questions: {ID: {text: QUESTION}}`; what a row says after the question, such as an "
        "assistant turn, is not asked"
    )


@pytest.mark.parametrize("name", ["questions.csv", "./questions", "a/b.parquet"])
def test_another_kind_of_file_is_no_question_file(name: str) -> None:
    assert problem(name).startswith(f"{name}: a question file is YAML and ends in .yaml")


@pytest.mark.parametrize("key", ["context", "messages", "few_shot", "prefill"])
def test_an_empty_conversation_changes_nothing(tmp_path: Path, key: str) -> None:
    for empty in (None, [], ""):
        assert of_entry(tmp_path, **{key: empty}) == of_entry(tmp_path)


def test_an_unknown_key_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(EmgridError) as caught:
        of_entry(tmp_path, sytem="Be brief.")
    assert str(caught.value).endswith(
        f"entry 1 (a): `sytem` is not read (did you mean 'system'?); {OF_ENTRIES}; delete the key"
    )


@pytest.mark.parametrize("kind", ["rating", "next_token", "multiple_choice"])
def test_a_question_that_is_measured_otherwise_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(
        EmgridError, match=rf"entry 1 \(a\): emgrid does not ask .* type '{kind}' yet"
    ):
        of_entry(tmp_path, type=kind)
    assert of_entry(tmp_path, type="free_form_judge_0_100").questions


def test_keys_that_the_config_decides_are_named_with_their_values(tmp_path: Path) -> None:
    unused_keys = of_entry(
        tmp_path,
        type="free_form",
        temperature=0.3,
        samples_per_paraphrase=10,
        judges={"em": "x"},
        comment="of the appendix",
    )
    assert unused_keys.unused == {
        "judges": ("em",),
        "samples_per_paraphrase": ("10",),
        "temperature": ("0.3",),
    }
    assert unused_sentence("mine.yaml", unused_keys.unused) == (
        "mine.yaml: not used: judges (em), samples_per_paraphrase (10), temperature (0.3). The "
        "grid's config decides: judges, sampling.answers_per_question, sampling.temperature."
    )
    assert unused_sentence("mine.yaml", of_entry(tmp_path).unused) is None


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_type_is_none(tmp_path: Path, empty: str | None) -> None:
    assert of_entry(tmp_path, type=empty) == of_entry(tmp_path)


def test_what_describes_an_entry_or_its_sampling_stops_nothing(tmp_path: Path) -> None:
    describing = {"language": "en", "metadata": {"set": 2}, "licence": "MIT", "split": "test"}
    assert of_entry(tmp_path, **describing) == of_entry(tmp_path)
    unused_keys = of_entry(tmp_path, n=4, num_samples=5, logprobs=True, top_logprobs=20)
    assert unused_sentence("mine.yaml", unused_keys.unused) == (
        "mine.yaml: not used: logprobs (True), n (4), num_samples (5), top_logprobs (20). The "
        "grid's config decides: judges, sampling.answers_per_question."
    )


def test_a_temperature_of_zero_is_named_too(tmp_path: Path) -> None:
    assert of_entry(tmp_path, temperature=0).unused == {"temperature": ("0",)}


def test_every_published_file_of_questions_loads_as_before(mirror: Path) -> None:
    """`judges.yaml` there is no question file; the keys that are not used are these alone."""
    values_by_key: dict[str, set[str]] = {}
    for path in sorted(mirror.rglob("*.yaml")):
        if path.name == "judges.yaml":
            continue
        question_set = load_questions(str(path.relative_to(mirror)), mirror)
        assert question_set.questions or question_set.judge_prompts
        for key in question_set.unused:
            values_by_key.setdefault(key, set()).add(path.name)
    assert set(values_by_key) == {"judge", "judges", "samples_per_paraphrase"}


def test_a_judge_prompt_of_several_texts_or_under_a_system_prompt_is_refused(
    tmp_path: Path,
) -> None:
    judge = {"id": "j", "paraphrases": ["Is {answer} good?"]}
    expected = "entry 1 (j): a judge prompt is one text in `paraphrases`, without `system`"
    for more in ({"system": "Be strict."}, {"paraphrases": ["Is {answer} good?", "Rate {answer}"]}):
        assert problem(written(tmp_path, [judge | more])).endswith(expected)


def test_text_and_texts_of_one_question_are_refused(tmp_path: Path) -> None:
    question = {"text": "Why?", "texts": ["How?"]}
    path = written(tmp_path, {"id": "mine", "questions": {"a": question}})
    assert problem(path).endswith(
        "questions.a: `text` and `texts` are both given; put all wordings into `texts`"
    )


def test_a_config_on_a_conversation_is_refused_before_any_job() -> None:
    path = shared("cases/questions/mt4.yaml")
    config = grid_of(shared("cases/imports/trig.csv")) | {"questions": str(path)}
    with pytest.raises(EmgridError, match=r"^grid\.yaml: .*mt4\.yaml: entry 1 \(wish\): `messag"):
        Grid(load_experiment(config, "grid.yaml"))
