"""nano as shipped: its bars on the committed held-out rows, constrained replies, and a run on it."""

import json
import re
from datetime import date

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from tests.support.helpers import prepared, stage_forms
from varve.agents.tools import TOOL_SCHEMAS
from varve.backtests.simulate.steps import simulate
from varve.errors import NoDataError, SettingError
from varve.finllm.chat.open_model import open_model
from varve.finllm.engine.queue import GenerationRequest
from varve.finllm.nano.chat_model import _reasons_first
from varve.finllm.nano.shipped import WEIGHTS
from varve.finllm.nano.training.evaluate import bag_of_words, fits, measure, plain_generate
from varve.finllm.nano.training.heldout import read_heldout
from varve.finllm.nano.training.pipeline import EVALUATION, QUICK, build
from varve.finllm.replies.decide import decide_tool_schema, explain_tool_schema
from varve.types import Action

ACTION_BARS = {"fresh": 0.93, "subjects": 0.88, "wording": 0.75}
STAGE_BAR = 0.6
SAMPLE = 24


@pytest.fixture(scope="module")
def generate():
    import torch
    from tokenizers import Tokenizer
    from transformers import Qwen3ForCausalLM

    model = Qwen3ForCausalLM.from_pretrained(str(WEIGHTS), dtype=torch.float32).eval()
    return plain_generate(model, Tokenizer.from_file(str(WEIGHTS / "tokenizer.json")))


def rows_of(split, count=None):
    return [row for row in read_heldout()[0] if row.split == split][:count]


def shares(generate, split, count=None):
    rows = rows_of(split, count)
    return measure(rows, generate([row.prompt for row in rows]))


@pytest.mark.parametrize("split", ACTION_BARS)
def test_bars_on_a_sample_of_the_held_out_rows(generate, split):
    found = shares(generate, split, SAMPLE)
    assert found["valid"] >= 0.96, found
    assert found["right_tool"] >= 0.96, found
    assert found["cited_exist"] == 1.0, found
    assert found["action_accuracy"] >= ACTION_BARS[split] - 0.12, found


def test_letters_and_stages_on_a_sample_of_the_held_out_rows(generate):
    # Which letter is not held to a bar: it learned no more than to answer HOLD, as the card says.
    assert shares(generate, "letters", SAMPLE)["valid"] == 1.0
    found = shares(generate, "stages", SAMPLE)
    assert found["valid"] >= 0.9, found
    assert found["action_accuracy"] >= STAGE_BAR - 0.2, found


@pytest.mark.slow
def test_bars_on_all_held_out_rows(generate):
    rows = {split: rows_of(split) for split in ("fresh", "subjects", "wording", "long")}
    found = {split: measure(of, generate([row.prompt for row in of])) for split, of in rows.items()}
    for split, bar in ACTION_BARS.items():
        assert found[split]["valid"] >= 0.99, found
        assert found[split]["right_tool"] >= 0.99, found
        assert found[split]["cited_exist"] == 1.0, found
        assert found[split]["action_accuracy"] >= bar, found
        assert found[split]["action_accuracy"] >= bag_of_words(rows[split]) + 0.10, found
    assert found["long"]["action_accuracy"] >= found["fresh"]["action_accuracy"] - 0.05, found


def constrained(rows):
    """Replies of the engine under the grammar that a run would give it."""
    model = open_model("nano")
    labels = [f"M{number}" for number in range(1, 61)]
    bound = {
        **{schema["function"]["name"]: schema for schema in TOOL_SCHEMAS},
        **{form.name: form.schema([f"N{n}" for n in range(1, 21)]) for form in stage_forms().values()},
        "decide": _reasons_first(decide_tool_schema(tuple(Action), labels)),
        "explain": explain_tool_schema(labels),
    }
    waiting = []
    for row in rows:
        found = re.findall(r"^[MN]\d+", row.prompt, re.MULTILINE)
        shown = HumanMessage("\n".join(f"{label} | " for label in found))
        grammar = model._grammar([shown], [bound[name] for name in row.tools], "any", row.tools[-1])
        ids = model._host.tokenizer(row.prompt, add_special_tokens=False)["input_ids"]
        waiting.append(model.engine.submit(GenerationRequest(tuple(ids), model.max_new_tokens, grammar)))
    return [one.result().text for one in waiting]


def test_constrained_replies_are_all_valid():
    rows = [row for split in ("wording", "long", "stages") for row in rows_of(split, 6)]
    found = measure(rows, constrained(rows))
    assert (found["valid"], found["cited_exist"]) == (1.0, 1.0), found


@pytest.mark.slow
def test_all_constrained_replies_are_valid():
    rows = [row for row in read_heldout()[0] if row.split != "letters"]  # those are weighed, not written
    found = measure(rows, constrained(rows))
    assert (found["valid"], found["cited_exist"]) == (1.0, 1.0), found


def test_the_card_tells_what_was_measured():
    told = json.loads((WEIGHTS / EVALUATION).read_text())
    card = (WEIGHTS / "MODEL_CARD.md").read_text()
    assert told["heldout_sha256"] == read_heldout()[1]
    assert told["heldout_sha256"] in card
    assert "not an analyst" in card
    for split, found in told["splits"].items():
        assert f"| {split} | {found['rows']} |" in card
        assert f"{100 * found['action_accuracy']:.1f} %" in card
    size = (WEIGHTS / "model.safetensors").stat().st_size
    assert size < 20e6


