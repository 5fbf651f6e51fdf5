"""
Digits as images
================

Three convolutional networks read scikit-learn's digits as images. A student with a convolutional
body of its own learns what they predict, and where they disagree. Images of ``(n, channels, height,
width)`` go into ``fit`` and ``predict`` as they are, and the teacher is evaluated once at shifted
ones too.
"""

# %%
# Images and networks
# -------------------
import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from torch import nn

from sklearn_dlf import DLFClassifier
from sklearn_dlf.augmentation import FlipCrop
from sklearn_dlf.ensembles import FittedEnsemble
from sklearn_dlf.metrics import mutual_information

X, y = load_digits(return_X_y=True)
X = X.astype(np.uint8).reshape(-1, 1, 8, 8)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, random_state=0)


class Scale(nn.Module):
    """Scales the bytes of an image to [0, 1]."""

    def forward(self, X):
        """Return scaled pixels."""
        return X / 16


def make_layers(width):
    """Return a convolutional body with features of ``2 width`` numbers."""
    return nn.Sequential(
        Scale(),
        nn.Conv2d(1, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


torch.set_num_threads(1)  # several threads hinder each other in networks as small as these


def train(seed):
    """Return a network that is trained on digits."""
    torch.manual_seed(seed)
    network = nn.Sequential(make_layers(16), nn.Linear(32, 10))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    images, labels = torch.from_numpy(X).float(), torch.from_numpy(y)
    for _ in range(12):
        for rows in torch.randperm(len(X)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images[rows]), labels[rows]).backward()
            optimizer.step()
    return network.eval()


teacher = FittedEnsemble([train(seed) for seed in range(3)], outputs="logits", classes=range(10))

# %%
# A student
# ---------
# ``FlipCrop`` shifts images by a pixel. Digits must not be mirrored.
student = DLFClassifier(
    q=2,
    body=lambda shape: make_layers(10),
    augment=FlipCrop(pad=1, flip=False),
    n_augmented=2000,
    random_state=0,
)
student.fit(X, y, ensemble=teacher)

members = teacher.member_predictions(X_test)
probabilities = student.predict_proba(X_test)
information = mutual_information(members)
own = student.predict_uncertainty(X_test).epistemic
for name, p in [("teacher", members.mean(axis=-1)), ("student", probabilities)]:
    nll = -np.log(p[np.arange(len(y_test)), y_test]).mean()
    print(f"{name}: accuracy {(p.argmax(axis=1) == y_test).mean():.3f}, NLL {nll:.3f} nats")
print(
    f"mutual information: {own.mean() / information.mean():.2f} of the teacher's, rank correlation "
    f"{spearmanr(own, information)[0]:.2f}"
)

# %%
# Images that are no digits
# -------------------------
# Pixels are permuted. The mutual information is larger there, for the teacher and for the student.
order = np.random.RandomState(0).permutation(64)
permuted = X_test.reshape(-1, 64)[:, order].reshape(X_test.shape)
foreign = {
    "teacher": mutual_information(teacher.member_predictions(permuted)),
    "student": student.predict_uncertainty(permuted).epistemic,
}
is_foreign = np.repeat([0, 1], len(X_test))
for name, values in [("teacher", information), ("student", own)]:
    auroc = roc_auc_score(is_foreign, np.concatenate([values, foreign[name]]))
    print(f"AUROC of permuted pixels, {name}: {auroc:.3f}")

# %%
# The digits with the smallest and the largest mutual information
# ---------------------------------------------------------------
figure, axes = plt.subplots(2, 8, figsize=(9, 2.8), layout="constrained")
for row, (title, places) in enumerate(
    [("least", np.argsort(own)[:8]), ("most", np.argsort(-own)[:8])]
):
    for ax, place in zip(axes[row], places, strict=True):
        ax.imshow(X_test[place, 0], cmap="gray_r")
        ax.set_title(f"{y_test[place]}: {own[place]:.3f}", fontsize=8)
        ax.set(xticks=[], yticks=[])
    axes[row, 0].set_ylabel(title)
figure.suptitle("label and mutual information (nats)")
plt.show()
