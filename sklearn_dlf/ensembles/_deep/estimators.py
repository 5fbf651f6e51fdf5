"""Deep ensembles as estimators: teachers that train in seconds."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.base import ClassifierMixin, RegressorMixin, _fit_context, is_classifier
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets

from .._registry import Members, register_ensemble
from .base import BaseDeepEnsemble
from .training import average_over_rows, cross_entropy, squared_loss


class DeepEnsembleRegressor(RegressorMixin, BaseDeepEnsemble):
    """Deep ensemble for regression: small networks trained at once, each from its own start.

    Members have independent initial parameters, orders of rows and held-out rows, and minimise
    the squared error [1]_. They are stacked and trained together by batched matrix products,
    each until its own held-out error no longer falls. X and y are standardised inside.

    Parameters
    ----------
    n_estimators : int, default=20
        Number of members.

    hidden_layer_sizes : array-like of int, or int, default=(100, 100)
        Units of the hidden layers.

    activation : {"identity", "logistic", "relu", "tanh"}, default="relu"
        Activation of the hidden layers.

    alpha : float, default=1e-4
        Strength of the L2 penalty on the weights, ``alpha / 2 * ||weights||^2`` added to the loss
        summed over the rows a member trains on; the loss is half the squared error of
        standardised y.

    batch_size : int or "auto", default="auto"
        Rows of a step of Adam; "auto" makes about 32 steps an epoch, of at least 32 and at most
        64 rows.

    learning_rate_init : float, default=0.005
        Step size of Adam. Predictions come from the running average of the parameters over about
        the last 100 steps, so that it need not be lowered towards the end.

    max_iter : int, default=100
        Most epochs.

    bootstrap : bool, default=False
        Train each member on rows drawn with replacement. Its held-out rows are the others.

    early_stopping : bool, default=True
        Stop each member when the loss on its held-out rows has not fallen by `tol` for
        `n_iter_no_change` epochs, and keep the epoch where that loss was lowest. Otherwise all
        members train for `max_iter` epochs and, unless `bootstrap`, on all rows.

    validation_fraction : float, default=0.1
        Fraction of rows each member holds out for early stopping; not used with `bootstrap`.
        Members take turns, so that each row is held out by about equally many of them.

    n_iter_no_change : int, default=20
        Epochs a member waits for its held-out loss to fall.

    tol : float, default=1e-5
        Fall of the held-out loss, half the squared error of standardised y, that counts.

    device : str or torch.device, default="cpu"
        Where to compute. The fitted parameters are NumPy arrays whatever the device.

    random_state : int, RandomState instance or None, default=None
        Of initial parameters, held-out rows and orders of rows.

    verbose : int, default=0
        Print the progress of every epoch.

    Attributes
    ----------
    n_members_ : int
        Number of members.

    member_noise_variance_ : ndarray of shape (n_members,) or (n_members, n_outputs)
        Mean squared residual of each member on its held-out rows, in squared units of `y`.
        Where no member has any (neither `early_stopping` nor `bootstrap`) it is that of the rows
        trained on, and too small.

    unseen_rows_ : ndarray of shape (n_samples, n_members), bool
        True where a member did not train on a row of `fit`.

    coefs_ : list of ndarray of shape (n_members, fan_in, fan_out)
        Weights of each layer.

    intercepts_ : list of ndarray of shape (n_members, fan_out)
        Biases of each layer.

    n_iter_ : int
        Epochs run until the last member stopped.

    n_outputs_ : int
        Number of outputs.

    n_features_in_ : int
        Number of columns of `X`.

    feature_names_in_ : ndarray of str
        Names of the columns of `X`, where all are strings.

    See Also
    --------
    DeepEnsembleClassifier : The same for classes.

    References
    ----------
    .. [1] Lakshminarayanan, Pritzel, Blundell (2017). Simple and Scalable Predictive Uncertainty
       Estimation using Deep Ensembles. NeurIPS. (Without adversarial training and with the
       squared loss; the noise of y is one variance a member.)

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from sklearn_dlf.ensembles import DeepEnsembleRegressor
    >>> X, y = make_friedman1(300, random_state=0)
    >>> ensemble = DeepEnsembleRegressor(5, max_iter=50, random_state=0).fit(X[:200], y[:200])
    >>> ensemble.score(X[200:], y[200:]) > 0.8
    True
    >>> ensemble.member_predictions(X[200:]).shape
    (100, 5)
    """

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Train the members.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows; at least two.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the loss, the held-out loss and the noise. Rows of weight zero
            are left out.

        Returns
        -------
        self : DeepEnsembleRegressor
            The fitted ensemble.
        """
        X, y, weights, present = self._validate(
            X, y, sample_weight, multi_output=True, y_numeric=True
        )
        targets = y.reshape(len(y), -1)
        self.n_outputs_ = targets.shape[1]
        self._y_scaler = StandardScaler().fit(targets, sample_weight=weights)
        scaled = torch.as_tensor(self._y_scaler.transform(targets), dtype=torch.float32)
        data = self._fit_members(X, scaled, weights, present, squared_loss, self.n_outputs_)
        rows, row_weights = data.held_out_rows, data.held_out_weights
        if not rows.shape[1]:
            rows, row_weights = data.train_rows, data.weights[data.train_rows]
        noise = average_over_rows(
            self._layers(torch.float32),
            self.activation,
            lambda outputs, targets: (outputs - targets).square(),
            data,
            rows,
            row_weights,
        )
        noise = noise.double().cpu().numpy() * self._y_scaler.scale_**2
        self._has_one_target = y.ndim == 1
        self.member_noise_variance_ = noise[:, 0] if self._has_one_target else noise
        return self

    def _finish(self, raw):
        scale = torch.as_tensor(self._y_scaler.scale_, dtype=raw.dtype, device=raw.device)
        return raw * scale + torch.as_tensor(
            self._y_scaler.mean_, dtype=raw.dtype, device=raw.device
        )

    def _member_predictions(self, X, dtype=np.float64, members=slice(None)):
        predictions = super()._member_predictions(X, dtype, members)
        return predictions[:, 0] if self._has_one_target else predictions

    def predict(self, X, return_std=False):
        """Predict the mean over members.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows.

        return_std : bool, default=False
            Return the members' standard deviation as well; the noise of y is not in it.

        Returns
        -------
        mean : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Mean over members, in the unit of `y`.

        std : ndarray of the same shape
            Standard deviation over members, in the unit of `y`; if `return_std`.
        """
        X = self._validate_predict(X)
        mean, std = np.empty((2, len(X), self.n_outputs_))
        for rows, outputs in self._outputs(X):
            mean[rows] = outputs.mean(axis=0)
            if return_std:
                std[rows] = outputs.std(axis=0)
        if self._has_one_target:
            mean, std = mean[:, 0], std[:, 0]
        return (mean, std) if return_std else mean


