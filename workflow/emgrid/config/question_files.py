"""Published question files, as they are: lists of entries in the format of Betley et al. 2025.

An entry `<id>_json` (a system prompt) or `<id>_template` (a rewritten user turn) is the question
`<id>` under a cue: all entries with one such ending become one trigger family. Entries with
`{answer}` in their text are judge prompts. Settings of samples and judges in an entry are not
used: the config decides them, and the report names them.
"""

from functools import cache
from pathlib import Path
from typing import Any

from emgrid.config.base import validate
from emgrid.config.places import Origin
from emgrid.config.question_keys import check_keys, unused
from emgrid.config.question_messages import CONVERSATION, PREFILL, of_messages
from emgrid.config.question_rows import read_question_rows
from emgrid.config.questions import (
    OTHER_FILES,
    Question,
    QuestionSet,
    SetFile,
    own_set,
    questions_of,
)
from emgrid.config.triggers import Trigger
from emgrid.config.yaml_files import read_yaml
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import users_path

# The longer endings first: `_flask_template` also ends in `_template`.
CUES = ("flask_template", "template", "json", "python")


@cache
def read_published(path: Path, name: str) -> QuestionSet:
    """Questions, trigger families and judge prompts of one file; messages name it `name`."""
    entries = read_yaml(path)
    if not isinstance(entries, list) or not entries:
        raise EmgridError(f"{name}: a published question file is a list of entries")
    entries_by_id: dict[str, dict[str, Any]] = {}
    prompts: dict[str, str] = {}
    read: list[dict[str, Any]] = []
    for number, entry in enumerate(entries, start=1):
        where = f"{name}: entry {number}"
        asked = check_entry(entry, where)
        if "judge_prompts" in entry and isinstance(entry["judge_prompts"], dict):
            prompts |= entry["judge_prompts"]
        texts = [text for text in asked if isinstance(text, str)]
        if texts and "{answer}" in texts[0]:
            if len(asked) > 1 or entry.get("system") is not None:
                raise EmgridError(
                    f"{where} ({entry['id']}): a judge prompt is one text in `paraphrases`, "
                    "without `system`"
                )
            prompts[entry["id"]] = texts[0]
        elif entry["id"] in entries_by_id:
            raise EmgridError(f"{where}: id {entry['id']!r} is listed twice")
        else:
            check_keys(entry, f"{where} ({entry['id']})")
            read.append(entry)
            entries_by_id[entry["id"]] = question_of(entry, asked, f"{where} ({entry['id']})")
    cued = {key: place for key in entries_by_id if (place := cue_of(key, entries_by_id))}
    questions = {
        key: validate(Question, value, f"{name}: {key}")
        for key, value in entries_by_id.items()
        if key not in cued
    }
    triggers = {
        cue: family(cue, entries_by_id, cued, name) for cue in CUES if cue in cued_ids(cued)
    }
    return QuestionSet(questions, triggers, prompts, unused(read))


def question_of(entry: dict[str, Any], asked: list[Any], where: str) -> dict[str, Any]:
    """An entry as a question: its wordings, its system prompt, the turns before it."""
    question = {key: entry[key] for key in (*CONVERSATION, *PREFILL) if key in entry}
    question |= {"system": entry.get("system")}
    if all(isinstance(text, str) for text in asked):
        question |= {"texts": tuple(asked)} if asked else {}
    else:
        wordings = [
            [{"role": "user", "content": one}] if isinstance(one, str) else one for one in asked
        ]
        if held := [key for key in CONVERSATION if question.get(key)]:
            raise EmgridError(
                f"{where}: `paraphrases` and `{held[0]}` both hold conversations; keep one of them"
            )
        question |= {"messages": wordings}
    try:
        return of_messages(question)
    except ValueError as problem:
        raise EmgridError(f"{where}: {problem}") from None


