"""A hosted model gives a request the same reply alone, in any batch, with and without known prefixes."""

import pytest

from tests.support.tiny_models import write_tiny_llm
from varve.errors import ModelError
from varve.finllm.engine.queue import GenerationRequest, ScoreRequest
from varve.finllm.local.schema_grammar import json_rule


@pytest.fixture(scope="module", params=["qwen3", "llama"])
def loaded(request, tmp_path_factory):
    from varve.finllm.engine.load import load
    from varve.finllm.engine.model_folder import read_folder

    folder = tmp_path_factory.mktemp("llm") / request.param
    write_tiny_llm(folder, architecture=request.param, max_position_embeddings=400)
    return load(read_folder(folder), None, device="cpu")


@pytest.fixture
def host(loaded):
    from varve.finllm.engine.torch_worker import HostedModel

    return HostedModel(*loaded)


def prompt(host, *, shared, own, seed=0):
    """Token ids: so many that all prompts have, and so many of its own."""
    import torch

    drawn = torch.Generator().manual_seed(1000 + seed)
    tail = torch.randint(5, 300, (own,), generator=drawn).tolist()
    return tuple(7 + (place * 31) % 200 for place in range(shared)) + tuple(tail)


def requests(host, **more):
    sizes = [(0, 5), (60, 3), (60, 90), (60, 1), (33, 40), (0, 120), (60, 50)]
    return [
        GenerationRequest(prompt(host, shared=shared, own=own, seed=place), max_new_tokens=24, **more)
        for place, (shared, own) in enumerate(sizes)
    ]


def fresh(host):
    from varve.finllm.engine.torch_worker import HostedModel

    return HostedModel(host.model, host.tokenizer)


def always(_index):
    return True


GRAMMAR = 'start: "{\\"a\\": \\"" /[a-z ]{0,30}/ "\\", \\"b\\": " ("true" | "false" | "12345") "}"'


@pytest.mark.parametrize(
    "more", [{}, {"temperature": 1.5, "seed": 3}, {"grammar": GRAMMAR}], ids=["greedy", "drawn", "grammar"]
)
def test_a_batch_of_mixed_lengths_says_what_each_says_alone(host, more):
    asked = requests(host, **more)
    alone = [fresh(host).generate([one], always)[0] for one in asked]
    together = host.generate(asked, always)
    assert [one.token_ids for one in together] == [one.token_ids for one in alone]
    assert [one.finish for one in together] == [one.finish for one in alone]
    again = host.generate(asked[::-1], always)[::-1]
    assert [one.token_ids for one in again] == [one.token_ids for one in alone]
    assert len({one.token_ids for one in alone}) > 1


def test_greedy_replies_are_those_of_transformers(host):
    import torch

    for one, made in zip(requests(host)[:4], host.generate(requests(host)[:4], always), strict=True):
        ids = torch.tensor([one.prompt_ids])
        expected = host.model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24, pad_token_id=0
        )
        assert list(made.token_ids) == expected[0, ids.shape[1] :].tolist()


def test_constrained_replies_are_the_likeliest_of_what_the_grammar_allows(host):
    import torch

    from varve.finllm.engine.rows import Row, choose

    opened = GRAMMAR.replace('"{', '"reply: {')
    asked = requests(host, grammar=GRAMMAR)[:4] + requests(host, grammar=opened)[:4]
    made = host.generate(asked, always)
    for one, reply in zip(asked, made, strict=True):
        row = Row(0, one, host.constrainer, host.end_ids)
        while not row.ended:
            ids = torch.tensor([[*one.prompt_ids, *row.out]])
            with torch.inference_mode():
                choose(row, host.model(input_ids=ids, use_cache=False).logits[0, -1].float(), None)
        assert list(reply.token_ids) == row.out


def test_a_prefix_is_computed_once_and_reused_on_later_days(host):
    first, second = (
        GenerationRequest(prompt(host, shared=80, own=own, seed=own), max_new_tokens=8) for own in (9, 14)
    )
    assert host.generate([first], always)[0].reused_tokens == 0
    assert host.generate([second], always)[0].reused_tokens == 80
    assert host.generate([second], always)[0].reused_tokens == len(second.prompt_ids) - 1


def test_a_small_prefix_cache_forgets_the_oldest_and_changes_nothing(loaded):
    from varve.finllm.engine.torch_worker import HostedModel

    small, large = HostedModel(*loaded, prefix_bytes=20_000), HostedModel(*loaded)
    for place in range(4):
        one = GenerationRequest(prompt(large, shared=30, own=20, seed=place), max_new_tokens=6)
        assert small.generate([one], always)[0].token_ids == large.generate([one], always)[0].token_ids
    assert small.prefixes.bytes <= 20_000
    assert len(small.prefixes) < len(large.prefixes) == 4


def test_seeds_draw_differently_and_the_same_seed_the_same(host):
    one = prompt(host, shared=10, own=10)
    drawn = [
        host.generate([GenerationRequest(one, 12, temperature=2.0, seed=seed)], always)[0].token_ids
        for seed in (1, 2, 1)
    ]
    assert drawn[0] == drawn[2] != drawn[1]


def test_a_free_text_is_closed_before_the_token_limit(host):
    fields = {"why": {"type": "string"}, "n": {"enum": [1, 2]}}
    shape = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    grammar = f"start: {json_rule(shape)}"
    for seed in range(6):
        made = host.generate(
            [GenerationRequest(prompt(host, shared=5, own=9, seed=seed), 60, grammar=grammar)], always
        )[0]
        assert made.finish == "stop", made.text
        assert made.text.endswith("}")


