"""Settings from the command line and from TOML: contradictions are refused, nothing is dropped."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from varve.backtests.sweeps.plan import read_sweep
from varve.cli.options import pairs_of, run_values, settings_of
from varve.config import joined, merged
from varve.errors import SettingError, UsageError

TABLE_AND_VALUE = "is given as a table and as a value"


def written(tmp_path, text, name="run.toml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (("a=1", "a.b=2"), rf"'a' {TABLE_AND_VALUE}"),
        (("a=text", "a.b.c=2"), rf"'a' {TABLE_AND_VALUE}"),
        (("x.a=1", "x.a.b=2"), rf"'x\.a' {TABLE_AND_VALUE}"),
        (("a={b=1}", "a.b=2"), r"'a\.b' is given twice: as [12] and as [12]"),
        (("a={b=1}", "a.b.c=2"), rf"'a\.b' {TABLE_AND_VALUE}"),
        (("a={b=1}", "a.b=true"), r"'a\.b' is given twice"),
        (("a=1", "a=2"), r"--set was given 'a' twice: as '[12]' and as '[12]'"),
        (("a=1", " a = 2"), r"--set was given 'a' twice"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_in_either_order(texts, said):
    for order in itertools.permutations((*texts, "other=3")):
        with pytest.raises(UsageError, match=said):
            settings_of(list(order))


def test_settings_that_say_the_same_or_stand_side_by_side_are_kept():
    texts = ["a.b=1", "a={c=2}", "a.b = 1", "d=[1, 2]", "e=plain text", "f.g.h=true"]
    expected = {"a": {"b": 1, "c": 2}, "d": [1, 2], "e": "plain text", "f": {"g": {"h": True}}}
    for order in itertools.permutations(texts):
        assert settings_of(list(order)) == expected


names = st.sampled_from(["a", "b", "a.a", "a.b", "b.a", "a.a.b", "b.a.a"])


def contradict(one, other):
    (name, value), (its_name, its_value) = one, other
    if name == its_name:
        return value != its_value
    return name.startswith(f"{its_name}.") or its_name.startswith(f"{name}.")


@given(st.lists(st.tuples(names, st.integers(0, 2)), max_size=6))
def test_every_setting_is_found_again_unless_two_contradict_each_other(pairs):
    texts = [f"{name}={value}" for name, value in pairs]
    if any(itertools.starmap(contradict, itertools.combinations(pairs, 2))):
        with pytest.raises(UsageError, match=rf"{TABLE_AND_VALUE}|twice"):
            settings_of(texts)
        return
    made = settings_of(texts)
    for name, value in pairs:
        found = made
        for part in name.split("."):
            found = found[part]
        assert found == value


@pytest.mark.parametrize("option", [{"profile": "conservative"}, {"without": ["tools"]}])
def test_an_option_of_its_own_and_set_do_not_contradict_each_other(option):
    ((name, value),) = option.items()

    def settings(*pairs, **options):
        return run_values(None, {}, list(pairs), options, agent="finagent")["settings"]

    assert settings(**option) == settings(f"{name}={value!r}", **option) == option
    assert settings(**{name: None}) == {}
    with pytest.raises(UsageError, match=f"'{name}' is given twice: as 'other' and as"):
        settings(f"{name}=other", **option)


@pytest.mark.parametrize("text", ["", "=", "=1", " =1", "a"])
def test_a_pair_without_a_name_or_a_value_is_refused(text):
    with pytest.raises(UsageError, match="expected NAME=VALUE"):
        pairs_of([text], "--column")


def test_a_column_is_named_once():
    assert pairs_of(["close=Adj Close", "close = Adj Close", "open="], "--column") == {
        "close": "Adj Close", "open": "",
    }  # fmt: skip
    with pytest.raises(UsageError, match="--column was given 'close' twice: as 'A' and as 'B'"):
        pairs_of(["close=A", "close=B"], "--column")


FILE = """
ticker = "TSLA"
seed = 4
[settings]
max_news = 3
memory.preset = "finmem-code"
memory.short.tau_days = 5
"""


def test_a_setting_given_beside_a_file_leaves_the_rest_of_its_table(tmp_path):
    values = run_values(written(tmp_path, FILE), {"seed": 5}, ["memory.short.tau_days=9"])
    assert values == {
        "ticker": "TSLA",
        "seed": 5,
        "settings": {"max_news": 3, "memory": {"preset": "finmem-code", "short": {"tau_days": 9}}},
    }


def test_without_a_file_there_are_the_options_alone():
    assert run_values(None, {"ticker": "A"}, ["b=1"]) == {"ticker": "A", "settings": {"b": 1}}


@pytest.mark.parametrize(
    ("text", "pair", "name"),
    [
        (FILE, "max_news.most=2", r"settings\.max_news"),
        (FILE, "memory=none", r"settings\.memory"),
        (FILE, "memory.short=2", r"settings\.memory\.short"),
        ("settings = 3", "a=1", "settings"),
    ],
)
def test_a_table_of_a_file_and_a_value_beside_it_are_refused(tmp_path, text, pair, name):
    with pytest.raises(SettingError, match=rf"'{name}' {TABLE_AND_VALUE}"):
        run_values(written(tmp_path, text), {}, [pair])


RUN = '[run]\nagent = "finmem"\nticker = "TSLA"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (RUN + 'seed = 3\n[vary]\nseed = [0, 1]', "'seed' stands in both run and vary"),
        (RUN + '[vary]\nsettings.top_k = [1]\n"settings.top_k" = [2]',
         r"vary\.settings\.top_k is given twice"),
        (RUN + '[vary]\nsettings.memory = [1]\n"settings.memory.short.tau_days" = [2]',
         rf"'settings\.memory' {TABLE_AND_VALUE}"),
        (RUN + '[vary]\n"settings.memory.short.tau_days" = [2]\nsettings.memory = [1]',
         rf"'settings\.memory' {TABLE_AND_VALUE}"),
        (RUN + '[vary]\nsettings.memory = [{preset = "varve"}]\n"settings.memory.preset" = ["finmem-code"]',
         r"'settings\.memory\.preset' is given twice"),
        (RUN + 'settings.top_k = 3\n[[group]]\nrun.settings.top_k.short = 2', rf"top_k' {TABLE_AND_VALUE}"),
        (RUN + 'settings.memory.preset = "varve"\n[[group]]\nvary.settings.memory = ["none"]',
         rf"memory' {TABLE_AND_VALUE}"),
        (RUN + '[vary]\nsettings.memory = [1]\n[[group]]\nvary.settings.memory.preset = ["varve"]',
         rf"group 1: setting 'settings\.memory' {TABLE_AND_VALUE}"),
    ],
)  # fmt: skip
def test_a_sweep_that_says_two_things_of_one_setting_is_refused(tmp_path, text, said):
    with pytest.raises(SettingError, match=said) as refused:
        read_sweep(written(tmp_path, text, "sweep.toml"))
    assert "sweep.toml" in refused.value.message


def test_a_group_says_more_nearly_what_the_sweep_says_for_all(tmp_path):
    text = RUN + 'seed = 1\nsettings.memory.preset = "varve"\n[vary]\nhorizon_sessions = [5, 6]\n'
    text += "[[group]]\nrun.seed = 2\nvary.horizon_sessions = [7]\n"
    text += 'vary.settings.memory = [{short = {tau_days = 3}}]\nvary."settings.memory.mid.tau_days" = [90]\n'
    (run,) = read_sweep(written(tmp_path, text, "sweep.toml")).runs
    memory = {"preset": "varve", "short": {"tau_days": 3}, "mid": {"tau_days": 90}}
    assert (run.seed, run.horizon_sessions, run.settings) == (2, 7, {"memory": memory})


tables = st.recursive(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 2), max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), st.integers(0, 2) | inner, max_size=3),
    max_leaves=6,
)


@given(base=tables, over=tables)
def test_tables_that_can_be_joined_are_merged_and_none_is_changed(base, over):
    before = repr((base, over))
    try:
        made = joined(base, over, replace=True)
    except SettingError:
        pass
    else:
        assert made == merged(base, over)
        assert joined(made, over, replace=False) == made
        assert joined(over, {}, replace=False) == joined({}, over, replace=False) == over
    assert repr((base, over)) == before
