"""A language model of random weights, small enough to be written anew for every run (GGUF, llama architecture)."""

from pathlib import Path

import gguf
import numpy as np

WIDTH, HIDDEN, HEADS, LAYERS = 64, 128, 4, 2
CONTEXT = 1 << 17
_WORDS = (
    "water river gate mill wheel stream stone bridge meadow light morning evening quiet steady narrow open clear"
    " gather carry turn follow rise fall under over along between été straße вода 水門 ゲート 🌊 na\u0308ive"
)
_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def write(path: Path, seed: int = 1) -> None:
    """The same bytes for the same seed."""
    rng = np.random.default_rng(seed)
    special = ["<unk>", "<s>", "</s>"]
    data = [f"<0x{byte:02X}>" for byte in range(256)]
    # In SentencePiece's spelling a word begins with the mark that stands for the space before it.
    words = ["▁" + word for word in _WORDS.split()]
    tokens = special + data + words
    kinds = (
        [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
        + [gguf.TokenType.BYTE] * len(data)
        + [gguf.TokenType.NORMAL] * len(words)
    )
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(_TEMPLATE)

    def random(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    output = random(len(tokens), WIDTH)
    # Logits of zero, which some word always beats: it speaks in words, and never ends by itself.
    output[: len(special) + len(data)] = 0
    writer.add_tensor("token_embd.weight", random(len(tokens), WIDTH))
    writer.add_tensor("output.weight", output)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, dtype=np.float32))
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"{block}{name}.weight", np.ones(WIDTH, dtype=np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"{block}{name}.weight", random(WIDTH, WIDTH) / 8)
        for name in ("ffn_gate", "ffn_up"):
            writer.add_tensor(f"{block}{name}.weight", random(HIDDEN, WIDTH) / 8)
        writer.add_tensor(f"{block}ffn_down.weight", random(WIDTH, HIDDEN) / 8)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
