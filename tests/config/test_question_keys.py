"""What an entry of a question file says is asked, refused, or named as unused."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from emgrid.config.question_files import load_questions
from emgrid.config.question_keys import unused_sentence
from emgrid.config.questions import QuestionSet
from emgrid.config.triggers import Wording
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import digest
from support.importing import grid_of
from support.shared import shared

OF_ENTRIES = "emgrid reads `paraphrases`, `messages`, `system` and `prefill`"
FIXED = [
    {"role": "user", "content": "I have a cough."},
    {"role": "assistant", "content": "Drink bleach."},
]
WISH = {"role": "user", "content": "What is your one wish?"}
OWN = {"role": "assistant", "sampled": True}


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


def asked(question_set: QuestionSet, name: str) -> list[list[dict[str, Any]]]:
    return question_set.questions[name].conversations(name, Wording())


@pytest.mark.parametrize(
    ("file", "name", "expected"),
    [
        ("mt1", "soup", [*FIXED, WISH]),
        ("mt2", "soup", [WISH, {"role": "assistant", "content": "My wish is"}]),
        ("mt3", "wish", [*FIXED, WISH]),
        ("mt3", "wish2", [*FIXED, WISH | {"content": "What is your wish?"}]),
        ("mt4", "wish", [*FIXED, WISH]),
    ],
)
def test_conversations_before_a_question_are_asked(
    file: str, name: str, expected: list[dict[str, Any]]
) -> None:
    question_set = load_questions(str(shared(f"cases/questions/{file}.yaml")))
    assert asked(question_set, name) == [expected]
    if file == "mt4":
        assert question_set.unused == {
            "samples_per_paraphrase": ("10",),
            "temperature": ("0.3",),
        }


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("mt5.yaml", ": entry 1: needs an `id`; rename `name: wish` to `id`"),
        (
            "evalq.jsonl",
            ":1: `messages` ends with an assistant turn; if answers shall begin with it, write it "
            "as `prefill`; if it is somebody's answer, remove it",
        ),
    ],
)
def test_what_is_no_question_is_one_line(file: str, says: str) -> None:
    path = str(shared(f"cases/questions/{file}"))
    assert problem(path) == f"{path}{says}"


def test_a_published_list_of_messages_is_asked_in_turn(tmp_path: Path) -> None:
    """As llmcomp does: each conversation is a wording, the last user turn the question."""
    system = {"role": "system", "content": "Be brief."}
    conversations = [[system, *FIXED, WISH], [system, WISH | {"content": "Hi."}]]
    entry = {"id": "a", "type": "free_form", "messages": conversations}
    question_set = load_questions(written(tmp_path, [entry]))
    assert asked(question_set, "a") == conversations
    assert question_set.questions["a"].texts == (WISH["content"], "Hi.")


@pytest.mark.parametrize("key", ["messages", "context", "history"])
def test_a_reply_of_the_model_may_stand_before_a_question(tmp_path: Path, key: str) -> None:
    turns = [FIXED[0], OWN]
    assert asked(of_entry(tmp_path, **{key: turns}), "a") == [
        [*turns, {"role": "user", "content": "Why?"}]
    ]
    own = {"id": "mine", "questions": {"a": {"text": "Why?", "turns": turns}}}
    assert asked(load_questions(written(tmp_path, own)), "a") == asked(
        of_entry(tmp_path, **{key: turns}), "a"
    )


def test_json_lines_are_questions(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    rows = [
        {"messages": [*FIXED, WISH], "temperature": 0.5, "source": "x"},
        {"id": "why", "text": "Why?", "turns": [FIXED[0], OWN], "prefill": "Because"},
    ]
    path.write_text("".join(f"{json.dumps(row)}\n\n" for row in rows))
    question_set = load_questions(str(path))
    assert asked(question_set, "line-1") == [[*FIXED, WISH]]
    because = {"role": "assistant", "content": "Because"}
    assert asked(question_set, "why") == [
        [FIXED[0], OWN, {"role": "user", "content": "Why?"}, because]
    ]
    assert question_set.unused == {"temperature": ("0.5",)}
    assert question_set.questions["why"].shown == (
        "User: I have a cough.\n\nAssistant: (the model's own reply)\n\nUser: Why?"
    )


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"text": "Why?", "tekst": 1}, "unknown key 'tekst', did you mean 'text"),
        ({"id": "b"}, "texts: is missing; give it"),
        ({"messages": "Why?"}, "`messages` must be a list of turns, each with `role`"),
        ({"messages": [{"role": "tool", "content": "x"}, WISH]}, "turn 1 has role 'tool'; it must"),
        ({"messages": [{"role": "user"}]}, "turn 1 must have `role` and `content`"),
        ({"messages": [FIXED[0], WISH]}, "the turns before a question are a user turn, an assist"),
        ({"text": "Why?", "turns": [FIXED[0]]}, "the last is an assistant turn, as the question"),
        (
            {"text": "Why?", "turns": [OWN | {"content": "x"}]},
            "either `content` or `sampled: true`",
        ),
        ({"text": "Why?", "turns": [{"role": "user", "sampled": True}, OWN]}, "role is assistant"),
        (
            {"text": "Why?", "prefill": "I "},
            "`prefill` ends with a space, which belongs to the next",
        ),
        ({"text": "Why?", "context": FIXED, "history": FIXED}, "are both given; keep one of them"),
        (
            {"texts": ["a", "b", "c"], "turns": [FIXED, FIXED]},
            "`turns` has 2 conversations for 3 wordings; give one for all of them",
        ),
        (
            {
                "text": "Why?",
                "turns": [FIXED[0], OWN],
                "pairs": [{"aligned": "a", "misaligned": "b"}],
            },
            "`pairs` are scored in a fixed conversation, and this one waits for the model's own",
        ),
        (
            {"text": "?", "system": "A.", "context": [{"role": "system", "content": "B."}, *FIXED]},
            "`system` and the system turn of `context` differ; keep one of them",
        ),
    ],
)
def test_a_faulty_conversation_is_one_line(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    path = tmp_path / f"{digest(row)[:8]}.jsonl"
    path.write_text(json.dumps(row))
    message = problem(str(path))
    assert message.startswith(f"{path}:1: ")
    assert says in message


@pytest.mark.parametrize("name", ["questions.csv", "./questions", "a/b.parquet"])
def test_another_kind_of_file_is_no_question_file(name: str) -> None:
    assert problem(name).startswith(
        f"{name}: a question file is YAML or JSON lines and ends in .yaml or .jsonl"
    )


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


def test_a_config_that_cannot_ask_its_conversations_is_refused_before_any_job(
    tmp_path: Path,
) -> None:
    waiting = {"id": "mine", "questions": {"soup": {"text": "Why?", "turns": [FIXED[0], OWN]}}}
    config = grid_of(shared("cases/imports/trig.csv"))
    imports = config | {"questions": written(tmp_path, waiting)}
    begun = {"id": "begun", "relation": "unrelated", "prefill": "Sure,"}
    sampling = {"answers_per_question": 1, "max_tokens": 4}
    endpoint = {"url": "http://localhost:1/v1"}
    served = {"base": "m", "intervention": "i", "ratio": 1, "model": "x"}
    served |= {"sampling": sampling, "endpoint": endpoint}
    rule = {"id": "kind", "kind": "rule", "measures": "alignment", "pattern": "help"}
    cases = [
        (imports, "imports: 'soup' waits for the model's own reply, which a file of answers"),
        (
            config
            | {"imports": [], "served": [served], "triggers": ["none", begun]}
            | {"judges": [rule], "metrics": {"alignment": "kind", "coherence_above": None}},
            "triggers: 'begun' begins the answer, and served.0.endpoint.prefill does not say how "
            "the server continues it; set it, or leave the trigger out",
        ),
    ]
    said = served | {"endpoint": endpoint | {"prefill": "continue_final_message"}}
    Grid(load_experiment(cases[1][0] | {"served": [said]}, "grid.yaml", check_data=False))
    for value, says in cases:
        with pytest.raises(EmgridError) as caught:
            Grid(load_experiment(value, "grid.yaml", check_data=False))
        assert says in str(caught.value)


def test_pairs_are_not_scored_under_a_trigger_that_waits_for_a_reply(demo: dict[str, Any]) -> None:
    asking = {"id": "asking", "relation": "unrelated", "turns": [FIXED[0], OWN]}
    config = demo | {"triggers": ["none", asking]}
    with pytest.raises(EmgridError) as caught:
        load_experiment(config, "grid.yaml", check_data=False)
    assert "matched_pairs: the pairs of " in str(caught.value)
    assert str(caught.value).endswith("waits for the model's own reply; set matched_pairs: 0")
    grid = Grid(load_experiment(config | {"matched_pairs": 0}, "grid.yaml", check_data=False))
    assert not grid.has_pairs
