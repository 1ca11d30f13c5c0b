"""The user's key goes where the user sends it, never where a file leads; and it is written nowhere."""

import json
import os
from pathlib import Path

import pytest

from varve.backtests.record.folder import RunFolder
from varve.errors import UsageError
from varve.finllm.served.credentials import check_key_may_go, server
from varve.testing import model_server as fake
from varve.testing.model_server import Behaviour, FakeModelServer

pytest.importorskip("langchain_openai")

KEY = "sk-proj-Qw7eRt5yUi9oPz3xCv1bNm8k"
WINDOW = ["--ticker", "TSLA", "--start", "2023-03-01", "--end", "2023-03-10", "--warmup-start", "2023-02-27"]


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr("varve.finllm.chat.session.time.sleep", lambda seconds: None)


def sent_keys(server):
    return [request.headers.get("authorization") for request in server.requests]


def begun_elsewhere(backtest, server, *, finished=False):
    """A run folder as someone else would send it: made with a server, which its run.json names."""
    behaviours = ["ok"] if finished else ["ok"] * 5 + ["401"]
    server._answers = [fake.BEHAVIOURS[name] for name in behaviours]
    code, _, err = backtest(
        "run", *WINDOW, "--llm", f"openai:fake@{server.base_url}", "--no-cache", "--quiet"
    )
    assert code == (0 if finished else 4), err
    (run,) = (Path(os.environ["VARVE_HOME"]) / "runs").iterdir()
    server._answers = [fake.BEHAVIOURS["ok"]]
    server._requests.clear()
    return RunFolder(run)


def no_piece_of_the_key(*texts):
    body = KEY.removeprefix("sk-proj-")
    for text in texts:
        for start in range(len(body) - 7):
            assert body[start : start + 8] not in text, text


def test_a_run_of_someone_else_does_not_get_the_key(backtest):
    with FakeModelServer() as server:
        folder = begun_elsewhere(backtest, server)
        code, _, err = backtest("run", "--resume", folder.run_id)
        assert code == 2
        assert server.requests == ()
        assert f"--resume {folder.run_id} --llm openai:fake@{server.base_url}" in err
        # The very command that the message names.
        code, _, err = backtest(
            "run", "--resume", folder.run_id, "--llm", f"openai:fake@{server.base_url}", "--quiet"
        )
        assert code == 0, err
        assert set(sent_keys(server)) == {f"Bearer {KEY}"}


def test_a_run_of_someone_else_may_be_resumed_without_a_key(backtest, monkeypatch):
    with FakeModelServer() as server:
        folder = begun_elsewhere(backtest, server)
        monkeypatch.delenv("OPENAI_API_KEY")
        code, _, err = backtest("run", "--resume", folder.run_id, "--quiet")
        assert code == 0, err
        assert set(sent_keys(server)) == {"Bearer none"}


def test_a_server_that_this_home_trusts_gets_the_key(backtest, varve_home):
    with FakeModelServer() as server:
        folder = begun_elsewhere(backtest, server)
        (varve_home / "config.toml").write_text(f'trusted_servers = ["{server.base_url}/"]')
        code, _, err = backtest("run", "--resume", folder.run_id, "--quiet")
        assert code == 0, err
        assert set(sent_keys(server)) == {f"Bearer {KEY}"}


def test_audit_and_replay_send_nothing_where_a_record_leads(backtest):
    with FakeModelServer() as server:
        folder = begun_elsewhere(backtest, server, finished=True)
        assert backtest("replay", folder.run_id)[0] == 0
        code, _, err = backtest("audit", folder.run_id, "--seeds", "2")
        assert code == 2
        assert "--send-key-to" in err
        assert server.requests == ()
        assert backtest("audit", folder.run_id, "--seeds", "0")[0] == 0
        assert server.requests == ()
        backtest("audit", folder.run_id, "--seeds", "2", "--send-key-to", server.base_url)
        assert set(sent_keys(server)) == {f"Bearer {KEY}"}


def test_another_server_in_a_changed_record_gets_nothing(backtest):
    with FakeModelServer() as server, FakeModelServer() as other:
        folder = begun_elsewhere(backtest, server)
        raw = (folder.path / "run.json").read_text().replace(server.base_url, other.base_url)
        (folder.path / "run.json").write_text(raw)
        for llm in ([], ["--llm", f"openai:fake@{server.base_url}"], ["--send-key-to", server.base_url]):
            assert backtest("run", "--resume", folder.run_id, *llm)[0] in (2, 5)
        assert other.requests == server.requests == ()


