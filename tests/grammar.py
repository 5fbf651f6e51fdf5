"""Sentences of a small grammar, and a small transformer that reads them."""

import numpy as np
import torch
from torch import nn

LENGTH = 8

# The mood of a sentence is that of its adjective, turned by "not" and weakened by "rather".
SUBJECTS = ["the film", "a story", "this play", "her song"]
ADJECTIVES = {"superb": 2.0, "fine": 1.0, "dull": -1.0, "awful": -2.0}


def make_sentences(n_rows, seed=0):
    """Return sentences (n_rows, 1), and the mood of each, a number."""
    rng = np.random.RandomState(seed)
    texts, moods = [], np.empty(n_rows)
    for row in range(n_rows):
        adjective = rng.choice([*ADJECTIVES])
        turned, weakened = (rng.uniform(size=2) < 0.4).astype(int)
        words = [rng.choice(SUBJECTS), "is", *["not"] * turned, *["rather"] * weakened, adjective]
        texts.append(" ".join(words))
        moods[row] = mood_of(texts[row])
    return np.array(texts, dtype=object)[:, None], moods


def save_small_transformer(folder):
    """Write a transformer of random weights and its tokeniser to a folder."""
    import tokenizers
    import transformers

    words = "[PAD] [UNK] the film a story this play her song is not rather superb fine dull awful"
    ids = {word: number for number, word in enumerate(words.split())}
    own = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, unk_token="[UNK]"))
    own.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    own.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=3, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=LENGTH, pad_token_id=0,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder)


def members_of(X, n_members=5):
    """Logits (n_rows, 2, n_members) of members, each a function of its own of mood and length."""
    moods = np.array([mood_of(row[0]) for row in X])
    draws = np.random.RandomState(1).standard_normal((2, n_members))
    length = np.array([len(row[0].split()) for row in X]) - 5.5
    second = moods[:, None] * (1 + 0.3 * draws[0]) + 0.3 * length[:, None] * draws[1]
    return np.stack([0 * second, second], axis=1)


def mood_of(text):
    """Return the mood of a sentence of the grammar."""
    words = text.split()
    return ADJECTIVES[words[-1]] * (-1) ** words.count("not") * 0.5 ** words.count("rather")


class SmallTransformer(nn.Module):
    """One layer of attention on embeddings, and the mean over tokens."""

    def __init__(self, length, n_tokens=20, width=16):
        super().__init__()
        self.tokens = nn.Embedding(n_tokens, width, padding_idx=0)
        self.places = nn.Parameter(0.1 * torch.randn(length, width))
        self.layer = nn.TransformerEncoderLayer(
            width, 2, dim_feedforward=32, dropout=0.0, batch_first=True
        )

    def forward(self, X):
        is_padding = X == 0
        hidden = self.layer(self.tokens(X) + self.places, src_key_padding_mask=is_padding)
        weights = (~is_padding).to(hidden)[..., None]
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


class LowRank(nn.Module):
    """A frozen linear layer, and an adapter of low rank that is trained."""

    def __init__(self, base, rank=2):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, X):
        return self.base(X) + self.up(self.down(X))


class AdaptedTransformer(nn.Module):
    """A base that is the same in every call, with an adapter of low rank."""

    def __init__(self, length, base_seed=0):
        super().__init__()
        state = torch.get_rng_state()
        torch.manual_seed(base_seed)
        self.base = SmallTransformer(length, n_tokens=2000).requires_grad_(False)
        torch.set_rng_state(state)
        self.adapter = LowRank(nn.Linear(16, 16))
        with torch.no_grad():  # a part of the base, and no draw
            self.adapter.base.weight.copy_(torch.eye(16))
            self.adapter.base.bias.zero_()

    def forward(self, X):
        return self.adapter(self.base(X))
