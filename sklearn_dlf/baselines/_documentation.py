"""Parts of docstrings that all baselines share."""

from __future__ import annotations

import inspect

_PARTS = {
    "ensemble": """
ensemble : ensemble, list of fitted models or FittedEnsemble, default=None
    Teacher. A fitted ensemble is evaluated; an unfitted one is cloned and fitted to X and y first.
    With None, `fit` is given a teacher, or it trains a deep ensemble.

preprocessor : "auto", transformer or None, default="auto"
    How the student reads rows, as in :class:`~sklearn_dlf.DLFRegressor`.

augment : str, callable or None, default="auto"
    How further design points are made, as in :class:`~sklearn_dlf.DLFRegressor` and
    :class:`~sklearn_dlf.DLFClassifier`.

n_augmented : int or "auto", default="auto"
    Number of rows that `augment` makes; "auto" for the number that is described there.

out_of_bag : {"widen", "match"} or None, default="widen"
    What is done at rows that members were fitted to, as in :class:`~sklearn_dlf.DLFRegressor`.

hidden_layer_sizes : int or sequence of int, default=(100, 100)
    Units of the network's hidden layers.
""",
    "activation": """
activation : {"swish", "relu", "gelu", "silu", "tanh"}, default="swish"
    Activation of the hidden layers. "swish" is ``x sigmoid(5 x)``, a "relu" without its kink.
""",
    "automatic_activation": """
activation : {"auto", "swish", "relu", "gelu", "silu", "tanh"}, default="auto"
    Activation of the hidden layers. "swish" is ``x sigmoid(5 x)``, a "relu" without its kink.
    "auto" is "swish", or "silu" behind an encoding of the columns.
""",
    "body": """
body : "mlp", callable or None, default="mlp"
    What maps a row to features, on which a linear layer is put. "mlp", or None, has the hidden
    layers. A callable makes a body of your own, as in :class:`~sklearn_dlf.DLFRegressor`: then
    `hidden_layer_sizes` and `activation` are ignored, and training does not end by L-BFGS.
""",
    "training": """
max_iter : int, default=40
    Rounds of training, each of `n_epochs`, while the learning rate falls geometrically to a
    fiftieth of `lr`. Set to the ``n_iter_`` of a latent factor model, it gives the same number of
    optimiser steps.

n_epochs : int or "auto", default="auto"
    Epochs of a round. "auto" makes about 250 optimiser steps (400 with an encoding of the columns,
    50 with a callable `body`), and at least one epoch.

batch_size : int or "auto", default="auto"
    Rows of an optimiser step. "auto" is the power of two nearest to the root of the number of
    rows, within 32 and 512.

lr : float, default=0.01
    First learning rate.

body_lr : float, default=1.0
    Learning rate of the body's parameters, as a share of that of all others: of all layers but the
    last, or of what a callable `body` returns. With 0 they are not trained, and parameters that it
    returns with ``requires_grad=False`` never are. Unless it is 1, training does not end by L-BFGS.

optimizer : {"adam", "adamw", "sgd"} or callable, default="adam"
    Optimiser, or a class or callable as skorch takes it. With "adam" and no weight
    decay, training of regressors ends by L-BFGS over all design points at once if there are at
    least two for each parameter of the network, at most 32,768, and at most 2^28 products of a row
    and a parameter.

weight_decay : float, default=0.0
    Weight decay of the optimiser.

device : str or torch.device, default="cpu"
    Where the network is trained and evaluated, as in torch. Pickles load without that device.

callbacks : list, default=None
    Further callbacks of skorch; training uses copies of them. There is no validation loss to
    monitor. ``EarlyStopping("train_loss")`` ends one round, not the fit. With
    :class:`~sklearn_dlf.callbacks.FitCheckpoint`, an interrupted fit goes on.

memory : str or joblib.Memory, default=None
    Folder or memory where fits and predictions of ensembles are kept, as in
    :class:`~sklearn_dlf.DLFRegressor`.

random_state : int, RandomState instance or None, default=None
    Seed of the network's start, the order of rows, the rows made by `augment`, and the fit of an
    unfitted ensemble. One seed gives one student, also where fits run in threads. A callable
    `body` draws from torch's own generator, while no other does. If it draws in training too,
    as dropout does, its fit waits for others of the kind, and is repeated only if nothing else
    draws from that generator meanwhile.

verbose : int, default=0
    1 prints a line for each round, 2 also skorch's line for each epoch.
""",
    "attributes": """
augment_ : str, callable or None
    How further design points were made: what "auto" chose, or `augment`.

student_ : nn.Module
    The network, in training units. Predictions use a copy of it, which is renewed if a parameter is
    replaced or changed in place, but not if it is changed through ``.data`` or ``.numpy()``.

n_members_, n_rows_used_ : int
    Numbers of members of the ensemble, and of rows of X.

body_ : {"mlp", "piecewise_linear", "custom"}
    Kind of the body, "mlp" for baselines without this choice. "custom" is a callable's.

n_iter_ : int
    Rounds.

history_ : list of dict
    One record for each round: ``loss``, ``lr``, ``seconds``.

scaler_ : StandardScaler
    Scaler of X.

n_features_in_ : int
    Number of columns of X.

feature_names_in_ : ndarray of shape (`n_features_in_`,)
    Names of the columns, if all are strings.
""",
    "classifier_attributes": """
n_outputs_ : int
    Number of latent outputs: 1 for two classes, else the number of classes.

classes_ : ndarray of shape (n_classes,)
    Sorted labels of the ensemble: the order of the columns of the probabilities.

ensemble_score_ : float
    Accuracy of the teacher at the rows of `fit`. None without y.

output_center_, output_scale_, output_spread_ : ndarray of shape (`n_outputs_`,)
    Mean and standard deviation over rows of the members' mean logits, and the members' rms spread.
""",
    "regressor_attributes": """
n_outputs_ : int
    Number of outputs of the ensemble.

target_noise_ : TargetNoise
    Variance of y around a member: an inverse gamma variable (``shape``, ``scale``), times a
    function of the row where ``depends_on_row``; ``spread_share``, the share of the members'
    variance that counts for y; ``skewness``, of y around the mean, one where it is symmetric.
    Each (n_outputs,). ``correlation`` (n_outputs, n_outputs) of the noise of a row's outputs,
    or None. Two booleans: ``spread_has_tails``, whether that variable multiplies the
    share too; ``takes_law``, whether intervals and draws of y follow the members' law, if it is
    not Gaussian. None without y, unless the members have a variance of their own.

ensemble_score_ : float
    R^2 of the teacher's mean at the rows of `fit`. None without y.

target_transformation_ : TransformedTarget or None
    How the teacher transforms y, if it is a ``TransformedTargetRegressor`` or a list of those
    with the same transformation. The outputs of the network, `target_noise_`,
    `ensemble_score_` and the units of the outputs are those of the transformed values then.
    Predictions are transformed back.

output_center_, output_scale_, output_spread_ : ndarray of shape (`n_outputs_`,)
    Units of the network's outputs: mean and standard deviation over rows of the members' mean; and
    the members' rms spread.
""",
}


def share_documentation(estimator: type) -> type:
    """Replace ``{ensemble}``, ``{training}`` and so on in an estimator's docstring."""
    if estimator.__doc__:
        parts = {name: text.strip() for name, text in _PARTS.items()}
        estimator.__doc__ = inspect.cleandoc(estimator.__doc__).format(**parts)
    return estimator
