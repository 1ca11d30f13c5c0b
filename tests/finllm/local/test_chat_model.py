"""The chat model of this process: what it refuses, what identifies it, and that it is an ordinary one."""

import asyncio
import gc
import json
import shutil
import weakref

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel

from tests.support.tiny_models import write_tiny_llm
from varve.errors import BadFileError, ModelError, NoDataError, SettingError, UnknownNameError, UsageError
from varve.finllm.chat.open_model import deciding, model_identity, open_model
from varve.finllm.engine import load as engine_load
from varve.finllm.engine.model_folder import read_folder
from varve.finllm.local.chat_model import LocalModel
from varve.finllm.replies.decide import decide_tool_schema, parse_reply
from varve.types import Action, FailureReason

LABELS = [f"M{place}" for place in range(1, 6)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_llm(tmp_path_factory.mktemp("llm") / "tiny", max_position_embeddings=1600)


@pytest.fixture
def broken(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def spoil_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")


def no_template(folder):
    (folder / "chat_template.jinja").unlink(missing_ok=True)


def truncated(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def pickled(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (truncated, "is truncated: .* bytes, .* expected"),
        (pickled, r"are pickled \(pytorch_model.bin\)"),
        (lambda folder: (folder / "model.safetensors").unlink(), "there are no weights"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"hello"), "no safetensors file"),
        (lambda folder: spoil_config(folder, architectures=["BertModel"]), "its architecture is BertModel"),
        (lambda folder: (folder / "config.json").write_text("{", "utf-8"), "config.json cannot be read"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer.json"),
        (no_template, "has no chat template"),
    ],
)
def test_a_folder_that_cannot_be_used_says_why_before_anything_is_loaded(broken, spoil, told):
    spoil(broken)
    with pytest.raises(BadFileError, match=told):
        open_model(f"hf:{broken}")


def test_a_folder_that_is_missing_is_said_and_nothing_is_downloaded(tmp_path):
    with pytest.raises(NoDataError, match="no model folder"):
        open_model(f"hf:{tmp_path / 'nowhere'}")
    with pytest.raises(NoDataError, match="nor a model of that id on this machine"):
        open_model("hf:someone/no-such-model")
    with pytest.raises(UsageError, match="needs a folder"):
        open_model("hf")


def test_weights_of_another_shape_are_refused_at_the_first_reply(broken):
    spoil_config(broken, num_hidden_layers=3, layer_types=["full_attention"] * 3)
    with pytest.raises(BadFileError, match="lack"):
        open_model(f"hf:{broken}").invoke("Hello")


def test_a_model_too_big_for_the_device_is_refused_with_numbers(folder, monkeypatch):
    monkeypatch.setattr(engine_load, "free_bytes", lambda device: 100_000)
    with pytest.raises(ModelError, match=r"too big for this device: .* parameters in float32 on cpu need"):
        engine_load.check_size(read_folder(folder), "cpu")


def test_settings_that_cannot_be_used(monkeypatch, folder):
    monkeypatch.setenv("VARVE_MODEL_MAX_TOKENS", "many")
    with pytest.raises(SettingError, match="VARVE_MODEL_MAX_TOKENS cannot be 'many'"):
        open_model(f"hf:{folder}")
    monkeypatch.setenv("VARVE_DEVICE", "tpu")
    with pytest.raises(SettingError, match="VARVE_DEVICE cannot be 'tpu'"):
        engine_load.chosen_device()


def test_the_weights_identify_a_model_and_the_folder_does_not(folder, broken, tmp_path):
    one, same = model_identity(open_model(f"hf:{folder}")), model_identity(open_model(f"hf:{broken}"))
    assert one["fingerprint"] == same["fingerprint"]
    assert len(one["settings"]["weights"]) == 64
    other = write_tiny_llm(tmp_path / "other", seed=1, max_position_embeddings=1600)
    assert model_identity(open_model(f"hf:{other}"))["fingerprint"] != one["fingerprint"]
    assert model_identity(open_model(f"hf:{folder}", seed=1))["fingerprint"] != one["fingerprint"]


def test_models_of_the_same_weights_share_an_engine(folder, broken):
    assert LocalModel(folder=str(folder)).engine is LocalModel(folder=str(broken)).engine


class Weather(BaseModel):
    """Weather of a place."""

    city: str
    degrees: int


def test_it_works_in_a_langchain_program(folder):
    model = LocalModel(folder=str(folder), max_new_tokens=60)
    chain = ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "{it}")]) | model
    reply = chain.invoke({"it": "Weather?"})
    assert reply.usage_metadata["output_tokens"] > 0
    assert asyncio.run(chain.ainvoke({"it": "Weather?"})).content == reply.content
    assert [one.content for one in chain.batch([{"it": "Weather?"}] * 2)] == [reply.content] * 2
    found = model.with_structured_output(Weather).invoke("Weather in Rome?")
    assert isinstance(found, Weather)