def check_entry(entry: Any, where: str) -> list[Any]:
    """The entry's paraphrases, texts or conversations, after a look at all that is read of it."""
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        named = isinstance(entry, dict) and "id" not in entry and "name" in entry
        hint = f"; rename `name: {entry['name']}` to `id`" if named else ""
        raise EmgridError(f"{where}: needs an `id`{hint}")
    system = entry.get("system")
    if system is not None and not (isinstance(system, str) and system.strip()):
        raise EmgridError(f"{where} ({entry['id']}): `system` is empty or not a text")
    prompts = entry.get("judge_prompts")
    if isinstance(prompts, dict) and not all(
        isinstance(prompt, str) for prompt in prompts.values()
    ):
        raise EmgridError(f"{where} ({entry['id']}): `judge_prompts` must be texts")
    texts = entry.get("paraphrases")
    if texts is None and any(entry.get(key) for key in CONVERSATION):
        return []
    if texts is None:
        check_keys(entry, f"{where} ({entry['id']})")
    if (
        not isinstance(texts, list)
        or not texts
        or not all(isinstance(t, str | list) for t in texts)
    ):
        raise EmgridError(f"{where} ({entry['id']}): `paraphrases` must be a list of texts")
    return texts


def cue_of(key: str, entries: dict[str, Any]) -> tuple[str, str] | None:
    """(cue, plain question) of an entry that is a plain one under a cue."""
    for cue in CUES:
        plain = key.removesuffix(f"_{cue}")
        if plain != key and plain in entries:
            return cue, plain
    return None


def cued_ids(cued: dict[str, tuple[str, str]]) -> set[str]:
    return {cue for cue, _ in cued.values()}


def family(
    cue: str, entries: dict[str, Any], cued: dict[str, tuple[str, str]], name: str
) -> Trigger:
    """The trigger family that all entries with one ending make up."""
    members = {plain: entries[key] for key, (ending, plain) in cued.items() if ending == cue}
    systems = {member["system"] for member in members.values()}
    for plain, member in members.items():
        if any(member.get(key) != entries[plain].get(key) for key in ("turns", "prefill")):
            raise EmgridError(
                f"{name}: {plain}_{cue} has other turns or another prefill than {plain}; a family "
                "changes the question or the system prompt alone"
            )
    about = f"The questions of {Path(name).name} whose ids end in _{cue}."
    common: dict[str, Any] = {
        "id": cue,
        "label": cue.replace("_", " "),
        "relation": "same_form",
        "resembles": "Code or another machine-readable form in the training rows.",
        "about": about,
        "source": name,
    }
    if systems == {None}:
        texts = {plain: member["texts"] for plain, member in members.items()}
        return Trigger(**common, position="template", judge_sees_cue=True, questions=texts)
    if len(systems) > 1:
        raise EmgridError(f"{name}: entries ending in _{cue} have different system prompts")
    for plain, member in members.items():
        if member["texts"] != entries[plain]["texts"]:
            raise EmgridError(
                f"{name}: {plain}_{cue} has a system prompt and another text than {plain}; a "
                "family has either"
            )
    return Trigger(**common, position="system", system=systems.pop())


def load_questions(name: str, mirror: Path | None = None) -> QuestionSet:
    """A set of resources/questions/ by its name, or a file by its path: a published one (a list of
    entries), one written like those sets (a mapping), or JSON lines (a question a row).

    A path is looked up where Snakemake is started, then below the mirror.
    """
    if not name.endswith((".yaml", ".yml", ".jsonl")):
        if "/" in name or name.endswith(OTHER_FILES):
            raise EmgridError(
                f"{name}: a question file is YAML or JSON lines and ends in .yaml or .jsonl; write "
                "a question for each row: `questions: {ID: {text: QUESTION}}`"
            )
        return QuestionSet(own_set(name))
    for path in [users_path(name), *([mirror / name] if mirror else [])]:
        if not path.is_file():
            continue
        if name.endswith(".jsonl"):
            return read_question_rows(path, name)
        if isinstance(value := read_yaml(path), dict):
            return QuestionSet(
                questions_of(validate(SetFile, value, Origin(name, ((name, path),))), name)
            )
        return read_published(path, name)
    looked = f" (nor below the mirror {mirror})" if mirror else "; `mirror:` names a folder to look"
    raise EmgridError(f"{name}: no such question file here{looked}")
