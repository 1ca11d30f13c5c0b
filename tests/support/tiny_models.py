# ruff: noqa: E501
"""Causal language models of a few thousand numbers, made on disk: each family's template, random weights."""

TEXTS = [
    "Ticker: TSLA Session: 2024-01-03 (Wednesday), ended; decision at 2024-01-03T14:00:00Z Position: flat",
    '{"name": "decide", "arguments": {"action": "BUY", "confidence": 50, "rationale": "", "cited_memories"',
    "Memories, best match first in each layer. M1 | 2024-01-02 | news | Shares rise after record quarter.",
    "<<<MEMORY_SHORT none MEMORY_SHORT>>> <<<NEWS NEWS>>> recall_memory price_history indicator query tier",
    "You are FinMem, a trading agent with layered memory. You trade one instrument, once per session.",
]
HERMES_TEMPLATE = """{%- if tools %}<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content }}

{% endif %}# Tools
<tools>{% for tool in tools %}
{{ tool | tojson }}{% endfor %}
</tools>
For each call return <tool_call>
{"name": <name>, "arguments": <object>}
</tool_call><|im_end|>
{% elif messages[0].role == 'system' %}<|im_start|>system
{{ messages[0].content }}<|im_end|>
{% endif %}{% for message in messages %}{% if message.role == 'system' and loop.first %}{% elif message.role == 'tool' %}<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% else %}<|im_start|>{{ message.role }}
{{ message.content }}{% for call in message.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
LLAMA_TEMPLATE = """{{ bos_token }}{% for message in messages %}{% if message.role == 'tool' %}<|start_header_id|>ipython<|end_header_id|>

{{ message.content | tojson }}<|eot_id|>{% elif message.tool_calls %}<|start_header_id|>assistant<|end_header_id|>

{% set call = message.tool_calls[0].function %}{"name": "{{ call.name }}", "parameters": {{ call.arguments | tojson }}}<|eot_id|>{% else %}<|start_header_id|>{{ message.role }}<|end_header_id|>

{{ message.content }}{% if message.role == 'system' and tools %}
Respond in the format {"name": function name, "parameters": dictionary}.
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}{% endif %}<|eot_id|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>

{% endif %}"""
MISTRAL_TEMPLATE = """{{ bos_token }}{% for message in messages %}{% if message.role == 'assistant' and message.tool_calls %}[TOOL_CALLS] [{% for call in message.tool_calls %}{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}{% endfor %}]</s>{% elif message.role == 'assistant' %} {{ message.content }}</s>{% elif message.role == 'tool' %}[TOOL_RESULTS] {{ message.content }}[/TOOL_RESULTS]{% else %}{% if tools and loop.last %}[AVAILABLE_TOOLS] {{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}[INST] {{ message.content }}[/INST]{% endif %}{% endfor %}"""
PLAIN_TEMPLATE = """{{ bos_token }}{% for message in messages %}{% if message.role not in ['system', 'user', 'assistant'] %}{{ raise_exception('no such role') }}{% endif %}<|{{ message.role }}|>{{ message.content }}</s>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"""
FAMILIES = {
    "hermes": (HERMES_TEMPLATE, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], "<|im_end|>"),
    "llama3": (
        LLAMA_TEMPLATE,
        ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|python_tag|>"],
        "<|eot_id|>",
    ),
    "mistral": (
        MISTRAL_TEMPLATE,
        ["<s>", "</s>", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[AVAILABLE_TOOLS]", "[INST]", "[/INST]"],
        "</s>",
    ),
    "plain": (PLAIN_TEMPLATE, ["<s>", "</s>"], "</s>"),
}


def write_tiny_llm(
    folder, family="hermes", *, seed=0, architecture=None, scale=0.15, texts=TEXTS, vocabulary=512, **config
):
    """A decoder of two layers with a byte-level BPE tokenizer and the family's chat template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import (
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
        Qwen3Config,
        Qwen3ForCausalLM,
    )

    template, specials, end = FAMILIES[family]
    folder.mkdir(parents=True, exist_ok=True)
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    raw.train_from_iterator(texts * 2, trainer)
    if family == "hermes":
        raw.add_tokens(["<tool_call>", "</tool_call>"])  # ordinary tokens, as Qwen has them
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token=specials[0],
        eos_token=end,
        pad_token=specials[0],
        chat_template=template,
    )
    tokenizer.save_pretrained(folder)
    shape = {
        "vocab_size": len(tokenizer) + 3, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 64, "max_position_embeddings": 4096,
        "initializer_range": scale, "bos_token_id": 0, "eos_token_id": tokenizer.eos_token_id,
        "tie_word_embeddings": False,
    }  # fmt: skip
    architecture = architecture or ("qwen3" if family == "hermes" else "llama")
    kinds = {"qwen3": (Qwen3Config, Qwen3ForCausalLM), "llama": (LlamaConfig, LlamaForCausalLM)}
    make_config, make_model = kinds[architecture]
    torch.manual_seed(seed)
    model = make_model(make_config(**{**shape, **config}))
    model.save_pretrained(folder)
    return folder