def test_tool_choice_is_kept(folder):
    model = LocalModel(folder=str(folder), max_new_tokens=60)
    tools = [Weather, decide_tool_schema(tuple(Action), LABELS)]
    for choice, expected in (("Weather", {"Weather"}), ("any", {"Weather", "decide"}), ("none", set())):
        made = model.bind_tools(tools, tool_choice=choice).invoke("Say something.")
        assert {call["name"] for call in made.tool_calls} <= expected
        assert bool(made.tool_calls) == bool(expected)
    with pytest.raises(UnknownNameError, match="unknown tool 'wether'"):
        model.bind_tools(tools, tool_choice="wether")


def test_a_reply_that_stops_at_the_token_limit_is_told_as_such(folder):
    model = LocalModel(folder=str(folder), max_new_tokens=6)
    reply = model.bind_tools([decide_tool_schema(tuple(Action), LABELS)]).invoke("Decide.")
    found = parse_reply(reply, allowed_actions=tuple(Action), known_memory_ids=LABELS)
    assert found.reason is FailureReason.TOKEN_LIMIT


def test_an_overflow_cuts_the_oldest_untrusted_lines_and_never_the_rules(folder):
    from varve.finllm.local.chat_template import CUT_LINE, cut_oldest

    lines = [f"M{place} | 2024-01-{place:02d} | news | {'shares rise ' * 70}" for place in range(1, 9)]
    said = [SystemMessage("Rules."), HumanMessage("\n".join(["Ticker: A", "<<<NEWS", *lines, "NEWS>>>"]))]
    model = LocalModel(folder=str(folder), max_new_tokens=40)
    reply = model.invoke(said)
    cut = reply.response_metadata["cut_items"]
    assert 0 < cut < 8
    left = said
    for _ in range(cut):
        left = cut_oldest(left)
    assert left[0] == said[0]
    assert CUT_LINE in left[1].text
    assert left[1].text.startswith("Ticker: A\n<<<NEWS\n")
    assert [line for line in lines if line in left[1].text] == lines[cut:]
    for _ in range(8 - cut):
        left = cut_oldest(left)
    assert cut_oldest(left) is None
    with pytest.raises(ModelError, match="do not fit the model's context of 1600"):
        model.invoke([SystemMessage("Rules. " * 900), HumanMessage("Decide.")])


def test_only_models_of_this_process_can_score(folder):
    with pytest.raises(UsageError, match="model 'scripted' cannot score"):
        deciding(open_model("scripted"), "score", 0, "HOLD")
    made = deciding(open_model(f"hf:{folder}"), "score", 30, "FLAT")
    assert (made.decide, made.abstain_below, made.abstain_as) == ("score", 30, "FLAT")


def test_an_adapter_is_checked_and_changes_replies(folder, tmp_path):
    peft = pytest.importorskip("peft")
    import torch
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(folder)
    made = peft.get_peft_model(base, peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    torch.manual_seed(0)
    for name, parameter in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=2.0)
    made.save_pretrained(tmp_path / "adapter")
    plain, tuned = open_model(f"hf:{folder}"), open_model(f"hf:{folder}+{tmp_path / 'adapter'}")
    assert model_identity(plain)["fingerprint"] != model_identity(tuned)["fingerprint"]
    plain.max_new_tokens = tuned.max_new_tokens = 12
    assert plain.invoke("Hello").content != tuned.invoke("Hello").content
    # By what they hold: the same adapter elsewhere shares the engine, one trained again does not.
    shutil.copytree(tmp_path / "adapter", tmp_path / "copy")
    assert open_model(f"hf:{folder}+{tmp_path / 'copy'}").engine is tuned.engine
    said = tuned.invoke("Hello").content
    for name, parameter in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=3.0)
    made.save_pretrained(tmp_path / "adapter")
    again = open_model(f"hf:{folder}+{tmp_path / 'adapter'}")
    again.max_new_tokens = 12
    assert again.engine is not tuned.engine
    assert again.invoke("Hello").content != said == tuned.invoke("Hello").content
    other = write_tiny_llm(tmp_path / "wide", hidden_size=64)
    with pytest.raises(BadFileError, match=r"adapter is for a model of width 32; .* has width 64"):
        open_model(f"hf:{other}+{tmp_path / 'adapter'}")
    with pytest.raises(NoDataError, match="no adapter folder"):
        open_model(f"hf:{folder}+{tmp_path / 'none'}")


def test_a_model_that_is_let_go_frees_its_weights_and_is_opened_again(tmp_path):
    folder = write_tiny_llm(tmp_path / "own", hidden_size=48)
    one, other = open_model(f"hf:{folder}"), open_model(f"hf:{folder}")
    one.max_new_tokens = other.max_new_tokens = 4
    said, engine = one.invoke("Hello").content, other.engine
    weights = weakref.ref(engine.worker.model)
    one.close()
    one.close()
    gc.collect()
    assert weights() is None
    with pytest.raises(ModelError, match="let go"):
        engine.submit(object())
    assert other.invoke("Hello").content == one.invoke("Hello").content == said
    assert other.engine is one.engine is not engine
    one.close()


def test_weights_that_change_while_they_are_opened_are_refused(tmp_path):
    folder = write_tiny_llm(tmp_path / "own", hidden_size=16)
    model = open_model(f"hf:{folder}")
    weights = folder / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(bytes(raw))
    with pytest.raises(BadFileError, match="was changed while it was opened"):
        model.invoke("Hello")
