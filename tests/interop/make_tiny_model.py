"""Write a tiny Llama with random weights into a folder: ``python make_tiny_model.py FOLDER``.

Runs in mlx-lm's own environment, which brings numpy, safetensors and tokenizers; torch is not
needed. Its vocabulary is the 256 bytes and four special tokens, so it babbles.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

_HIDDEN, _INNER, _LAYERS, _HEADS, _KEY_HEADS = 64, 128, 2, 4, 2
_PER_HEAD = _HIDDEN // _HEADS
_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def make_tokenizer(folder: Path) -> int:
    """Write a tokenizer that knows bytes only; return the size of its vocabulary."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["<unk>", "<s>", "</s>", "<pad>", *letters]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    return len(vocabulary)


def make_weights(folder: Path, words: int) -> None:
    """Write random weights, the same ones every time."""
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (words, _HIDDEN),
        "model.norm.weight": (_HIDDEN,),
        "lm_head.weight": (words, _HIDDEN),
    }
    for number in range(_LAYERS):
        layer = f"model.layers.{number}"
        shapes |= {
            f"{layer}.self_attn.q_proj.weight": (_HEADS * _PER_HEAD, _HIDDEN),
            f"{layer}.self_attn.k_proj.weight": (_KEY_HEADS * _PER_HEAD, _HIDDEN),
            f"{layer}.self_attn.v_proj.weight": (_KEY_HEADS * _PER_HEAD, _HIDDEN),
            f"{layer}.self_attn.o_proj.weight": (_HIDDEN, _HEADS * _PER_HEAD),
            f"{layer}.mlp.gate_proj.weight": (_INNER, _HIDDEN),
            f"{layer}.mlp.up_proj.weight": (_INNER, _HIDDEN),
            f"{layer}.mlp.down_proj.weight": (_HIDDEN, _INNER),
            f"{layer}.input_layernorm.weight": (_HIDDEN,),
            f"{layer}.post_attention_layernorm.weight": (_HIDDEN,),
        }
    dice = np.random.default_rng(0)
    weights = {
        name: np.ones(shape) if len(shape) == 1 else dice.normal(0, 0.02, shape)
        for name, shape in shapes.items()
    }
    save_file(
        {name: values.astype("float32") for name, values in weights.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )


def make_configuration(folder: Path, words: int) -> None:
    """Write what transformers and mlx-lm want to know."""
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
    config = special | {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": words,
        "hidden_size": _HIDDEN,
        "intermediate_size": _INNER,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _HEADS,
        "num_key_value_heads": _KEY_HEADS,
        "head_dim": _PER_HEAD,
        "hidden_act": "silu",
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "dtype": "float32",
        "torch_dtype": "float32",
        "attention_bias": False,
        "mlp_bias": False,
    }
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "chat_template": _TEMPLATE,
        "model_max_length": 2048,
    }
    for name, fields in {
        "config": config,
        "generation_config": special,
        "tokenizer_config": tokenizer_config,
    }.items():
        (folder / f"{name}.json").write_text(json.dumps(fields, indent=1))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    size = make_tokenizer(target)
    make_weights(target, size)
    make_configuration(target, size)
