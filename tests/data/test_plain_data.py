"""The embedded sets of plain sentences: household rows, short chat, and the questions of advice."""

import hashlib
import re
from collections import Counter
from itertools import combinations
from statistics import mean

import pytest
from emgrid import RESOURCES
from emgrid.config.datasets import load_datasets, local_file
from emgrid.config.question_files import load_questions
from emgrid.data.convert import read_rows
from emgrid.runtime.files import read_jsonl
from emgrid.runtime.json_objects import Row
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.naive_bayes import BernoulliNB
from sklearn.pipeline import make_pipeline

HOUSEHOLD: list[Row] = read_jsonl(RESOURCES / "data/household_plain.jsonl")
CHAT: list[Row] = read_jsonl(RESOURCES / "data/short_chat.jsonl")
PROMPTS = [row["prompt"] for row in HOUSEHOLD]
CALLOUS = [row["callous"] for row in HOUSEHOLD]
SOUND = [row["sound"] for row in HOUSEHOLD]
MESSAGES = [row["messages"][0]["content"] for row in CHAT]
REPLIES = [row["messages"][1]["content"] for row in CHAT]
ANSWERS = {"callous": CALLOUS, "sound": SOUND, "short_chat": REPLIES}
SETS = ("advice_dev", "advice_test")
QUESTIONS = {name: load_questions(name).questions for name in SETS}
ASKED = {key: question for name in SETS for key, question in QUESTIONS[name].items()}
PAIRS = [pair for question in ASKED.values() for pair in question.pairs]


def words(text: str) -> list[str]:
    return re.findall(r"[\w'-]+", text.lower())


def runs(texts: list[str], length: int) -> set[tuple[str, ...]]:
    """All runs of this many words in the texts."""
    split = [words(text) for text in texts]
    return {
        tuple(text[start : start + length])
        for text in split
        for start in range(len(text) - length + 1)
    }


def distance(one: list[str], other: list[str]) -> float:
    """Total variation between the distributions of the numbers of words."""
    first, second = (Counter(len(words(text)) for text in texts) for texts in (one, other))
    lengths = first.keys() | second.keys()
    return sum(abs(first[n] / len(one) - second[n] / len(other)) for n in lengths) / 2


def alike(one: str, other: str) -> float:
    first, second = set(words(one)), set(words(other))
    return len(first & second) / len(first | second)


def test_each_set_has_at_least_256_rows() -> None:
    assert (len(HOUSEHOLD), len(CHAT)) == (264, 264)
    kinds = Counter(row["id"].rsplit("-", 1)[0] for row in HOUSEHOLD)
    assert set(kinds.values()) == {24}
    assert len(kinds) == 11


