"""The reply cache: keyed by all that decides a reply, never holding a bad one, safe between processes."""

import json
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, convert_to_openai_messages

from varve.errors import BadFileError, IntegrityError, StorageError
from varve.finllm.chat.reply_cache import CachedReplies, ReplyCache, cache_path, reply_key
from varve.finllm.chat.reply_records import RecordedModel, message_of, reply_json
from varve.finllm.chat.reply_source import Answered, Asked
from varve.finllm.chat.session import ModelSession
from varve.finllm.replies.decide import parse_reply
from varve.types import Action, Trace, Usage

IDENTITY = {
    "name": "m",
    "fingerprint": "f",
    "settings": {"model": "m", "temperature": 0.0, "seed": 1, "weights": "aa"},
}
ASKED = Asked("decide", 0, ({"role": "user", "content": "today"},), ({"name": "decide"},))
ANSWER = Answered(reply_json(AIMessage("so be it")), Usage(10, 2, 1))


def key(asked=ASKED, **settings):
    return reply_key({**IDENTITY, "settings": {**IDENTITY["settings"], **settings}}, asked)


@pytest.fixture
def cache(tmp_path):
    with ReplyCache(tmp_path / "replies.db") as opened:
        yield opened


def test_the_key_is_what_decides_a_reply():
    other = [
        key(weights="bb"),
        key(temperature=0.7),
        reply_key({**IDENTITY, "name": "n"}, ASKED),
        key(Asked("decide", 0, ({"role": "user", "content": "tomorrow"},), ASKED.tools)),
        key(Asked("decide", 0, ASKED.messages, ())),
    ]
    assert len({key(), *other}) == 6
    assert key(seed=2) == key(Asked("warm_up", 1, ASKED.messages, ASKED.tools)) == key()


def test_above_temperature_zero_seed_and_attempt_decide_too():
    again = Asked("decide", 1, ASKED.messages, ASKED.tools)
    assert len({key(temperature=1.0), key(temperature=1.0, seed=2), key(again, temperature=1.0)}) == 3


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
arguments = st.dictionaries(texts, st.one_of(st.integers(), texts, st.none(), st.lists(texts, max_size=2)))
messages = st.builds(
    AIMessage,
    content=texts,
    tool_calls=st.lists(
        st.fixed_dictionaries({"name": st.sampled_from(["decide", "news"]), "args": arguments, "id": texts}),
        max_size=3,
    ),
    invalid_tool_calls=st.lists(
        st.fixed_dictionaries(
            {"name": texts, "args": texts, "id": texts, "error": texts, "type": st.just("invalid_tool_call")}
        ),
        max_size=1,
    ),
    response_metadata=st.fixed_dictionaries(
        {}, optional={"finish_reason": st.sampled_from(["stop", "length"])}
    ),
    additional_kwargs=st.fixed_dictionaries({}, optional={"refusal": st.text("abc", min_size=1)}),
)


@given(message=messages)
def test_a_recorded_reply_is_the_reply(message):
    recorded = json.loads(json.dumps(reply_json(message)))
    again = message_of(Answered(recorded, Usage(0, 0, 1)))
    assert reply_json(again) == recorded
    assert convert_to_openai_messages([again]) == convert_to_openai_messages([message])
    allowed = {"allowed_actions": (Action.BUY,), "known_memory_ids": (), "tool_names": ("news",)}
    assert parse_reply(again, **allowed) == parse_reply(message, **allowed)


def talk(cache, *says, identity=IDENTITY):
    trace = Trace()
    model = GenericFakeChatModel(messages=iter(says))
    return ModelSession(model, trace, replies=CachedReplies(cache, identity)), trace


def test_an_accepted_reply_serves_the_next_run_without_the_model(cache):
    first, _ = talk(cache, AIMessage("yes"))
    first.invoke([HumanMessage("now")], stage="decide")
    first.accept()
    second, trace = talk(cache)
    assert second.invoke([HumanMessage("now")], stage="decide").text == "yes"
    assert [call.cached for call in trace.model_calls] == [True]


def test_a_reply_never_accepted_is_asked_anew(cache):
    first, _ = talk(cache, AIMessage("garbage"), AIMessage("yes"))
    first.invoke([HumanMessage("now")], stage="decide")
    first.invoke([HumanMessage("again")], stage="decide", attempt=1)
    first.accept()
    second, trace = talk(cache, AIMessage("fresh"))
    assert second.invoke([HumanMessage("now")], stage="decide").text == "fresh"
    assert second.invoke([HumanMessage("again")], stage="decide", attempt=1).text == "yes"
    assert [call.cached for call in trace.model_calls] == [False, True]


def test_other_weights_under_the_same_name_are_another_model(cache):
    cached = CachedReplies(cache, IDENTITY)
    cached.keep(ASKED, ANSWER)
    other = {**IDENTITY, "settings": {**IDENTITY["settings"], "weights": "bb"}}
    assert cached.find(ASKED) == ANSWER
    assert CachedReplies(cache, other).find(ASKED) is None


