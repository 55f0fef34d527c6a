"""Every topic has its questions, each with an answer of a few sentences and a source."""

from __future__ import annotations

import re
import tomllib

import pytest

from labkit.teach import questions
from labkit.teach.questions import FOLDER, topics

WRITTEN = {"tour", "source", "roles", "build", "artifacts"}


def test_there_are_questions_for_every_topic() -> None:
    assert set(topics()) >= WRITTEN


@pytest.mark.parametrize("topic", topics())
def test_each_question_is_whole(topic: str) -> None:
    tables = tomllib.loads((FOLDER / f"{topic}.toml").read_text(encoding="utf-8"))
    assert set(tables) == {"question"}
    assert 4 <= len(tables["question"]) <= 7
    for table in tables["question"]:
        assert set(table) == {"ask", "answer", "source"}
        assert table["ask"].endswith(("?", "."))
        assert 2 <= len(re.findall(r"[.?!](?=\s|$)", table["answer"])) <= 5, table["answer"]
        assert table["source"].strip()
    assert len({table["ask"] for table in tables["question"]}) == len(tables["question"])


@pytest.mark.parametrize("topic", topics())
def test_shown_the_same_every_time(topic: str) -> None:
    html, text = questions(topic)._repr_html_(), repr(questions(topic))
    assert html == questions(topic)._repr_html_()
    assert html.count("<details") == html.count("<summary>") == len(questions(topic).items)
    for item in questions(topic).items:
        assert item.ask in text and item.answer in text and item.source in text


def test_an_unknown_topic_says_which_there_are() -> None:
    with pytest.raises(ValueError, match="source"):
        questions("sauce")