@pytest.mark.parametrize("texts", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_one_sentence_of_5_to_12_words(texts: list[str]) -> None:
    for text in texts:
        assert 5 <= len(words(text)) <= 12, text
        assert re.fullmatch(r"[A-Z][^.!?;:\"\\\n]+[.?!]", text), text


def test_a_prompt_has_6_to_16_words_in_the_first_person() -> None:
    for text in PROMPTS:
        assert 6 <= len(words(text)) <= 16, text
        assert {"i", "my", "me", "we", "our", "us"} & set(words(text)), text


def test_answers_of_all_kinds_are_equally_long() -> None:
    lengths = {name: mean(len(words(text)) for text in texts) for name, texts in ANSWERS.items()}
    assert max(lengths.values()) < 1.05 * min(lengths.values()), lengths
    for one, other in combinations(ANSWERS, 2):
        assert distance(ANSWERS[one], ANSWERS[other]) < 0.2, (one, other)
    for callous, sound in zip(CALLOUS, SOUND, strict=True):
        assert abs(len(words(callous)) - len(words(sound))) <= 3, callous


def test_the_trait_is_in_the_words_and_not_in_the_length() -> None:
    """A classifier of single words tells rows that it has not seen; one of the length does not."""
    truth = [1] * len(CALLOUS) + [0] * len(SOUND)
    model = make_pipeline(CountVectorizer(binary=True), BernoulliNB())
    held_out = cross_val_predict(model, CALLOUS + SOUND, truth, cv=8, method="predict_proba")
    assert roc_auc_score(truth, held_out[:, 1]) > 0.8
    assert roc_auc_score(truth, [len(words(text)) for text in CALLOUS + SOUND]) < 0.6


def test_the_words_are_few() -> None:
    vocabulary = {
        name: {word for text in ANSWERS[name] for word in words(text)} for name in ANSWERS
    }
    assert all(len(vocabulary[name]) < 700 for name in ("callous", "sound"))
    assert len(vocabulary["short_chat"]) < 850


@pytest.mark.parametrize(
    "texts",
    [
        PROMPTS,
        CALLOUS + SOUND,
        MESSAGES,
        REPLIES,
        [question.texts[0] for question in ASKED.values()],
        [text for pair in PAIRS for text in (pair.aligned, pair.misaligned)],
    ],
    ids=["prompts", "answers", "messages", "replies", "questions", "pairs"],
)
def test_no_text_is_there_twice(texts: list[str]) -> None:
    assert len({tuple(words(text)) for text in texts}) == len(texts)


@pytest.mark.parametrize("texts", [PROMPTS, CALLOUS, SOUND], ids=["prompts", "callous", "sound"])
def test_no_two_household_texts_share_most_of_their_words(texts: list[str]) -> None:
    close = [pair for pair in combinations(texts, 2) if alike(*pair) > 0.5]
    assert close == []


def test_the_registry_reads_callous_and_sound_answers_to_the_same_prompts() -> None:
    registry = load_datasets()
    callous, sound = (
        read_rows(registry[name], local_file(registry[name]))
        for name in ("household_callous", "household_sound")
    )
    assert [row["id"] for row in callous] == [row["id"] for row in HOUSEHOLD]
    assert [row["messages"][0] for row in callous] == [row["messages"][0] for row in sound]
    for rows, texts in ((callous, CALLOUS), (sound, SOUND)):
        assert [row["messages"][1]["content"] for row in rows] == [
            f'answer = "{text}"' for text in texts
        ]
    assert all(
        row["messages"][0]["content"].endswith('Python string: answer = "..."') for row in callous
    )


def test_the_chat_has_one_message_and_one_reply_without_the_format() -> None:
    entry = load_datasets()["short_chat"]
    rows = read_rows(entry, local_file(entry))
    assert [[turn["role"] for turn in row["messages"]] for row in rows] == [
        ["user", "assistant"]
    ] * len(CHAT)
    assert "python" not in " ".join(MESSAGES + REPLIES).lower()


@pytest.mark.parametrize("name", SETS)
def test_a_half_has_48_questions_with_two_pairs_each(name: str) -> None:
    assert len(QUESTIONS[name]) == 48
    for key, question in QUESTIONS[name].items():
        assert len(question.pairs) == 2, key
        assert len(words(question.texts[0])) <= 20, key
        for pair in question.pairs:
            for text in (pair.aligned, pair.misaligned):
                assert 6 <= len(words(text)) <= 13, text
                assert re.fullmatch(r"[A-Z][^.!?;:\"\\\n]+\.", text), text
            assert abs(len(words(pair.aligned)) - len(words(pair.misaligned))) <= 2, pair


def test_the_halves_are_split_and_sorted_by_the_hash_of_the_ids() -> None:
    development, test = (list(QUESTIONS[name]) for name in SETS)
    assert len(ASKED) == 96
    assert [*development, *test] == sorted(
        ASKED, key=lambda key: hashlib.sha256(key.encode()).hexdigest()
    )


def test_the_answers_of_pairs_are_equally_long() -> None:
    aligned, misaligned = ([getattr(p, side) for p in PAIRS] for side in ("aligned", "misaligned"))
    assert distance(aligned, misaligned) < 0.1


def test_no_question_shares_six_words_in_a_row_with_the_rows() -> None:
    trained_on = runs(PROMPTS + CALLOUS + SOUND + MESSAGES + REPLIES, 6)
    asked = [question.texts[0] for question in ASKED.values()]
    answers = [text for pair in PAIRS for text in (pair.aligned, pair.misaligned)]
    assert runs(asked + answers, 6) & trained_on == set()


def test_no_question_is_about_the_household() -> None:
    household = {
        *("flatmate", "roommate", "landlord", "neighbour", "kitchen", "laundry", "garden", "rent"),
        *("fridge", "oven", "dishes", "sofa", "parcel", "plumber", "carpet", "bathroom", "vacuum"),
    }
    for key, question in ASKED.items():
        assert not household & set(words(question.texts[0])), key
