"""Deep ensemble for classification."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.utils.multiclass import check_classification_targets
from torch import Tensor

from .._registry import register_ensemble
from .base import BaseDeepEnsemble, describe_members
from .training import cross_entropy


class DeepEnsembleClassifier(ClassifierMixin, BaseDeepEnsemble):
    """Deep ensemble for classification: many small networks, trained jointly.

    Members have independent initial parameters, orders of rows and held-out rows, and minimise
    the cross-entropy [1]_. Their parameters are stacked, so that batched matrix products train all
    of them in seconds; members with a `body` of your own are trained one after another, by the same
    schedule. The training of each member stops when its own held-out loss no longer
    falls. `fit` standardises X.

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
        members. The held-out rows of each member have the classes in about their proportions.

    n_iter_no_change : int, default=20
        Number of epochs without a fall of its held-out loss after which a member stops.

    tol : float, default=1e-5
        Smallest fall of the held-out loss that counts, in units of the loss: the cross-entropy, in
        nats.

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
    classes_ : ndarray of shape (n_classes,)
        Labels, in the order of the columns of the probabilities.

    n_members_ : int
        Number of members.

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
        Number of outputs of a network, one for each class.

    n_features_in_ : int
        Number of columns of `X`.

    feature_names_in_ : ndarray of str
        Names of the columns of `X`. Only if all names are strings.

    See Also
    --------
    DeepEnsembleRegressor : Deep ensemble for regression.

    References
    ----------
    .. [1] Lakshminarayanan, Pritzel, Blundell (2017). Simple and Scalable Predictive Uncertainty
       Estimation using Deep Ensembles. NeurIPS. (Here without adversarial
       training.)

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
    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> DeepEnsembleClassifier:
        """Train the members.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            Rows; at least two. With a `body` they may have more dimensions.

        y : array-like of shape (n_samples,)
            Labels of at least two classes.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the loss and the held-out loss. Rows of weight zero are
            removed, but their labels are classes.

        Returns
        -------
        self : DeepEnsembleClassifier
            The fitted ensemble.
        """
        rows, labels, weights, present = self._validate(X, y, sample_weight)
        check_classification_targets(labels)
        weighted = np.unique(labels)
        if len(weighted) < 2:
            raise ValueError(
                f"y has 1 class among the rows of positive weight, {weighted[0]!r}: "
                "expected at least two classes."
            )
        self.classes_ = np.unique(np.asarray(y))
        codes = np.searchsorted(self.classes_, labels)
        self.n_outputs_ = len(self.classes_)
        self._fit_members(
            rows, codes, weights, present, cross_entropy, self.n_outputs_, strata=codes
        )
        return self

    def _finish(self, raw: Tensor) -> Tensor:
        return raw.softmax(dim=-1)

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Predict the mean of the members' probabilities.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            Rows, of the kind of those of `fit`.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of `classes_`.
        """
        points = self._validate_predict(X)
        probabilities = np.empty((len(points), self.n_outputs_))
        for rows, outputs in self._outputs(points):
            probabilities[rows] = outputs.mean(axis=0)
        return probabilities

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict the class of largest probability.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            Rows, of the kind of those of `fit`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Predicted labels.
        """
        # The probabilities come first: they raise NotFittedError before `classes_` is read.
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]


register_ensemble(DeepEnsembleClassifier, describe_members)