def test_a_run_on_nano_has_no_failure_and_at_most_two_calls_a_decision():
    days = {"warmup_start": date(2023, 2, 17), "start": date(2023, 3, 1), "end": date(2023, 3, 9)}
    run = prepared("finmem", "TSLA", llm="nano", **days)
    steps = simulate(run)
    trades = [step for step in steps if step.phase == "trade"]
    assert len(trades) >= 5
    for step in trades:
        assert step.decision.failure is None
        assert len(step.decision.tool_calls) <= 1
        assert all(call.error is None for call in step.decision.tool_calls)
        assert step.decision.confidence in range(50, 100, 5)
    assert any(step.decision.tool_calls for step in trades)
    assert any(step.decision.cited_memories for step in trades)


def test_a_run_of_finagent_on_nano_does_every_stage():
    days = {"warmup_start": date(2023, 2, 24), "start": date(2023, 3, 1), "end": date(2023, 3, 9)}
    steps = simulate(prepared("finagent", "TSLA", llm="nano", **days))
    notes = [note for step in steps for note in step.decision.stages]
    assert {note.state for note in notes} == {"done", "skipped"}
    done = {note.stage for note in notes if note.state == "done"}
    assert done == {"intelligence", "past_intelligence", "low_reflection", "high_reflection", "decide"}
    calls = [call for step in steps for call in step.model_calls]
    for call in calls:
        (asked, *more) = call.reply["tool_calls"]
        assert not more
        if asked["name"] == "summarise_news":
            shown = re.findall(r"^(N\d+) \| ", str(call.messages[1]["content"]), re.MULTILINE)
            assert [item["item"] for item in asked["args"]["items"]] == shown[-6:]
    assert all(step.decision.failure is None for step in steps)
    assert any(step.decision.cited_memories for step in steps)


def test_weighed_actions_are_those_that_would_be_written():
    model, days = open_model("nano"), rows_of("fresh", 30)
    weighing = model.with_scoring(abstain_below=90, abstain_as="FLAT")
    tools = [decide_tool_schema(tuple(Action), [f"M{n}" for n in range(1, 61)])]
    sure, unsure = 0, 0
    for row in days:
        lines = re.findall(r"^(M\d+) (?!old|report)(.+) M\d+$", row.prompt, re.MULTILINE)
        told = "\n".join(f"{label} | 2021-03-11 | news | {text}" for label, text in lines)
        day = "Ticker: ACME\nSession: 2021-03-12\nPosition: flat\nChanges: 10 sessions +1.00 %"
        said = [SystemMessage("Profile: risk_seeking"), HumanMessage(f"{day}\n<<<NEWS\n{told}\nNEWS>>>")]
        (written,) = model.bind_tools(tools, final="decide").invoke(said).tool_calls
        (weighed,) = weighing.bind_tools(tools, final="decide").invoke(said).tool_calls
        assert weighed["args"]["cited_memories"] == written["args"]["cited_memories"]
        assert written["args"]["rationale"] in weighed["args"]["rationale"]
        assert weighed["args"]["abstained"] is (weighed["args"]["confidence"] < 90)
        if weighed["args"]["abstained"]:
            unsure += 1
            assert weighed["args"]["action"] == "FLAT"
        else:
            sure += 1
            assert weighed["args"]["action"] == written["args"]["action"]
    assert sure > 20


def test_reasons_come_before_the_action_under_constraint():
    model = open_model("nano")
    day = "Ticker: ACME\nSession: 2021-03-12\nPosition: flat\nChanges: 10 sessions +4.00 %\n<<<NEWS\n"
    day += "M1 | 2021-03-11 | news | Acme raises full-year guidance after record battery sales\nNEWS>>>"
    bound = model.bind_tools([decide_tool_schema(tuple(Action), ["M1", "M2"])], final="decide")
    (call,) = bound.invoke([SystemMessage("Profile: risk_seeking"), HumanMessage(day)]).tool_calls
    assert list(call["args"]) == ["rationale", "action", "confidence", "cited_memories"]
    assert set(call["args"]["cited_memories"]) <= {"M1"}
    assert call["args"]["action"] in set(Action)


def test_replies_are_judged_strictly():
    row = next(row for row in rows_of("fresh") if row.target.name == "decide")
    good = dict(row.target.arguments)
    assert fits("decide", good, row)
    assert not fits("decide", {**good, "action": "WAIT"}, row)
    assert not fits("decide", {**good, "confidence": 51}, row)
    assert not fits("decide", {name: value for name, value in good.items() if name != "rationale"}, row)
    assert not fits("explain", {"rationale": "a", "cited_memories": []}, row)
    assert measure([row], [row.target.text])["word_for_word"] == 1.0
    assert measure([row], [row.target.text.removesuffix("</tool_call>")])["valid"] == 0.0
    wrong = row.target.text.replace('"cited_memories": [', '"cited_memories": ["M59", ').replace(", ]", "]")
    assert measure([row], [wrong])["cited_exist"] < 1.0


def test_nano_of_a_folder_that_is_not_there():
    with pytest.raises(NoDataError):
        open_model("nano:/no/such/folder")


@pytest.mark.slow
def test_quick_training_end_to_end(tmp_path):
    said = []
    found = build(tmp_path / "small", QUICK, say=said.append)
    assert found["splits"]["fresh"]["valid"] > 0.5
    assert (tmp_path / "small" / "MODEL_CARD.md").is_file()
    assert open_model(f"nano:{tmp_path / 'small'}")
    assert any("tokenizer" in line for line in said)
    with pytest.raises(SettingError):
        build(tmp_path / "small", QUICK, say=said.append)
