"""Hydra: one body, and a linear head a member."""

from __future__ import annotations

from typing import ClassVar

from .._utils.parameters import BodyMaker
from ._documentation import share_documentation
from ._members import BaseMemberClassifier, BaseMemberRegressor, BaseMemberStudent
from ._networks import HydraNetwork


class BaseHydra(BaseMemberStudent):
    """Adds a body of the user's own."""

    _parameter_constraints: ClassVar[dict] = {
        **BaseMemberStudent._parameter_constraints,
        "body": [BodyMaker(), None],
    }

    def __init__(
        self,
        ensemble=None,
        *,
        augment="auto",
        out_of_bag="spread",
        hidden_layer_sizes=(100, 100),
        activation="swish",
        body=None,
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
        self.body = body

    def _make_network(self, n_features, n_outputs, n_members):
        return HydraNetwork(self._make_body(n_features), n_features, n_outputs, n_members)


@share_documentation
class HydraRegressor(BaseMemberRegressor, BaseHydra):
    """Hydra: one body with a linear head a member, each trained on its own member.

    The published method [1]_; draws of members are heads picked with replacement.

    Parameters
    ----------
    {ensemble}

    body : callable, default=None
        Takes the number of features, returns an ``nn.Module`` that maps standardised rows
        (n, n_features) to features (n, any number). Goes before the two above.

    {training}

    Attributes
    ----------
    {attributes}

    {regressor_attributes}

    See Also
    --------
    sklearn_dlf.DLFRegressor : A latent factor model in place of the heads.

    References
    ----------
    .. [1] Tran, Veeling, Roth, Swiatkowski, Dillon, Snoek, Mandt, Salimans, Nowozin, Jenatton.
       "Hydra: Preserving Ensemble Diversity for Model Distillation". 2020, arXiv:2001.04694.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from sklearn_dlf.baselines import HydraRegressor
    >>> X, y = make_regression(200, 4, noise=10.0, random_state=0)
    >>> forest = RandomForestRegressor(30, random_state=0).fit(X, y)
    >>> student = HydraRegressor(max_iter=3, random_state=0).fit(X, y, ensemble=forest)
    >>> mean, std = student.predict(X, return_std=True)
    >>> mean.shape, std.shape, student.sample_predictions(X, 7).shape
    ((200,), (200,), (200, 7))
    """


@share_documentation
class HydraClassifier(BaseMemberClassifier, BaseHydra):
    """Hydra: one body with a linear head a member, each trained on its own member.

    The published method [1]_; draws of members are heads picked with replacement.

    Parameters
    ----------
    {ensemble}

    body : callable, default=None
        Takes the number of features, returns an ``nn.Module`` that maps standardised rows
        (n, n_features) to features (n, any number). Goes before the two above.

    {training}

    Attributes
    ----------
    {attributes}

    {classifier_attributes}

    See Also
    --------
    sklearn_dlf.DLFClassifier : A latent factor model in place of the heads.

    References
    ----------
    .. [1] Tran, Veeling, Roth, Swiatkowski, Dillon, Snoek, Mandt, Salimans, Nowozin, Jenatton.
       "Hydra: Preserving Ensemble Diversity for Model Distillation". 2020, arXiv:2001.04694.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn_dlf.baselines import HydraClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(30, random_state=0).fit(X, y)
    >>> student = HydraClassifier(hidden_layer_sizes=(20,), max_iter=3, random_state=0)
    >>> student = student.fit(X, y, ensemble=forest)
    >>> student.predict_proba(X).shape, student.sample_predictions(X, 7).shape
    ((150, 3), (150, 3, 7))
    """