class DeepEnsembleClassifier(ClassifierMixin, BaseDeepEnsemble):
    """Deep ensemble for classification: small networks trained at once, each from its own start.

    Members have independent initial parameters, orders of rows and held-out rows, and minimise
    the cross-entropy [1]_. They are stacked and trained together by batched matrix products,
    each until its own held-out loss no longer falls. X is standardised inside.

    Parameters
    ----------
    n_estimators : int, default=20
        Number of members.

    hidden_layer_sizes : array-like of int, or int, default=(100, 100)
        Units of the hidden layers.

    activation : {"identity", "logistic", "relu", "tanh"}, default="relu"
        Activation of the hidden layers.

    alpha : float, default=1e-4
        Strength of the L2 penalty on the weights, ``alpha / 2 * ||weights||^2`` added to the loss
        summed over the rows a member trains on; the loss is the cross-entropy.

    batch_size : int or "auto", default="auto"
        Rows of a step of Adam; "auto" makes about 32 steps an epoch, of at least 32 and at most
        64 rows.

    learning_rate_init : float, default=0.005
        Step size of Adam. Predictions come from the running average of the parameters over about
        the last 100 steps, so that it need not be lowered towards the end.

    max_iter : int, default=100
        Most epochs.

    bootstrap : bool, default=False
        Train each member on rows drawn with replacement. Its held-out rows are the others.

    early_stopping : bool, default=True
        Stop each member when the loss on its held-out rows has not fallen by `tol` for
        `n_iter_no_change` epochs, and keep the epoch where that loss was lowest. Otherwise all
        members train for `max_iter` epochs and, unless `bootstrap`, on all rows.

    validation_fraction : float, default=0.1
        Fraction of rows each member holds out for early stopping; not used with `bootstrap`.
        Members take turns, so that each row is held out by about equally many of them, and
        each member's held-out rows have the classes in about their proportions.

    n_iter_no_change : int, default=20
        Epochs a member waits for its held-out loss to fall.

    tol : float, default=1e-5
        Fall of the held-out loss, the cross-entropy in nats, that counts.

    device : str or torch.device, default="cpu"
        Where to compute. The fitted parameters are NumPy arrays whatever the device.

    random_state : int, RandomState instance or None, default=None
        Of initial parameters, held-out rows and orders of rows.

    verbose : int, default=0
        Print the progress of every epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, in the order of the columns of the probabilities.

    n_members_ : int
        Number of members.

    unseen_rows_ : ndarray of shape (n_samples, n_members), bool
        True where a member did not train on a row of `fit`.

    coefs_ : list of ndarray of shape (n_members, fan_in, fan_out)
        Weights of each layer.

    intercepts_ : list of ndarray of shape (n_members, fan_out)
        Biases of each layer.

    n_iter_ : int
        Epochs run until the last member stopped.

    n_outputs_ : int
        Number of outputs of a network, one a class.

    n_features_in_ : int
        Number of columns of `X`.

    feature_names_in_ : ndarray of str
        Names of the columns of `X`, where all are strings.

    See Also
    --------
    DeepEnsembleRegressor : The same for regression.

    References
    ----------
    .. [1] Lakshminarayanan, Pritzel, Blundell (2017). Simple and Scalable Predictive Uncertainty
       Estimation using Deep Ensembles. NeurIPS. (Without adversarial training.)

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_dlf.ensembles import DeepEnsembleClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> ensemble = DeepEnsembleClassifier(5, max_iter=50, random_state=0).fit(X, y)
    >>> ensemble.score(X, y) > 0.95
    True
    >>> ensemble.member_predictions(X).shape
    (150, 3, 5)
    """

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Train the members.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows.

        y : array-like of shape (n_samples,)
            Labels of at least two classes.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the loss and the held-out loss. Rows of weight zero are left
            out.

        Returns
        -------
        self : DeepEnsembleClassifier
            The fitted ensemble.
        """
        X, y, weights, present = self._validate(X, y, sample_weight)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y has 1 class among the rows of positive weight, {self.classes_[0]!r}: "
                "expected at least two classes."
            )
        self.n_outputs_ = len(self.classes_)
        self._fit_members(X, codes, weights, present, cross_entropy, self.n_outputs_, strata=codes)
        return self

    def _finish(self, raw):
        return raw.softmax(dim=-1)

    def predict_proba(self, X):
        """Average the members' probabilities.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of `classes_`.
        """
        X = self._validate_predict(X)
        probabilities = np.empty((len(X), self.n_outputs_))
        for rows, outputs in self._outputs(X):
            probabilities[rows] = outputs.mean(axis=0)
        return probabilities

    def predict(self, X):
        """Predict the class of largest probability.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Predicted labels.
        """
        probabilities = self.predict_proba(X)  # first, as it says so if not fitted
        return self.classes_[probabilities.argmax(axis=1)]


def _members(ensemble) -> Members:
    """Describe a deep ensemble to the registry; a member at a time bounds the memory."""
    is_classes = is_classifier(ensemble)

    def predict(X):
        X = check_array(X, dtype=np.float64)
        for member in range(ensemble.n_members_):
            some = slice(member, member + 1)
            yield ensemble._member_predictions(X, members=some)[..., 0]

    return Members(
        "classifier" if is_classes else "regressor",
        ensemble.n_members_,
        predict,
        ensemble.classes_ if is_classes else None,
        unseen=lambda: ensemble.unseen_rows_,
    )


register_ensemble(DeepEnsembleRegressor, _members)
register_ensemble(DeepEnsembleClassifier, _members)
