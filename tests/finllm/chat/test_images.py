"""Images from a message to the server, the journal and the reply cache, and servers that take none."""

from __future__ import annotations

import base64
import io
import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from PIL import Image

from tests.backtests.record.test_journal import a_step
from varve.backtests.record.differences import CallDifferenceError, JournalReplies, check_step
from varve.backtests.record.digest import digest_1
from varve.backtests.record.journal import Journal
from varve.config import canonical_json
from varve.errors import IntegrityError, ModelError, SettingError
from varve.finllm.chat.images import ImageRefusedError, image_block, sees, text_block
from varve.finllm.chat.open_model import model_identity, open_model
from varve.finllm.chat.reply_cache import CachedReplies, ReplyCache
from varve.finllm.chat.reply_source import image_name
from varve.finllm.chat.session import ModelSession
from varve.finllm.replies.decide import decide_tool_schema
from varve.testing import model_server as fake
from varve.types import Action, Trace

SCHEMA = decide_tool_schema([Action.BUY, Action.HOLD], ["M1"])


def png(grey: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8), grey).save(buffer, format="PNG")
    return buffer.getvalue()


BLACK, WHITE = png(0), png(255)


@pytest.fixture(autouse=True)
def seeing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VARVE_MODEL_VISION", "true")


def asked(*images: bytes, words: str = "today") -> list[Any]:
    return [HumanMessage([text_block(words), *map(image_block, images)])]


def talk(server: fake.FakeModelServer, trace: Trace, **settings: Any) -> ModelSession:
    model = open_model(f"openai:fake@{server.base_url}")
    return ModelSession(model, trace, sleep=lambda _: None, **settings)


def test_the_server_gets_the_very_image() -> None:
    with fake.FakeModelServer() as server:
        talk(server, Trace()).invoke(asked(BLACK, WHITE), [SCHEMA], stage="decide")
        content = server.requests[0].body["messages"][0]["content"]
    assert content[0] == {"type": "text", "text": "today"}
    urls = [block["image_url"]["url"] for block in content[1:]]
    assert all(url.startswith("data:image/png;base64,") for url in urls)
    assert [base64.b64decode(url.partition(",")[2]) for url in urls] == [BLACK, WHITE]


def test_the_record_names_images_and_keeps_each_once() -> None:
    trace = Trace()
    with fake.FakeModelServer() as server:
        talk(server, trace).invoke(asked(BLACK, WHITE, BLACK), [SCHEMA], stage="decide")
    (call,) = trace.model_calls
    named = [
        {"type": "image", "mime_type": "image/png", "sha256": image_name(x)} for x in (BLACK, WHITE, BLACK)
    ]
    assert call.messages[0]["content"] == [{"type": "text", "text": "today"}, *named]
    assert call.images == (BLACK, WHITE)
    assert "base64" not in canonical_json(list(call.messages))


def test_another_image_is_another_question(varve_home: Path) -> None:
    trace = Trace()
    with fake.FakeModelServer() as server, ReplyCache() as cache:
        model = open_model(f"openai:fake@{server.base_url}")
        replies = CachedReplies(cache, model_identity(model))
        for image in (BLACK, BLACK, WHITE):
            session = ModelSession(model, trace, replies=replies)
            session.invoke(asked(image), [SCHEMA], stage="decide")
            session.accept()
        assert len(server.requests) == 2
    assert [call.cached for call in trace.model_calls] == [False, True, False]


@pytest.mark.parametrize("code", [400, 413, 415, 422])
def test_a_refused_image_is_recorded_and_raised_once(code: int, varve_home: Path) -> None:
    trace = Trace()
    answers = [fake.status(code, "image exceeds 4 MiB"), "ok"]
    with fake.FakeModelServer(answers) as server, ReplyCache() as cache:
        session = talk(server, trace)
        session = ModelSession(
            session.model, trace, replies=CachedReplies(cache, model_identity(session.model))
        )
        with pytest.raises(ImageRefusedError, match="image exceeds 4 MiB") as caught:
            session.invoke(asked(BLACK), [SCHEMA], stage="decide")
        assert "VARVE_MODEL_VISION=false" in str(caught.value)
        session.invoke([HumanMessage("a table")], [SCHEMA], stage="decide")
        session.accept()
        assert len(server.requests) == 2
        assert sum(entry.replies for entry in cache.stats()) == 1
    refused, answered = trace.model_calls
    assert refused.reply["finish_reason"] == "image_refused"
    assert "image exceeds 4 MiB" in refused.reply["refusal"]
    assert answered.reply["finish_reason"] != "image_refused"


def test_without_an_image_the_same_answer_stops_the_run() -> None:
    with fake.FakeModelServer([fake.status(413)]) as server, pytest.raises(ModelError) as caught:
        talk(server, Trace()).invoke([HumanMessage("a table")], [SCHEMA], stage="decide")
    assert not isinstance(caught.value, ImageRefusedError)