def test_a_row_that_nobody_wants_any_more_is_dropped(host):
    asked = requests(host)[:3]
    made = host.generate(asked, lambda index: index != 1)
    assert made[1] is None
    assert made[0].token_ids == fresh(host).generate(asked[:1], always)[0].token_ids


def test_what_does_not_fit_the_context_is_refused_with_numbers(host):
    with pytest.raises(
        ModelError, match=r"390 tokens of prompt and 24 of reply do not fit .* context of 400"
    ):
        host.check(GenerationRequest((1,) * 390, 24))
    with pytest.raises(ModelError, match="grammar cannot be compiled"):
        host.check(GenerationRequest((1,), 4, grammar="start: nothing"))
    with pytest.raises(ModelError, match="empty prompt"):
        host.check(ScoreRequest(((),), ((1,),)))


def test_scores_are_the_models_log_probabilities_alone_and_together(host):
    import torch

    asked = [
        ScoreRequest(
            tuple(prompt(host, shared=70, own=own, seed=own) for own in (3, 4, 5)), ((10, 11, 12),) * 3
        ),
        ScoreRequest((prompt(host, shared=0, own=40),), ((20, 21),)),
    ]
    for one, found in zip(asked, host.score(asked), strict=True):
        for ids, labels, row in zip(one.prompts, one.labels, found.log_probs, strict=True):
            logits = host.model(torch.tensor([ids])).logits[0, -1]
            expected = torch.log_softmax(logits, -1)[list(labels)].tolist()
            assert list(row) == pytest.approx(expected, abs=1e-4)
    exact = ScoreRequest(asked[0].prompts, asked[0].labels, doubtful=lambda table: True)
    assert host.score([exact, asked[1]])[0].log_probs == fresh(host).score([exact])[0].log_probs


def test_a_row_alone_is_the_same_to_the_bit_whatever_was_computed_before(host):
    import torch

    from varve.finllm.engine.torch_worker import PIECE

    near = PIECE + 50
    sizes = [(near, 70), (near, 20), (2 * PIECE + 9, 1), (near, 300), (40, 8), (PIECE - 20, 20)]
    rows = [torch.tensor(prompt(host, shared=shared, own=own, seed=own)).numpy() for shared, own in sizes]
    with torch.inference_mode():
        expected = [fresh(host)._alone(row) for row in rows]
        host.generate([GenerationRequest(tuple(row[: PIECE + 60]), 4) for row in rows[:2]], always)
        assert len(host.pieces) == 1  # the stem of both
        begun, forward = [], host.forward
        host.forward = lambda cache, ids, positions, valid: (
            begun.append(int(positions[0, 0])) or forward(cache, ids, positions, valid)
        )
        for place in (0, 1, 2, 3, 4, 5, 2, 0):
            assert torch.equal(host._alone(rows[place]), expected[place])
        # Bits of so small a model do not show where a pass begins; those of a real one may.
        assert begun
        assert all(start % PIECE == 0 for start in begun)
        ids = torch.from_numpy(rows[0])[None]
        plain = host.model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1]
    assert torch.allclose(expected[0], plain, atol=1e-4)
    assert host.pieces.longest(rows[1])[0] >= PIECE


def test_a_long_row_does_not_make_the_others_long():
    from varve.finllm.engine.torch_worker import _alike

    assert _alike([]) == []
    assert _alike([5, 3, 4]) == [[1, 2, 0]]
    assert _alike([10, 100, 11, 12, 10]) == [[0, 4, 2, 3], [1]]
    assert _alike([1, 1000, 900, 1]) == [[0, 3], [2, 1]]


def test_a_near_tie_is_decided_by_the_row_alone(host):
    import torch

    from varve.finllm.engine.rows import Row, choose

    logits = torch.zeros(host.vocabulary)
    logits[5], logits[9] = 3.0, 3.0001
    alone = torch.zeros(host.vocabulary)
    alone[5] = 1.0
    for second, expected in ((3.0001, 5), (3.1, 9)):
        logits[9] = second
        row = Row(0, GenerationRequest((1,), 4), host.constrainer, frozenset())
        choose(row, logits, lambda _row: alone)
        assert row.out == [expected]


def test_models_with_windows_go_row_by_row_and_say_the_same(tmp_path):
    from varve.finllm.engine.load import load
    from varve.finllm.engine.model_folder import read_folder
    from varve.finllm.engine.torch_worker import HostedModel

    folder = write_tiny_llm(
        tmp_path / "w", use_sliding_window=True, sliding_window=16, max_window_layers=1,
        layer_types=["full_attention", "sliding_attention"],
    )  # fmt: skip
    host = HostedModel(*load(read_folder(folder), None, device="cpu"))
    assert not host.batchable
    asked = [GenerationRequest(prompt(host, shared=20, own=own, seed=own), 10) for own in (3, 30)]
    import torch

    for one, made in zip(asked, host.generate(asked, always), strict=True):
        ids = torch.tensor([one.prompt_ids])
        expected = host.model.generate(ids, do_sample=False, max_new_tokens=10, pad_token_id=0)
        assert list(made.token_ids) == expected[0, ids.shape[1] :].tolist()
