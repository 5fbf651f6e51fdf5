"""BatchEnsemble: shared weights, and a rank-one mask a member."""

from __future__ import annotations

from typing import ClassVar

from ._documentation import share_documentation
from ._members import BaseMemberClassifier, BaseMemberRegressor, BaseMemberStudent
from ._networks import BatchEnsembleNetwork


class BaseBatchEnsemble(BaseMemberStudent):
    """Adds the average of the masks."""

    _parameter_constraints: ClassVar[dict] = {
        **BaseMemberStudent._parameter_constraints,
        "average_masks": ["boolean"],
    }

    def __init__(
        self,
        ensemble=None,
        *,
        average_masks=False,
        augment="auto",
        out_of_bag="spread",
        hidden_layer_sizes=(100, 100),
        activation="swish",
        max_iter=40,
        n_epochs="auto",
        batch_size="auto",
        lr=0.01,
        optimizer="adam",
        weight_decay=0.0,
        device="cpu",
        callbacks=None,
        memory=None,
        random_state=None,
        verbose=0,
    ):
        super().__init__(
            ensemble,
            augment=augment,
            out_of_bag=out_of_bag,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            max_iter=max_iter,
            n_epochs=n_epochs,
            batch_size=batch_size,
            lr=lr,
            optimizer=optimizer,
            weight_decay=weight_decay,
            device=device,
            callbacks=callbacks,
            memory=memory,
            random_state=random_state,
            verbose=verbose,
        )
        self.average_masks = average_masks

    def _make_network(self, n_features, n_outputs, n_members):
        return BatchEnsembleNetwork(self._sizes(n_features, n_outputs), self.activation, n_members)

    def _learn(self, X, outputs, observer, random_state):
        network = super()._learn(X, outputs, observer, random_state)
        return network.average_members() if self.average_masks else network


@share_documentation
class BatchEnsembleRegressor(BaseMemberRegressor, BaseBatchEnsemble):
    """BatchEnsemble: one network, whose weights each member multiplies by a rank-one mask.

    Each member of the student is trained on its own member of the ensemble. Every layer has shared
    weights and, for each member, a mask of its inputs, one of its outputs and a bias [1]_. Draws
    of members are picked with replacement.

    Parameters
    ----------
    {ensemble}

    average_masks : bool, default=False
        Average the members' weights after training [2]_ (LBE, without its perturbed rows): one
        network of the size of a single one is left, whose spread is zero.

    {training}

    Attributes
    ----------
    {attributes}

    {regressor_attributes}

    See Also
    --------
    sklearn_dlf.DLFRegressor : A latent factor model.

    References
    ----------
    .. [1] Wen, Tran, Ba. "BatchEnsemble: an Alternative Approach to Efficient Ensemble and
       Lifelong Learning". ICLR 2020.
    .. [2] Nam, Lee, Heo, Lee. "Improving Ensemble Distillation With Weight Averaging and
       Diversifying Perturbation". ICML 2022.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from sklearn_dlf.baselines import BatchEnsembleRegressor
    >>> X, y = make_regression(200, 4, noise=10.0, random_state=0)
    >>> forest = RandomForestRegressor(30, random_state=0).fit(X, y)
    >>> student = BatchEnsembleRegressor(hidden_layer_sizes=(20,), max_iter=3, random_state=0)
    >>> mean, std = student.fit(X, y, ensemble=forest).predict(X, return_std=True)
    >>> mean.shape, std.shape, student.sample_predictions(X, 7).shape
    ((200,), (200,), (200, 7))
    """


@share_documentation
class BatchEnsembleClassifier(BaseMemberClassifier, BaseBatchEnsemble):
    """BatchEnsemble: one network, whose weights each member multiplies by a rank-one mask.

    Each member of the student is trained on its own member of the ensemble. Every layer has shared
    weights and, for each member, a mask of its inputs, one of its outputs and a bias [1]_. Draws
    of members are picked with replacement.

    Parameters
    ----------
    {ensemble}

    average_masks : bool, default=False
        Average the members' weights after training [2]_ (LBE, without its perturbed rows): one
        network of the size of a single one is left, whose spread is zero.

    {training}

    Attributes
    ----------
    {attributes}

    {classifier_attributes}

    See Also
    --------
    sklearn_dlf.DLFClassifier : A latent factor model.

    References
    ----------
    .. [1] Wen, Tran, Ba. "BatchEnsemble: an Alternative Approach to Efficient Ensemble and
       Lifelong Learning". ICLR 2020.
    .. [2] Nam, Lee, Heo, Lee. "Improving Ensemble Distillation With Weight Averaging and
       Diversifying Perturbation". ICML 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn_dlf.baselines import BatchEnsembleClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(30, random_state=0).fit(X, y)
    >>> student = BatchEnsembleClassifier(hidden_layer_sizes=(20,), max_iter=3, random_state=0)
    >>> student = student.fit(X, y, ensemble=forest)
    >>> student.predict_proba(X).shape, student.sample_predictions(X, 7).shape
    ((150, 3), (150, 3, 7))
    """
