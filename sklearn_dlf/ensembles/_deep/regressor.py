"""Deep ensemble for regression."""

from __future__ import annotations

from typing import Literal, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, DTypeLike
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils import Tags
from torch import Tensor

from ..._utils.numbers import refuse_dates
from ..._utils.standardise import check_std, divide_out, fit_scaler
from .._registry import register_ensemble
from .base import BaseDeepEnsemble, describe_members
from .training import Data, squared_loss


class DeepEnsembleRegressor(RegressorMixin, BaseDeepEnsemble):
    """Deep ensemble for regression: many small networks, trained jointly.

    Members have independent initial parameters, orders of rows and held-out rows, and minimise
    the squared error [1]_. Their parameters are stacked, so that batched matrix products train all
    of them in seconds; members with a `body` of your own are trained one after another, by the same
    schedule. The training of each member stops when its own held-out error no longer
    falls. `fit` standardises X and y.

    Parameters
    ----------
    n_estimators : int, default=20
        Number of members.

    preprocessor : "auto", transformer or None, default="auto"
        How rows are read, as in :class:`~sklearn_dlf.DLFRegressor`: frames with categories, dates
        and missing values, and sparse rows, become numbers. Arrays of more than two dimensions,
        such as images, go to the `body` as they are. None: all rows do, such as ids of tokens;
        without a `body` they must be real numbers, which are not standardised.

    hidden_layer_sizes : int or sequence of int, default=(100, 100)
        Units of the hidden layers. Ignored with a `body`.

    activation : {"identity", "logistic", "relu", "tanh"}, default="relu"
        Activation of the hidden layers. Ignored with a `body`.

    body : callable or None, default=None
        Makes the body of each member, which takes the place of the hidden layers. It takes the
        number of columns, or the shape of a row of more dimensions, and returns an ``nn.Module``
        that maps n rows to features (n, any number). A linear layer from these to the outputs is
        added. Rows of a table are standardised. Of raw rows, the module gets bytes
        as float32, not scaled, and other integers, such as ids of tokens, as int64; they stay as
        they are in memory, and are cast a batch at a time. The module is tried with the first two
        rows, so that its layers may be lazy. Parameters that it returns with
        ``requires_grad=False`` are not trained, and parts of it that have no others are in
        evaluation mode always. A module predicts in float32, so that predictions may depend a
        little on the batch.

    weight_decay : float or "auto", default="auto"
        Weight decay of Adam, applied to the weights and not to the biases: in a `body`, to
        parameters of at least two dimensions. It adds
        ``weight_decay / 2 * ||weights||^2`` to the mean loss over the rows that a member trains
        on. "auto" is 1e-4 over the number of these rows.

    batch_size : int or "auto", default="auto"
        Rows of a step of Adam. "auto" makes about 32 steps per epoch, of at least 32 and at most
        64 rows.

    lr : float, default=0.005
        Learning rate of Adam. It is constant: predictions use the running average of the
        parameters over about the last 100 steps, so that it need not fall towards the end. Buffers
        of a `body`, such as statistics of batches, are those of the last step.

    max_iter : int, default=100
        Maximum number of epochs.

    bootstrap : bool, default=False
        Whether each member trains on rows drawn with replacement. Its held-out rows are the others.

    early_stopping : bool, default=True
        Whether the training of a member stops when the loss on its held-out rows has not fallen by
        `tol` for `n_iter_no_change` epochs. The member keeps its parameters of the epoch at which
        that loss was lowest. If False, all members train for `max_iter` epochs and, without
        `bootstrap`, on all rows.

    validation_fraction : float, default=0.1
        Fraction of the rows that each member holds out for early stopping. Not used with
        `bootstrap`. Members take turns, so that each row is held out by about equally many
        members.

    n_iter_no_change : int, default=20
        Number of epochs without a fall of its held-out loss after which a member stops.

    tol : float, default=1e-5
        Smallest fall of the held-out loss that counts, in units of the loss: half the squared error
        of standardised y.

    device : str or torch.device, default="cpu"
        Device on which the members are trained and evaluated. The fitted parameters are NumPy
        arrays on every device. Networks with a `body` stay on the device, and are pickled on the
        CPU; raw rows of more than 1 GiB stay on the host, and the device gets a batch at a
        time.

    random_state : int, RandomState instance or None, default=None
        Determines initial parameters, rows of each member and orders of rows, and what a `body`
        draws from torch's global generator.

    verbose : int, default=0
        If positive, print the progress of every epoch; with a `body`, a line for each member.

    Attributes
    ----------
    n_members_ : int
        Number of members.

    member_noise_variance_ : ndarray of shape (n_members,) or (n_members, n_outputs)
        Mean squared residual of each member on its held-out rows, in squared units of `y`.
        Without held-out rows (neither `early_stopping` nor `bootstrap`) it is that on the rows
        trained on, which is too small.

    unseen_rows_ : ndarray of shape (n_samples, n_members), bool
        True where a member did not train on a row of `fit`.

    optimism_ : float
        Mean loss of members at new rows over that at their held-out rows, at least one. The loss is
        the squared error of regressors, and the cross-entropy of classifiers. Early stopping keeps
        the epoch that suits the held-out rows best. The ratio is found by leaving one held-out row
        at a time out of that choice.

    coefs_ : list of ndarray of shape (n_members, fan_in, fan_out)
        Weights of each layer. Only without a `body`.

    intercepts_ : list of ndarray of shape (n_members, fan_out)
        Biases of each layer. Only without a `body`.

    members_ : list of nn.Module
        Network of each member, its body and output layer, in evaluation mode. It maps rows as the
        body gets them to standardised outputs of regressors, or to logits. Only with a `body`.

    n_iter_ : int
        Number of epochs until the last member stopped.

    n_outputs_ : int
        Number of outputs.

    n_features_in_ : int
        Number of columns of `X`.

    feature_names_in_ : ndarray of str
        Names of the columns of `X`. Only if all names are strings.

    See Also
    --------
    DeepEnsembleClassifier : Deep ensemble for classification.

    References
    ----------
    .. [1] Lakshminarayanan, Pritzel, Blundell (2017). Simple and Scalable Predictive Uncertainty
       Estimation using Deep Ensembles. NeurIPS. (Here without adversarial training, with the
       squared loss, and with one variance of the noise of y for each member.)

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

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> DeepEnsembleRegressor:
        """Train the members.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            Rows; at least two. With a `body` they may have more dimensions.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the loss, the held-out loss and the noise. Rows of weight zero
            are removed.

        Returns
        -------
        self : DeepEnsembleRegressor
            The fitted ensemble.
        """
        refuse_dates(y, "y")
        rows, target, weights, present = self._validate(
            X, y, sample_weight, multi_output=True, y_numeric=True
        )
        if target.dtype.kind not in "biuf":  # scikit-learn refuses objects, but not strings
            raise ValueError(f"y must be numbers; got an array of dtype {target.dtype}.")
        self._has_one_target = target.ndim == 1
        targets = target.reshape(len(target), -1)
        self.n_outputs_ = targets.shape[1]
        self._y_scaler = fit_scaler(targets, weights)
        check_std(self._y_scaler.scale_, "y")
        scaled = divide_out(self._y_scaler, targets).astype(np.float32)
        data = self._fit_members(rows, scaled, weights, present, squared_loss, self.n_outputs_)
        noise = self._residual_variance(data)
        self.member_noise_variance_ = noise[:, 0] if self._has_one_target else noise
        return self

    def _residual_variance(self, data: Data) -> np.ndarray:
        """Return the members' mean squared residuals (n_members, n_outputs) on held-out rows.

        Without held-out rows they are those on the rows that the members trained on.
        """
        rows, weights = data.held_out_rows, data.held_out_weights
        if not rows.shape[1]:
            rows, weights = data.train_rows, data.weights[data.train_rows]
        noise = self._average(
            lambda outputs, targets: (outputs - targets).square(), data, rows, weights
        )
        return noise.double().cpu().numpy() * self._y_scaler.scale_**2

    def _finish(self, raw: Tensor) -> Tensor:
        scale = torch.as_tensor(self._y_scaler.scale_, dtype=raw.dtype, device=raw.device)
        return raw * scale + torch.as_tensor(
            self._y_scaler.mean_, dtype=raw.dtype, device=raw.device
        )

    def _member_predictions(
        self, X: np.ndarray, dtype: DTypeLike = np.float64, members: slice = slice(None)
    ) -> np.ndarray:
        predictions = super()._member_predictions(X, dtype, members)
        return predictions[:, 0] if self._has_one_target else predictions

    @overload
    def predict(self, X: ArrayLike, return_std: Literal[False] = False) -> np.ndarray: ...

    @overload
    def predict(self, X: ArrayLike, return_std: Literal[True]) -> tuple[np.ndarray, np.ndarray]: ...

    def predict(
        self, X: ArrayLike, return_std: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Predict the mean over members.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            Rows, of the kind of those of `fit`.

        return_std : bool, default=False
            Whether to return the members' standard deviation as well, without the noise of y.

        Returns
        -------
        mean : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Mean over members, in the unit of `y`.

        std : ndarray of the same shape
            Standard deviation over members, in the unit of `y`. Only with `return_std`.
        """
        points = self._validate_predict(X)
        mean, std = np.empty((2, len(points), self.n_outputs_))
        for rows, outputs in self._outputs(points):
            mean[rows] = outputs.mean(axis=0)
            if return_std:
                std[rows] = outputs.std(axis=0)
        if self._has_one_target:
            mean, std = mean[:, 0], std[:, 0]
        return (mean, std) if return_std else mean


register_ensemble(DeepEnsembleRegressor, describe_members)
