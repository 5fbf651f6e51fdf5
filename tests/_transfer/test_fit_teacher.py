"""An unfitted teacher gets the weights of the rows, however deep what takes them is."""

import warnings

import numpy as np
import pytest
from sklearn import config_context
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, StackingRegressor, VotingClassifier, VotingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_dlf._transfer.fit_teacher import fit_ensemble, name_of_weights, warn_of_lost_weights

RNG = np.random.RandomState(0)
X, WEIGHTS = RNG.randn(60, 2), RNG.randint(0, 4, 60).astype(float)
Y = np.exp(X[:, 0] + RNG.randn(60))


def scaled(model):
    return make_pipeline(StandardScaler(with_mean=False, with_std=False), model)


def logs(model):
    return TransformedTargetRegressor(model, func=np.log, inverse_func=np.exp)


WEIGHTED = {
    "estimator": LinearRegression(),
    "voters": VotingRegressor([("a", LinearRegression()), ("b", Ridge()), ("c", "drop")]),
    "transformed": logs(LinearRegression()),
    "transformed, default": TransformedTargetRegressor(),
    "pipeline": scaled(LinearRegression()),
    "pipeline in pipeline": scaled(scaled(LinearRegression())),
    "pipeline, transformed": logs(scaled(LinearRegression())),
    "search": GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=2),
    "stacked": StackingRegressor([("a", LinearRegression()), ("b", Ridge())], cv=2),
    "voters in a pipeline": scaled(VotingRegressor([("a", LinearRegression()), ("b", Ridge())])),
}


@pytest.mark.parametrize("name", WEIGHTED)
def test_weights_are_numbers_of_rows(name):
    repeated = np.repeat(np.arange(60), WEIGHTS.astype(int))
    if name in ("search", "stacked"):  # folds are others
        unequal = fit_ensemble(WEIGHTED[name], X, Y, WEIGHTS).predict(X)
        assert np.abs(unequal - fit_ensemble(WEIGHTED[name], X, Y, None).predict(X)).max() > 0.01
        return
    weights = WEIGHTS * len(X) / WEIGHTS.sum()
    found = fit_ensemble(WEIGHTED[name], X, Y, weights)
    wanted = fit_ensemble(WEIGHTED[name], X[repeated], Y[repeated], None)
    np.testing.assert_allclose(found.predict(X), wanted.predict(X), rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    "ensemble",
    [
        VotingRegressor([("a", LinearRegression()), ("b", KNeighborsRegressor())]),
        VotingRegressor([("a", LinearRegression()), ("b", scaled(Ridge()))]),
        scaled(KNeighborsRegressor()),
        GridSearchCV(scaled(Ridge()), {"ridge": [KNeighborsRegressor(), Ridge()]}, cv=2),
        StackingRegressor([("a", Ridge())], KNeighborsRegressor(), cv=2),
    ],
)
def test_weights_that_do_not_reach_the_teacher_are_told(ensemble):
    with pytest.warns(UserWarning, match="sample_weight does not reach the ensemble: fit of"):
        warn_of_lost_weights(ensemble)
    fit_ensemble(ensemble, X, Y, WEIGHTS)


def test_weights_that_reach_it_give_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for ensemble in [*WEIGHTED.values(), BaggingRegressor()]:
            warn_of_lost_weights(ensemble)


def test_weights_are_routed_as_requested():
    with config_context(enable_metadata_routing=True):
        asked = LogisticRegression().set_fit_request(sample_weight=True)
        other = LogisticRegression().set_fit_request(sample_weight=False)
        assert name_of_weights(scaled(asked)) == "sample_weight"
        assert name_of_weights(scaled(other)) is None
        voters = VotingClassifier([("a", asked), ("b", asked)], voting="soft")
        fit_ensemble(voters, X, Y > 1, WEIGHTS)
