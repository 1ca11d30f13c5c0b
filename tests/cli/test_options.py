"""Command line, TOML and Python build the same settings; the help tells the defaults that a run has."""

import io
import json
import re
from contextlib import redirect_stdout
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from varve import registry
from varve.backtests.config import RunConfig
from varve.cli import app as cli
from varve.cli.options import OTHER_NAMES, PANELS, RUN_SETTINGS
from varve.config import read_toml

WINDOW = ("--ticker", "TSLA", "--start", "2023-03-01", "--end", "2023-04-14")
SNAPSHOT = "a" * 64


def test_every_field_of_a_run_has_one_option_in_one_panel():
    assert sorted(RUN_SETTINGS) == sorted(name for name in RunConfig.model_fields if name != "settings")


def helped(backtest, *command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = backtest(*command, "--help")
    assert code == 0
    return out


def test_the_help_shows_panels_with_the_defaults_of_a_run(backtest, monkeypatch):
    shown = helped(backtest, "run", monkeypatch=monkeypatch)
    assert all(f"─ {panel} ─" in shown for panel in PANELS)
    for name in RUN_SETTINGS:
        default = RunConfig.model_fields[name].default
        flag = OTHER_NAMES.get(name, f"--{name.replace('_', '-')}")
        (line,) = re.findall(rf"│ {flag} .*", shown)
        if isinstance(default, str) or (isinstance(default, int) and not isinstance(default, bool)):
            assert f"[default: ({default})]" in line
    assert "[default: (100,000)]" in shown


def test_ablate_declares_what_it_shares_with_run_in_the_same_words(backtest, monkeypatch):
    run, ablate = (helped(backtest, name, monkeypatch=monkeypatch) for name in ("run", "ablate"))
    for flag in ("--agent", "--llm", "--world", "--start", "--set", "--profile", "--config"):
        one, other = (re.search(rf"│ {flag} +(\S.*?)\s*│", text)[1] for text in (run, ablate))
        assert re.split(r"\s{2,}", one)[-1] == re.split(r"\s{2,}", other)[-1]


@pytest.mark.parametrize("command", [("run", *WINDOW), ("report", "latest"), ("sweep", "a.toml")])
def test_json_and_quiet_together_are_one_clear_error(backtest, varve_home, command):
    code, out, err = backtest(*command, "--json", "--quiet")
    assert (code, out) == (2, "")
    assert "--json and --quiet" in err
    assert "give one of them" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--agent", "sma-cross", "--profile", "neutral"),
            ["'sma-cross' has no --profile", "finagent, finmem"],
        ),
        (("--agent", "finmem", "--without", "tools"), ["'finmem' has no --without", "have it: finagent"]),
        (("--agent", "finmen", "--profile", "neutral"), ["finmen", "did you mean 'finmem'"]),
        (("--set", "sizer=fraction"), ["settings.sizer", "a table expected", "--sizer"]),
        (("--set", "sizer.fractoin=0.1", "--sizer", "fraction"), ["fractoin", "did you mean 'fraction'"]),
        (("--set", "costs.comission_bps=5"), ["comission_bps", "did you mean 'commission_bps'"]),
        (
            ("--set", "sizer=1", "--set", "sizer.weight=0.5"),
            ["'sizer'", "as a table and as a value"],
        ),
    ],
)
def test_wrong_settings_get_one_clear_message(backtest, varve_home, arguments, words):
    code, out, err = backtest("run", *WINDOW, *arguments)
    assert (code, out) == (2, "")
    assert all(word in err for word in words), err
    assert list(varve_home.iterdir()) == []