def test_a_key_that_is_refused_is_no_refused_image() -> None:
    with fake.FakeModelServer([fake.status(401)]) as server, pytest.raises(ModelError) as caught:
        talk(server, Trace()).invoke(asked(BLACK), [SCHEMA], stage="decide")
    assert not isinstance(caught.value, ImageRefusedError)


def journaled(folder: Path, *answers: Any, image: bytes = BLACK) -> tuple[Journal, Any]:
    """A step with one question with an image, and one without after a refusal, written."""
    trace = Trace()
    with fake.FakeModelServer(answers) as server:
        session = talk(server, trace)
        try:
            session.invoke(asked(image), [SCHEMA], stage="decide")
        except ImageRefusedError:
            session.invoke([HumanMessage("a table")], [SCHEMA], stage="decide")
    step = replace(a_step(), model_calls=tuple(trace.model_calls))
    journal = Journal(folder / "journal.db", run_id="r")
    journal.append(step)
    return journal, step


def test_the_journal_keeps_each_image_once_and_gives_it_back(tmp_path: Path) -> None:
    journal, step = journaled(tmp_path, "ok")
    journal.append(replace(step, step=1))
    name = image_name(BLACK)
    assert journal.image(name) == BLACK
    assert journal.image(image_name(WHITE)) is None
    with sqlite3.connect(tmp_path / "journal.db") as db:
        assert db.execute("SELECT count(*) FROM images").fetchone() == (1,)
    recorded = journal.steps()[0]
    assert recorded.model_calls[0].messages[0]["content"][1]["sha256"] == name
    check_step(step, recorded)
    journal.close()


def test_a_changed_image_in_the_journal_is_found(tmp_path: Path) -> None:
    journal, _ = journaled(tmp_path, "ok")
    journal.close()
    with sqlite3.connect(tmp_path / "journal.db") as db:
        db.execute("UPDATE images SET data = ?", [WHITE])
    reading = Journal(tmp_path / "journal.db", run_id="r", read_only=True)
    with pytest.raises(IntegrityError, match="image"):
        reading.image(image_name(BLACK))
    reading.close()


def test_a_replay_refuses_again_without_a_server_and_sees_another_image(tmp_path: Path) -> None:
    journal, step = journaled(tmp_path, fake.status(413), "ok")
    model, trace = open_model("openai:fake@http://127.0.0.1:9/v1"), Trace()
    session = ModelSession(model, trace, replies=JournalReplies(journal.steps()))
    with pytest.raises(ImageRefusedError):
        session.invoke(asked(BLACK), [SCHEMA], stage="decide")
    session.invoke([HumanMessage("a table")], [SCHEMA], stage="decide")
    assert [call.reply for call in trace.model_calls] == [call.reply for call in step.model_calls]
    other = ModelSession(model, Trace(), replies=JournalReplies(journal.steps()))
    with pytest.raises(CallDifferenceError, match="sha256"):
        other.invoke(asked(WHITE), [SCHEMA], stage="decide")
    journal.close()


def test_a_journal_from_before_images_is_read_and_goes_on(tmp_path: Path) -> None:
    journal, step = journaled(tmp_path, "ok")
    digest = digest_1(journal, [])
    journal.close()
    with sqlite3.connect(tmp_path / "journal.db") as db:
        db.execute("DROP TABLE images")
        db.execute("ALTER TABLE steps DROP COLUMN became")
        db.execute("ALTER TABLE steps DROP COLUMN bar")
        db.execute("PRAGMA user_version = 1")
    reading = Journal(tmp_path / "journal.db", run_id="r", read_only=True)
    assert reading.image(image_name(BLACK)) is None
    assert digest_1(reading, []) == digest
    reading.close()
    again = Journal(tmp_path / "journal.db", run_id="r")
    again.append(replace(step, step=1))
    assert again.image(image_name(BLACK)) == BLACK
    again.close()


@pytest.mark.parametrize(("given", "wanted"), [("true", True), ("TRUE", True), ("false", False), ("", False)])
def test_vision_is_a_setting_and_recorded(given: str, wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = "openai:qwen@http://localhost:8000/v1"
    monkeypatch.setenv("VARVE_MODEL_VISION", "false")
    blind = model_identity(open_model(spec))
    monkeypatch.setenv("VARVE_MODEL_VISION", given)
    model = open_model(spec)
    assert sees(model) is wanted
    identity = model_identity(model)
    assert identity["settings"].get("vision", False) is wanted
    assert (identity == blind) is not wanted
    json.dumps(identity)


def test_an_unclear_switch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VARVE_MODEL_VISION", "maybe")
    with pytest.raises(SettingError, match="VARVE_MODEL_VISION cannot be 'maybe'"):
        open_model("openai:qwen@http://localhost:8000/v1")


def test_the_scripted_model_does_not_see() -> None:
    assert not sees(open_model("scripted"))
