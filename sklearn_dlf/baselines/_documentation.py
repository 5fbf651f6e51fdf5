"""What the docstrings of all baselines share."""

from __future__ import annotations

import inspect

_PARTS = {
    "ensemble": """
ensemble : ensemble, list of fitted models or FittedEnsemble, default=None
    Teacher. A fitted one is asked; an unfitted one is cloned and fitted to X and y first. With
    None, `fit` is given a teacher, or trains a deep ensemble.

augment : {"auto", "neighbors", "reach", "mixup"}, callable or None, default="auto"
    How further design points are made, at which the ensemble is asked too, as in
    :class:`~sklearn_dlf.DLFRegressor` and :class:`~sklearn_dlf.DLFClassifier`.

out_of_bag : {"spread", "members"} or None, default="spread"
    What to make of rows that members were fitted to, as in :class:`~sklearn_dlf.DLFRegressor`.

hidden_layer_sizes : array-like of int, default=(100, 100)
    Units of the hidden layers.

activation : {"swish", "relu", "gelu", "silu", "tanh"}, default="swish"
    Of the hidden layers: "swish" is ``x sigmoid(5 x)``, a "relu" without its kink.
""",
    "training": """
max_iter : int, default=40
    Rounds of training, each of `n_epochs`, while the learning rate falls geometrically to a
    fiftieth of `lr`. With the ``n_iter_`` of a latent factor model, as many optimiser steps are
    taken as that took.

n_epochs : int or "auto", default="auto"
    Epochs of a round; "auto" makes about 250 optimiser steps, and at least one epoch.

batch_size : int or "auto", default="auto"
    Rows of a step; "auto" is the power of two nearest to the root of their number, within 32 and
    512.

lr : float, default=0.01
    First learning rate.

optimizer : {"adam", "adamw", "sgd"} or callable, default="adam"
    Optimiser, or a class or callable as skorch takes it. With "adam", no weight decay and no
    body of the user's, training of regressors ends by L-BFGS over all design points at once, where
    there are two or more for each parameter of the network, at most 32,768, and at most 2^28
    products of a row and a parameter.

weight_decay : float, default=0.0
    Of the optimiser.

device : str or torch.device, default="cpu"
    Where the student is trained and asked, as torch has it. Pickles load without it.

callbacks : list, default=None
    Further callbacks of skorch; copies of them are used. There is no validation loss to
    monitor; ``EarlyStopping("train_loss")`` ends one round, not the fit.

memory : str or joblib.Memory, default=None
    Folder or memory where fits and answers of ensembles are kept, as in
    :class:`~sklearn_dlf.DLFRegressor`.

random_state : int, RandomState instance or None, default=None
    Determines the start, the order of rows, and the fit of an unfitted ensemble.

verbose : int, default=0
    1 prints a line a round, 2 also skorch's line an epoch.
""",
    "attributes": """
student_ : nn.Module
    The network, in training units.

n_members_, n_outputs_ : int
    Of the ensemble.

n_iter_ : int
    Rounds.

history_ : list of dict
    One record a round: ``loss``, ``lr``, ``seconds``.

scaler_ : StandardScaler
    Of X.

n_features_in_ : int
    Columns of X.

feature_names_in_ : ndarray of shape (`n_features_in_`,)
    Their names, where all are strings.
""",
    "classifier_attributes": """
classes_ : ndarray of shape (n_classes,)
    Labels, in the order of the columns of the probabilities: the ensemble's.

ensemble_score_ : float
    Accuracy of the teacher at the rows of `fit`. None without y.

output_center_, output_scale_, output_spread_ : ndarray of shape (`n_outputs_`,)
    Mean and standard deviation over rows of the members' mean logits, and their rms spread.
""",
    "regressor_attributes": """
target_noise_ : TargetNoise
    Inverse gamma of the variance of y around a member. None without y.

ensemble_score_ : float
    R^2 of the teacher's mean at the rows of `fit`. None without y.

output_center_, output_scale_, output_spread_ : ndarray of shape (`n_outputs_`,)
    Mean and standard deviation over rows of the ensemble's mean, the units of the network, and
    the members' rms spread.
""",
}


def share_documentation(estimator):
    """Fill the places ``{ensemble}``, ``{training}`` and so on in an estimator's docstring."""
    if estimator.__doc__:
        parts = {name: text.strip() for name, text in _PARTS.items()}
        estimator.__doc__ = inspect.cleandoc(estimator.__doc__).format(**parts)
    return estimator
