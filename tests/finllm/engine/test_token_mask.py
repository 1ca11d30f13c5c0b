"""Grammars of replies: what they let pass, and that forced text is split as the model learned it."""

import pytest

from tests.support.tiny_models import write_tiny_llm
from varve.agents.tools import TOOL_SCHEMAS
from varve.finllm.engine.token_mask import Constrainer
from varve.finllm.local.tool_formats import HERMES, calls_grammar
from varve.finllm.replies.decide import decide_tool_schema
from varve.types import Action

LABELS = ["M1", "M2", "M12"]
PIECES = [
    '{"name": "decide", "arguments": {"rationale": "',
    *(f'", "action": "{action}"' for action in Action),
    *(f', "confidence": {percent}' for percent in (5, 50, 55)),
    ', "cited_memories": ["', '", "', '"]}}', ', "cited_memories": []}}',
    '{"name": "news", "arguments": {"days": ',
]  # fmt: skip
DECIDE = (
    '<tool_call>\n{{"name": "decide", "arguments": {{"rationale": "{why}", "action": "{action}", '
    '"confidence": {confidence}, "cited_memories": [{cited}]}}}}\n</tool_call>'
)
GOOD = {"why": "Shares rise.", "action": "BUY", "confidence": 55, "cited": '"M1", "M12"'}
NEWS = '<tool_call>\n{"name": "news", "arguments": {"days": 16}}\n</tool_call>'


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from transformers import AutoTokenizer

    made = AutoTokenizer.from_pretrained(write_tiny_llm(tmp_path_factory.mktemp("llm") / "t"))
    made.add_tokens(PIECES)  # long pieces as one token, as small models have them
    return made


@pytest.fixture(scope="module")
def constrainer(tokenizer):
    return Constrainer(tokenizer, len(tokenizer), frozenset([tokenizer.eos_token_id]))


@pytest.fixture(scope="module")
def grammar(constrainer, tokenizer):
    def special(piece):
        number = tokenizer.convert_tokens_to_ids(piece)
        return number if constrainer.special(number) else None

    tools = [*TOOL_SCHEMAS, decide_tool_schema(tuple(Action), LABELS)]
    return calls_grammar(HERMES, tools, final="decide", special=special)


def passes(constrainer, tokenizer, grammar, text):
    """Whether the grammar lets the text's own tokens pass to an end, forced ones the same as its own."""
    ids, place = tokenizer(text, add_special_tokens=False)["input_ids"], 0
    ids.append(tokenizer.eos_token_id)
    matcher = constrainer.matcher(grammar)
    while place < len(ids) and not constrainer.over(matcher):
        forced = constrainer.forced(matcher)
        if forced:
            if forced != ids[place : place + len(forced)]:
                return False
            constrainer.consume(matcher, forced)
            place += len(forced)
            continue
        if not constrainer.mask(matcher, closing=False)[ids[place]]:
            return False
        constrainer.consume(matcher, ids[place : place + 1])
        place += 1
    return constrainer.over(matcher) and place >= len(ids) - 1


@pytest.mark.parametrize(
    "text",
    [
        DECIDE.format(**GOOD),
        DECIDE.format(**{**GOOD, "cited": ""}),
        DECIDE.format(**{**GOOD, "why": "Ein Verlust – 5 %; schade"}),
        *(DECIDE.format(**{**GOOD, "action": action.value, "confidence": 5}) for action in Action),
        NEWS,
        f"{NEWS}\n{NEWS}",
    ],
)
def test_good_replies_pass_in_their_own_tokens(constrainer, tokenizer, grammar, text):
    assert passes(constrainer, tokenizer, grammar, text)


@pytest.mark.parametrize(
    "text",
    [
        "BUY",
        DECIDE.format(**{**GOOD, "action": "YOLO"}),
        DECIDE.format(**{**GOOD, "confidence": 57}),
        DECIDE.format(**{**GOOD, "cited": '"M3"'}),
        DECIDE.format(**{**GOOD, "why": ""}),
        DECIDE.format(**GOOD) + "\n" + DECIDE.format(**GOOD),
        f"{NEWS}\n{DECIDE.format(**GOOD)}",
        NEWS.replace("16", "61"),
        NEWS.replace("news", "gossip"),
    ],
)
def test_bad_replies_do_not(constrainer, tokenizer, grammar, text):
    assert not passes(constrainer, tokenizer, grammar, text)
