"""What a reader must know before the figures, in words; and nothing where all is well."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.support.helpers import prepared
from varve.backtests.config import RunConfig
from varve.backtests.results.cautions import begin_cautions, failing, headline, wishes_sentence
from varve.envs.desk import Became


def step(*became, failure=None, stages=()):
    notes = [SimpleNamespace(stage=name, state=state) for name, state in stages]
    return SimpleNamespace(became=became, failure=failure, decision=SimpleNamespace(stages=notes))


def test_the_first_line_names_agent_model_and_data():
    served = RunConfig.build(ticker="X", llm="openai:m@http://key@host")
    assert headline(served, "stored data: X", asks=True) == "finmem asks openai:m · stored data: X"
    rule = RunConfig.build(ticker="X", agent="sma-cross")
    assert headline(rule, "SYNTHETIC", asks=False) == "sma-cross asks no language model · SYNTHETIC"


def test_orders_that_were_carried_out_whole_need_no_word():
    filled = Became("X", "BUY", 10.0, 10.0, 0.0, "")
    again = Became("X", "BUY", 0.0, 0.0, 0.0, "already_there")
    nothing = Became("X", "SELL", 0.0, 0.0, 0.0, "nothing_held")
    assert wishes_sentence([step(filled), step(again), step(nothing), step()]) == ""


def test_wishes_that_were_not_carried_out_are_summed_up_by_reason():
    none = Became("X", "BUY", 0.0, 0.0, 0.0, "below_one_lot")
    text = wishes_sentence([step(none), step(none), step(Became("X", "BUY", 5.0, 5.0, 0.0, ""))])
    assert text.startswith("Orders wished for: 3; of these 2 made no order: it is less than one lot.")
    assert "a larger --cash" in text


def test_a_few_percent_that_the_account_could_not_pay_are_no_caution():
    assert wishes_sentence([step(Became("X", "BUY", 100.0, 97.0, 0.0, "cash_clipped"))]) == ""
    assert wishes_sentence([step(Became("X", "BUY", 100.0, 60.0, 0.0, "cash_clipped"))]) != ""


def test_what_was_worked_off_and_what_is_left_are_told():
    steps = [
        step(Became("X", "BUY", 150.0, 50.0, 100.0, "participation_capped")),
        step(Became("X", "HOLD", 100.0, 50.0, 50.0, "participation_capped")),
    ]
    text = wishes_sentence(steps)
    assert "1 filled only in part: more would be above the largest share of the volume" in text
    assert "in 1 more fills; 50 were still to be ordered at the end" in text


@pytest.mark.parametrize(("failed", "told"), [(1, False), (2, True)])
def test_more_than_a_tenth_of_failures_marks_a_run(failed, told):
    decisions = [step(failure="empty_reply" if i < failed else None) for i in range(10)]
    assert bool(failing([], decisions)) == told
    stages = [step(stages=[("news", "failed" if i < failed else "done")]) for i in range(10)]
    assert bool(failing([], stages)) == told
    assert bool(failing(stages, [])) == told


def test_skipped_stages_do_not_hide_failing_ones():
    days = [step(stages=[("news", "skipped")]) for _ in range(50)] + [step(stages=[("news", "failed")])]
    assert failing([], days) == ["The stage news failed 1 of 1 times: this is not the agent as it is meant."]


def test_an_agent_that_reads_says_so_on_data_without_news():
    assert begin_cautions(prepared("finmem", news=False)) == []
    assert begin_cautions(prepared("finmem")) == []
    assert begin_cautions(prepared("sma-cross")) == []
    run = prepared("finmem")
    bare = replace(run, data=replace(run.data, documents=()))
    assert "finmem reads news and filings, and these data hold none" in begin_cautions(bare)[0]
