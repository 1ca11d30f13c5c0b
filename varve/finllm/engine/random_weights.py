"""Decoders of random numbers in the shape of real ones, to measure a device without any weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.errors import ModelError, UnknownNameError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SHAPES: dict[str, dict[str, int]] = {
    "3m": {"hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 6, "num_key_value_heads": 2,
           "head_dim": 32, "intermediate_size": 512, "vocab_size": 4096, "tie_word_embeddings": True},
    "0.6b": {"hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16,
             "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 3072, "vocab_size": 151_936,
             "tie_word_embeddings": True},
    "8b": {"hidden_size": 4096, "num_hidden_layers": 36, "num_attention_heads": 32,
           "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 12_288, "vocab_size": 151_936,
           "tie_word_embeddings": False},
}  # fmt: skip
"""Qwen3's shapes of 0.6 and 8 billion parameters, and one of 3 million."""

CONTEXT = 8192
ROOM = 1.2
"""Memory beside the weights, as a factor."""
_SPECIAL = ("<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>")
_TEMPLATE = (
    "{%- if tools %}<|im_start|>system\n{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}"
    "<tool_call></tool_call><|im_end|>\n{% endif %}"
    "{%- for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def parameters_of(shape: str) -> int:
    """How many numbers a shape has.

    Raises:
        UnknownNameError: if there is no shape of that name.
    """
    if shape not in SHAPES:
        raise UnknownNameError("model shape", shape, SHAPES)
    one = SHAPES[shape]
    width, head = one["hidden_size"], one["head_dim"]
    heads, shared = one["num_attention_heads"], one["num_key_value_heads"]
    attention = 2 * width * heads * head + 2 * width * shared * head
    layer = attention + 3 * width * one["intermediate_size"] + 2 * width + 2 * head
    embeddings = one["vocab_size"] * width * (1 if one["tie_word_embeddings"] else 2)
    return int(one["num_hidden_layers"] * layer + embeddings + width)


def make_random(shape: str, device: str, *, seed: int = 0) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model of random numbers on a device (float32 on cpu, bfloat16 on cuda), and a tokenizer of bytes.

    Raises:
        UnknownNameError: if there is no shape of that name.
        ModelError: if it is too big for the device, before anything is made.
    """
    import torch
    from transformers import AutoModelForCausalLM, Qwen3Config

    from varve.finllm.engine.load import free_bytes

    width = 2 if device == "cuda" else 4
    needed, there = parameters_of(shape) * width * ROOM, free_bytes(device)
    if there is not None and needed > there:
        raise ModelError(
            f"a model of shape {shape} is too big for this device: {parameters_of(shape):,} parameters need "
            f"about {needed / 2**30:.1f} GiB, {there / 2**30:.1f} GiB are free",
            mend=f"measure a smaller shape: {', '.join(SHAPES)}",
        )
    torch.manual_seed(seed)
    config = Qwen3Config(**SHAPES[shape], max_position_embeddings=CONTEXT)
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")
    return model.eval(), byte_tokenizer(SHAPES[shape]["vocab_size"])


def byte_tokenizer(size: int) -> PreTrainedTokenizerBase:
    """A tokenizer of single bytes with a chat template, filled up to ``size`` tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*_SPECIAL, *alphabet]
    pieces += [f"<unused{number}>" for number in range(size - len(pieces))]
    made = Tokenizer(models.BPE(vocab={piece: place for place, piece in enumerate(pieces)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([*_SPECIAL])
    wrapped = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|im_end|>")
    wrapped.chat_template = _TEMPLATE
    return wrapped
