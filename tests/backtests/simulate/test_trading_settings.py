"""Settings of sizer and costs: checked by their own classes, used everywhere, and known by what they say."""

import json
from datetime import date

import pytest

from varve.backtests.config import RunConfig
from varve.backtests.integrity.replay import replay_run
from varve.backtests.record.trial_registry.registry import trial_of_run
from varve.backtests.resume import resume_run, unfinished_run
from varve.backtests.runner import run_backtest
from varve.backtests.simulate.prepare import prepare
from varve.backtests.studies.compare.comparison import compare
from varve.backtests.studies.compare.entrants import read_entrant
from varve.backtests.studies.rescore.rescore import rescore
from varve.backtests.sweeps.plan import read_sweep
from varve.errors import SettingError, UnknownNameError

RUN = {
    "agent": "sma-cross", "ticker": "TSLA", "data": "sample", "world": "strong",
    "start": date(2023, 3, 1), "end": date(2023, 4, 14),
}  # fmt: skip
SET = {"fast": 3, "slow": 10, "sizer": {"fraction": 0.1}, "costs": {"commission_bps": 5}}


def config(**changes):
    return RunConfig.build(**{**RUN, **changes})


def traded(folder):
    return [line.split(",") for line in (folder.path / "trades.csv").read_text().splitlines()[1:]]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"settings": {"sizer": {"wieght": 0.5}}}, ["wieght", "AllIn", "did you mean 'weight'"]),
        ({"settings": {"sizer": {"weight": 2}}}, ["weight", "2", "less than or equal to 1"]),
        ({"settings": {"costs": {"comission_bps": 5}}}, ["comission_bps", "did you mean 'commission_bps'"]),
        ({"settings": {"costs": {"commission_bps": -1}}}, ["commission_bps", "-1", "greater than or equal"]),
        ({"sizer": "fractoin"}, ["unknown sizer 'fractoin'", "did you mean 'fraction'"]),
        ({"costs": "retial"}, ["unknown cost preset 'retial'", "did you mean 'retail'"]),
        ({"settings": {"fst": 3, "sizer": {"weight": 0.5}}}, ["fst", "did you mean 'fast'"]),
    ],
)
def test_wrong_settings_are_named_before_anything_is_written(varve_home, changes, words):
    with pytest.raises((SettingError, UnknownNameError)) as caught:
        run_backtest(config(**changes))
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert not (varve_home / "runs").exists()


@pytest.mark.parametrize("name", ["sizer", "costs"])
def test_a_table_that_is_none_is_named_with_what_mends_it(name):
    with pytest.raises(SettingError, match="a table expected") as caught:
        config(settings={name: "fraction"})
    assert f"--{name}" in str(caught.value)


def test_an_empty_table_says_nothing_and_other_settings_keep_their_hash():
    plain = config(settings={"fast": 3})
    assert config(settings={"fast": 3, "sizer": {}, "costs": {}}).identity() == plain.identity()
    set_ = config(settings={"fast": 3, "sizer": {"weight": 0.5}})
    assert set_.identity() != plain.identity()
    assert set_.agent_settings == plain.agent_settings == {"fast": 3}


def test_a_run_uses_them_and_everything_after_it_too(varve_home):
    folder = run_backtest(config(sizer="fraction", settings=SET))
    plain = run_backtest(config(settings={"fast": 3, "slow": 10}))
    manifest = folder.read()
    assert manifest.costs["commission_bps"] == 5
    assert manifest.costs["half_spread_bps"] == 2.5
    assert manifest.agent_settings == {"fast": 3, "slow": 10}
    quantity, price = float(traded(folder)[0][3]), float(traded(folder)[0][4])
    assert 0.09 < quantity * price / 100_000 <= 0.1
    # The baseline puts in everything, as it comes, and pays the run's costs.
    own, other = (json.loads((f.path / "metrics.json").read_text())["columns"] for f in (folder, plain))
    held, held_plain = (next(c for c in columns if c["name"] == "buy-and-hold") for columns in (own, other))
    assert held["metrics"]["exposure"] == pytest.approx(held_plain["metrics"]["exposure"], abs=0.01)
    assert held["metrics"]["total_return"] < held_plain["metrics"]["total_return"]
    assert "costs retail commission_bps=5 · sizer fraction fraction=0.1" in folder.report.read_text()
    assert replay_run(folder).digest == manifest.run_digest
    config_without = manifest.config.model_copy(update={"settings": manifest.config.agent_settings})
    without = manifest.model_copy(update={"config": config_without})
    assert trial_of_run(manifest).settings != trial_of_run(without).settings
    real, plainly = (rescore(f).column("varve") for f in (folder, plain))
    assert real.costs > plainly.costs > 0
    compared = compare([read_entrant(folder), read_entrant(plain)])
    assert len({column.name for column in compared.held}) == 2
    assert "costs=retail commission_bps=5" in compared.runs[0].name


def test_a_stopped_run_goes_on_with_them(varve_home):
    def stop(record, done, total):
        if done == 10:
            raise KeyboardInterrupt

    settings = config(sizer="fraction", settings={**SET, "sizer": {"fraction": 0.1, "weight": 0.5}})
    whole = run_backtest(settings).read().run_digest
    with pytest.raises(KeyboardInterrupt):
        run_backtest(settings, on_step=stop)
    stopped = unfinished_run(settings)
    given = {"settings": {"sizer": {"fraction": 0.1}}}
    assert resume_run(stopped, given=given).read().run_digest == whole


def test_a_search_pays_them(varve_home):
    tuned = {"start": date(2023, 9, 1), "end": date(2023, 10, 31), "tune": True}
    dear = prepare(config(**tuned, settings={"costs": {"commission_bps": 500}}))
    cheap = prepare(config(**tuned))
    assert [t.score for t in dear.search.found.trials] != [t.score for t in cheap.search.found.trials]


def test_a_sweep_varies_them(tmp_path):
    file = tmp_path / "sweep.toml"
    file.write_text(
        '[run]\nticker = "TSLA"\nagent = "sma-cross"\nsizer = "fraction"\n'
        "[vary]\nsettings.sizer.fraction = [0.1, 0.2]\n"
    )
    assert [run.sizer_settings["fraction"] for run in read_sweep(file).runs] == [0.1, 0.2]
    file.write_text(file.read_text().replace("sizer.fraction", "sizer.fractoin"))
    with pytest.raises(SettingError, match="fractoin"):
        read_sweep(file)