@pytest.mark.parametrize("command", ["run", "ablate", "sweep"])
def test_a_settings_file_of_someone_else_does_not_send_the_key(backtest, tmp_path, command):
    with FakeModelServer() as server:
        settings = f'llm = "openai:fake@{server.base_url}"\nticker = "TSLA"\nagent = "finmem"\n'
        settings += 'start = "2023-03-01"\nend = "2023-03-03"\nwarmup_start = "2023-02-27"\n'
        file = tmp_path / "theirs.toml"
        file.write_text(settings if command != "sweep" else f"[run]\n{settings}[vary]\nseed = [0]")
        arguments = [command, file] if command == "sweep" else [command, "--config", file]
        code, _, err = backtest(*arguments)
        assert (code, server.requests) == (2, ())
        assert server.base_url in err
        if command != "ablate":
            code, _, err = backtest(*arguments, "--send-key-to", server.base_url)
            assert code == 0, err
            assert set(sent_keys(server)) == {f"Bearer {KEY}"}


def test_a_key_is_not_sent_on_to_where_a_server_points(backtest):
    with FakeModelServer() as other:
        there = Behaviour(b"", 307, {"location": f"{other.base_url}/chat/completions"})
        with FakeModelServer([there]) as server:
            code, _, err = backtest("run", *WINDOW, "--llm", f"openai:fake@{server.base_url}", "--no-cache")
            assert code == 4, err
            assert "HTTP 307" in err
            assert len(server.requests) == 1
        assert other.requests == ()


def test_the_environment_does_not_lead_elsewhere(backtest, monkeypatch):
    with FakeModelServer() as other, FakeModelServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", other.base_url)
        monkeypatch.setenv("OPENAI_API_BASE", other.base_url)
        code, _, err = backtest(
            "run", *WINDOW, "--llm", f"openai:fake@{server.base_url}", "--no-cache", "--quiet"
        )
        assert code == 0, err
        assert other.requests == ()


@pytest.mark.parametrize("one", ["http://Host:80/v1/", "http://host/v1", "HTTP://host:80/v1"])
def test_one_server_may_be_written_in_several_ways(one):
    assert server(one) == server("http://host/v1")


@pytest.mark.parametrize("other", ["https://host/v1", "http://host:81/v1", "http://host/v2", "http://host.evil/v1",
                                   "http://hosts/v1", "http://sub.host/v1"])  # fmt: skip
def test_another_server_is_another(varve_home, other):
    (varve_home / "config.toml").write_text('trusted_servers = ["http://host/v1"]')
    check_key_may_go("openai:m@http://host/v1", named_by="a file", again="x")
    with pytest.raises(UsageError, match="nothing was sent"):
        check_key_may_go(f"openai:m@{other}", named_by="a file", again="x")


@pytest.mark.parametrize("url", ["http://me:hunter2pw@host/v1", "http://good.com\\@evil.com/v1", "http://@host/v1",
                                 "http://host/v1?x=1", "http://host/\x1b[31m", "ftp://host",
                                 "http://[::1", "http://ho st"])  # fmt: skip
def test_an_address_that_is_no_plain_one_is_refused_and_not_repeated(varve_home, url):
    with pytest.raises(UsageError) as caught:
        server(url)
    assert "hunter2pw" not in str(caught.value)
    (varve_home / "config.toml").write_text(f"trusted_servers = [{json.dumps(url)}]")
    with pytest.raises(UsageError, match=r"config\.toml"):
        check_key_may_go("openai:m@http://host/v1", named_by="a file", again="x")


def echoing(request):
    """A server that repeats what it was sent: whole, cut, and with an invisible character inside."""
    body = KEY.removeprefix("sk-proj-")
    return fake.decide(rationale=f"key {KEY} cut {body[:9]} and {body[5:10]}\u200b{body[10:16]}")(request)


@pytest.mark.parametrize("debug", [[], ["--debug"]])
@pytest.mark.parametrize("last", ["ok", "401", "malformed"])
def test_a_key_that_a_server_repeats_reaches_no_file_and_no_terminal(
    backtest, varve_home, last, debug, monkeypatch
):
    cut = KEY.removeprefix("sk-proj-")[3:13]
    bodies = {
        "ok": echoing,
        "401": fake.status(401, "u" * 300 + f" {KEY} is not valid; you sent {cut}"),
        "malformed": Behaviour(json.dumps({"error": f"Authorization: Bearer {KEY} {cut}"}).encode()),
    }
    with FakeModelServer([echoing] * 4 + [bodies[last]]) as server:
        code, out, err = backtest(
            "run", *WINDOW, "--llm", f"openai:fake@{server.base_url}", *debug, traceback=bool(debug)
        )
    assert code == (0 if last == "ok" else 4)
    no_piece_of_the_key(out, err)
    files = [path for path in varve_home.rglob("*") if path.is_file()]
    assert any(path.name == "journal.db" for path in files)
    for path in files:
        no_piece_of_the_key(path.read_bytes().decode("latin-1"))
