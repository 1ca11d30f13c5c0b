"""``backtest llm``, and runs that keep behind what a model can know."""

import json
from pathlib import Path

import pytest

from varve.testing.model_server import FakeModelServer

CSV = "date,close\n" + "".join(f"2023-12-{day:02d},{100 + day}\n" for day in (20, 21, 22, 26, 27, 28, 29))


@pytest.fixture
def stored(backtest, tmp_path):
    rows = CSV + "".join(f"2024-01-{day:02d},{100 + day}\n" for day in (2, 3, 4, 5, 8, 9, 10))
    (tmp_path / "acme.csv").write_text(rows)
    code, _, err = backtest("data", "import", tmp_path / "acme.csv", "--ticker", "ACME")
    assert code == 0, err
    return "ACME"


def test_models_are_listed_with_what_is_known_of_them(backtest):
    code, out, _ = backtest("llm", "models")
    assert code == 0
    assert "Qwen/Qwen3-8B" in out
    assert "2023-12-31" in out
    assert "no world" in out


def test_the_example_can_be_used_as_it_is(backtest, varve_home):
    _, out, _ = backtest("llm", "models", "--example")
    (varve_home / "models.toml").write_text(out)
    code, out, err = backtest("llm", "models")
    assert code == 0, err
    assert "my-org/my-model" in out


def test_the_recipe_names_the_parser_of_a_known_family(backtest):
    _, out, _ = backtest("llm", "serve-recipe", "Qwen/Qwen3-8B", "--port", "8123")
    assert "vllm serve Qwen/Qwen3-8B --port 8123" in out
    assert "--tool-call-parser hermes" in out
    assert "--llm openai:Qwen/Qwen3-8B@http://localhost:8123/v1" in out


def test_the_recipe_of_an_unknown_model_says_what_is_missing(backtest):
    _, out, _ = backtest("llm", "serve-recipe", "homebrew")
    assert "--tool-call-parser NAME" in out


def test_a_run_inside_the_models_knowledge_is_stamped(backtest, stored):
    with FakeModelServer() as server:
        llm = f"openai:gpt-4-turbo@{server.base_url}"
        code, out, err = backtest("run", "--ticker", stored, "--llm", llm, "--quiet")
        assert code == 0, err
        page = Path(out.strip()).read_text(encoding="utf-8")
        assert "the beginning of this window" in page
        code, out, err = backtest("run", "--ticker", stored, "--llm", llm, "--after-cutoff", "--quiet")
        assert code == 0, err
    manifest = json.loads((Path(out.strip()).parent / "run.json").read_text())
    assert manifest["knowledge"]["status"] == "after"
    assert manifest["window"]["start"] == "2024-01-02"


@pytest.mark.parametrize(
    ("name", "end", "words"),
    [
        ("homebrew", "2024-01-10", ["homebrew", "nobody says", "models.toml"]),
        ("gpt-4-turbo", "2023-12-29", ["2023-12-31", "2023-12-29", "later"]),
    ],
)
def test_after_cutoff_refuses_what_it_cannot_keep(backtest, stored, name, end, words):
    llm = f"openai:{name}@http://127.0.0.1:9/v1"
    code, _, err = backtest("run", "--ticker", stored, "--llm", llm, "--after-cutoff", "--end", end)
    assert code == 2
    for word in words:
        assert word in err


def test_the_doctor_tells_the_device_reads_every_family_and_tries_the_model(backtest):
    code, out, err = backtest("llm", "doctor", "--llm", "scripted")
    assert code == 0, err
    assert "cpu" in out or "cuda" in out
    for family in ("hermes", "llama3", "mistral", "plain"):
        assert f"{family:<7} read" in out
    assert "round trip" in out
    assert "0 of 4" in out


def test_the_doctor_says_so_when_a_model_answers_nonsense(backtest):
    with FakeModelServer(["nonsense"]) as server:
        code, out, _ = backtest("llm", "doctor", "--llm", f"openai:x@{server.base_url}")
    assert code == 4
    assert "no decision" in out


def test_bench_measures_a_random_model_beside_the_devices_limits(backtest, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    shape = ("--shape", "3m", "--random", "--batch", 1, "--batch", 2, "--context", 32)
    code, out, err = backtest("llm", "bench", *shape)
    assert code == 0, err
    assert "3,148,608 parameters" in out
    assert "GB/s copied" in out
    assert out.count("90%") >= 2
    assert "in lockstep of 2" in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), ["--shape", "--random"]),
        (("--shape", "3m"), ["--random"]),
        (("--shape", "9b", "--random"), ["9b", "8b"]),
        (("--llm", "scripted"), ["scripted", "hf:"]),
    ],
)
def test_bench_says_what_it_needs(backtest, options, words):
    code, _, err = backtest("llm", "bench", *options)
    assert code == 2
    for word in words:
        assert word in err


def test_a_shape_too_big_is_refused_before_it_is_made(monkeypatch):
    from varve.errors import ModelError
    from varve.finllm.engine import load as engine_load
    from varve.finllm.engine.random_weights import make_random, parameters_of

    monkeypatch.setattr(engine_load, "free_bytes", lambda device: 2**30)
    assert parameters_of("8b") == 8_190_735_360
    with pytest.raises(ModelError, match=r"36\.6 GiB, 1\.0 GiB"):
        make_random("8b", "cpu")