def test_a_profile_goes_with_the_agent_of_a_file_and_of_a_stopped_run(backtest, varve_home, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('agent = "buy-and-hold"\nticker = "TSLA"\n')
    assert "'buy-and-hold' has no --profile" in backtest("run", "--config", file, "--profile", "neutral")[2]
    assert backtest("run", "--agent", "buy-and-hold", *WINDOW, "--quiet")[0] == 0
    code, _, err = backtest("run", "--resume", "latest", "--profile", "neutral")
    assert code == 2
    assert "'buy-and-hold' has no --profile" in err


def test_one_constant_on_the_line_leaves_the_others_of_a_file(backtest, varve_home, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('sizer = "fraction"\n[settings.sizer]\nfraction = 0.5\nweight = 0.6\n')
    done = backtest("run", "--agent", "buy-and-hold", *WINDOW, "--config", file,
                    "--set", "sizer.fraction=0.1", "--quiet")  # fmt: skip
    assert done[0] == 0, done
    (run,) = (varve_home / "runs").iterdir()
    kept = json.loads((run / "run.json").read_text())["config"]["settings"]
    assert kept == {"sizer": {"fraction": 0.1, "weight": 0.6}}


DAYS = st.dates(date(2020, 1, 1), date(2024, 12, 31))
FRACTIONS = st.floats(0.01, 1, allow_nan=False)
VALUES = {
    "agent": st.sampled_from(["sma-cross", "random", "buy-and-hold"]),
    "ticker": st.sampled_from(["TSLA", "ETH-USD"]),
    "start": DAYS, "end": DAYS, "warmup_start": DAYS,
    "data": st.sampled_from(["auto", "store", "sample"]),
    "world": st.sampled_from(["noise", "planted"]),
    "world_seed": st.integers(0, 9),
    "news": st.booleans(),
    "llm": st.sampled_from(["auto", "scripted", "openai:m@http://localhost:1/v1"]),
    "decide": st.sampled_from(["generate", "score"]),
    "abstain_below": st.integers(0, 100),
    "abstain_as": st.sampled_from(["HOLD", "FLAT"]),
    "embedder": st.just("minilm"),
    "seed": st.integers(0, 2**40),
    "sizer": st.sampled_from(registry.names("sizers")),
    "costs": st.sampled_from(registry.names("costs")),
    "initial_cash": st.floats(1, 1e9),
    "fill": st.just("same_close"),
    "horizon_sessions": st.integers(1, 30),
    "allow_future_memory": st.just(True), "after_cutoff": st.just(True), "tune": st.just(True),
    "settings": st.fixed_dictionaries({}, optional={
        "fast": st.integers(1, 9),
        "note": st.text("abc =.'\"", max_size=5).map(lambda text: f"x{text}y"),
        "sizer": st.dictionaries(st.sampled_from(["weight", "fraction"]), FRACTIONS),
        "costs": st.dictionaries(st.sampled_from(["commission_bps", "half_spread_bps"]), FRACTIONS),
        "deep": st.fixed_dictionaries({}, optional={"inner": st.fixed_dictionaries({"one": st.booleans()})}),
    }),
}  # fmt: skip
RANDOM = st.fixed_dictionaries({"ticker": VALUES.pop("ticker")}, optional=VALUES)


def typed(values):
    """The values as options of the command line."""
    for name, value in values.items():
        flag = OTHER_NAMES.get(name, f"--{name.replace('_', '-')}")
        if name == "settings":
            for key, one in leaves(value):
                yield from ("--set", f"{key}={one if isinstance(one, str) else json.dumps(one)}")
        elif value is True:
            yield flag
        elif value is False:
            yield f"--no-{flag[2:]}"
        else:
            yield from (flag, str(value))


def leaves(table, before=""):
    for name, value in table.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def toml(values, before=""):
    """The values as a TOML file."""
    plain = {name: value for name, value in values.items() if not isinstance(value, dict)}
    lines = [
        f"{name} = {value if isinstance(value, date) else json.dumps(value)}" for name, value in plain.items()
    ]
    for name, table in values.items():
        if isinstance(table, dict):
            lines += [f"[{before}{name}]", toml(table, f"{before}{name}.")]
    return "\n".join(lines)


def without_empty(table):
    """A table that holds nothing cannot be typed."""
    full = {name: without_empty(v) if isinstance(v, dict) else v for name, v in table.items()}
    return {name: value for name, value in full.items() if value != {}}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RANDOM)
def test_command_line_file_and_python_build_the_same_settings(tmp_path, monkeypatch, values):
    values = without_empty(values)
    built = []
    monkeypatch.setattr("varve.cli.run._new_run", lambda values, **_: built.append(values) or stopped)
    file = tmp_path / "run.toml"
    file.write_text(toml(values), encoding="utf-8")
    for arguments in (list(typed(values)), ["--config", str(file)]):
        with redirect_stdout(io.StringIO()), pytest.raises(Stopped):
            cli.app(args=["run", *arguments, "--json"], standalone_mode=False)
    wanted = RunConfig.build(**values)
    assert [RunConfig.build(**one) for one in built] == [wanted, wanted]
    assert RunConfig.build(**read_toml(file)).identity() == wanted.identity()


class Stopped(Exception):
    """Raised in place of a run."""


def stopped(**_):
    raise Stopped