def test_the_first_reply_of_a_key_stays(cache):
    cache.put(key(), IDENTITY, ANSWER)
    cache.put(key(), IDENTITY, Answered(reply_json(AIMessage("no")), Usage()))
    assert cache.get(key()) == ANSWER


def test_stats_and_pruning_by_model_and_day(tmp_path):
    days = iter([datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)] * 2)
    with ReplyCache(tmp_path / "replies.db", clock=lambda: next(days)) as cache:
        for name in ("m", "n"):
            for text in ("a", "b"):
                cache.put(name * 32 + text * 32, {**IDENTITY, "name": name}, ANSWER)
        assert [tuple(row) for row in cache.stats()] == [("m", 2, 20, 4), ("n", 2, 20, 4)]
        assert cache.prune(model="m", before=datetime(2024, 1, 15, tzinfo=UTC)) == 1
        assert cache.prune(before=datetime(2024, 1, 15, tzinfo=UTC)) == 1
        assert cache.prune(model="n") == 1
        assert [row.replies for row in cache.stats()] == [1]


def test_what_is_exported_comes_in_again(cache, tmp_path):
    cache.put(key(), IDENTITY, ANSWER)
    cache.put(key(weights="bb"), IDENTITY, ANSWER)
    assert cache.export(tmp_path / "some.jsonl", [key()]) == 1
    assert cache.export(tmp_path / "all.jsonl") == 2
    with ReplyCache(tmp_path / "other.db") as other:
        other.put(key(), IDENTITY, Answered(reply_json(AIMessage("no")), Usage()))
        assert tuple(other.import_(tmp_path / "all.jsonl")) == (1, 0, 1)
        assert tuple(other.import_(tmp_path / "all.jsonl")) == (0, 1, 1)
        assert other.get(key()).reply["content"] == "no"
        assert other.get(key(weights="bb")) == ANSWER


@pytest.mark.parametrize(
    "spoil",
    [
        lambda line: line[: len(line) // 2],
        lambda line: line.replace('"key":"', '"key":"zz'),
        lambda line: line.replace('"content"', '"contents"'),
        lambda line: line.replace('"usage":{', '"usage":{"more":1,'),
        lambda line: "[]",
    ],
)
def test_a_spoilt_export_adds_nothing(cache, tmp_path, spoil):
    file = tmp_path / "all.jsonl"
    cache.put(key(), IDENTITY, ANSWER)
    cache.put(key(weights="bb"), IDENTITY, ANSWER)
    cache.export(file)
    first, second = file.read_text().splitlines()
    file.write_text(f"{first}\n{spoil(second)}\n")
    with ReplyCache(tmp_path / "other.db") as other:
        with pytest.raises(BadFileError, match="line 2"):
            other.import_(file)
        assert other.stats() == []


def test_a_damaged_cache_is_said_to_be(tmp_path):
    path = tmp_path / "replies.db"
    path.write_bytes(b"not a database, but long enough to be looked at" * 20)
    with pytest.raises(IntegrityError, match="damaged"):
        ReplyCache(path)
    assert path.read_bytes().startswith(b"not a database")


def test_a_newer_cache_is_left_alone(tmp_path):
    path = tmp_path / "replies.db"
    ReplyCache(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(IntegrityError, match="schema 99"):
        ReplyCache(path)


def test_a_cache_that_cannot_be_made_names_the_way_round(tmp_path):
    (tmp_path / "cache").write_text("a file in the way")
    with pytest.raises(StorageError, match="no-cache"):
        ReplyCache(tmp_path / "cache" / "replies.db")


def test_two_processes_fill_one_cache(varve_home):
    script = (
        "import sys; from varve.finllm.chat.reply_cache import ReplyCache; "
        "from varve.finllm.chat.reply_source import Answered; "
        "from varve.types import Usage\n"
        "from langchain_core.messages import AIMessage\n"
        "from varve.finllm.chat.reply_records import reply_json\n"
        "answer = Answered(reply_json(AIMessage('so be it')), Usage())\n"
        "with ReplyCache() as cache:\n"
        "    for i in range(100):\n"
        "        cache.put(f'{i:03d}', {'name': sys.argv[1], 'fingerprint': 'f'}, answer)\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", script, name]) for name in ("a", "b")]
    assert [process.wait(60) for process in both] == [0, 0]
    with ReplyCache() as cache:
        assert cache.path == cache_path()
        assert sum(row.replies for row in cache.stats()) == 100


def test_a_recorded_model_answers_nothing():
    with pytest.raises(IntegrityError, match="does not hold"):
        ModelSession(RecordedModel(), Trace()).invoke([HumanMessage("now")], stage="decide")
