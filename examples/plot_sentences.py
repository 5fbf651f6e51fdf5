"""
Sentences of a small grammar
============================

A teacher and its student read sentences, a column of strings. The teacher is a vote of models that
count words and pairs of words, each fitted to a bootstrap sample. The student is a small
transformer behind :class:`~sklearn_dlf.text.SentenceTokenizer`, and a search chooses its number of
factors. With a pre-trained transformer, :class:`~sklearn_dlf.text.PretrainedBody` takes the place
of the body.
"""

# %%
# Sentences
# ---------
# The mood of a sentence is that of its adjective, turned by "not" and weakened by "rather".
import warnings

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from torch import nn

from sklearn_dlf import DLFClassifier
from sklearn_dlf.ensembles import FittedEnsemble
from sklearn_dlf.exceptions import SeenRowsWarning
from sklearn_dlf.metrics import mutual_information
from sklearn_dlf.text import SentenceTokenizer

warnings.simplefilter("ignore", SeenRowsWarning)

rng = np.random.RandomState(0)
ADJECTIVES = {"superb": 2.0, "fine": 1.0, "odd": -0.2, "dull": -1.0, "awful": -2.0}
SUBJECTS = ["the film", "a story", "this play", "her song", "the whole evening"]


def make_sentence():
    """Return a sentence and its mood."""
    adjective = rng.choice([*ADJECTIVES])
    turned, weakened = (rng.uniform(size=2) < 0.4).astype(int)
    words = [rng.choice(SUBJECTS), "is", *["not"] * turned, *["rather"] * weakened, adjective]
    return " ".join(words), ADJECTIVES[adjective] * (-1) ** turned * 0.5**weakened


texts, moods = zip(*(make_sentence() for _ in range(900)), strict=True)
X = np.array(texts)
y = np.where(np.array(moods) + 0.7 * rng.standard_normal(len(moods)) > 0, "good", "bad")
X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, random_state=0)
print(X[:3], y[:3])

# %%
# A teacher of strings
# --------------------
models = []
for _ in range(8):
    rows = rng.randint(len(X), size=100)
    model = make_pipeline(CountVectorizer(ngram_range=(1, 2)), LogisticRegression(C=10.0))
    models.append(model.fit(X[rows], y[rows]))


def predict_members(column):
    """Return the probabilities of all members, (n, 2, n_members)."""
    column = np.asarray(column, dtype=object).ravel()
    return np.stack([model.predict_proba(column) for model in models], axis=-1)


teacher = FittedEnsemble(
    predict_members, outputs="probabilities", n_members=len(models), classes=["bad", "good"]
)


# %%
# A search over the number of factors
# -----------------------------------
class Transformer(nn.Module):
    """One layer of attention, and the mean over tokens."""

    def __init__(self, length, n_tokens=40, width=16):
        super().__init__()
        self.tokens = nn.Embedding(n_tokens, width, padding_idx=0)
        self.places = nn.Parameter(0.1 * torch.randn(length, width))
        self.layer = nn.TransformerEncoderLayer(width, 2, 32, dropout=0.0, batch_first=True)

    def forward(self, ids):
        """Map ids (n, length) to features (n, width)."""
        is_padding = ids == 0
        hidden = self.layer(self.tokens(ids) + self.places, src_key_padding_mask=is_padding)
        weights = (~is_padding).to(hidden)[..., None]
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1)


student = DLFClassifier(
    teacher,
    body=Transformer,
    preprocessor=SentenceTokenizer(max_length=8),  # the teacher gets the strings
    random_state=0,
)
search = GridSearchCV(student, {"q": [1, 3]}, cv=2, scoring="neg_log_loss")
search.fit(X[:, None], y)
print(f"q = {search.best_params_['q']}, log loss {-search.score(X_test[:, None], y_test):.3f} nats")

members = predict_members(X_test)
own = search.best_estimator_.predict_uncertainty(X_test[:, None]).epistemic
information = mutual_information(members)
log_loss = -np.log(members.mean(axis=-1)[np.arange(len(y_test)), (y_test == "good").astype(int)])
print(f"teacher: log loss {log_loss.mean():.3f} nats")
print(
    f"mutual information: {own.mean() / information.mean():.2f} of the teacher's, rank correlation "
    f"{spearmanr(own, information)[0]:.2f}"
)

# %%
# Where members disagree
# ----------------------
_, first = np.unique(X_test, return_index=True)  # sentences recur
most = first[np.argsort(-own[first])]
for title, places in [("most", most[:3]), ("least", most[-3:])]:
    print(f"{title}:")
    for place in places:
        print(f"  {X_test[place]:40} {own[place]:.4f} nats (teacher {information[place]:.4f})")
