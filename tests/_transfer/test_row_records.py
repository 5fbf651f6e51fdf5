import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeRegressor

from sklearn_dlf._transfer.row_records import are_scaled, compare_rows, moved_share

RNG = np.random.RandomState(0)
X = 50 + 10 * RNG.standard_normal((200, 3))
Y = (X[:, 0] > 50).astype(int)

MODELS = {
    "trees": RandomForestRegressor(5, random_state=0),
    "histograms": HistGradientBoostingRegressor(max_iter=2),
    "neighbours": KNeighborsRegressor(),
    "support vectors": SVR(),
    "naive Bayes": GaussianNB(),
    "standard scaler": make_pipeline(StandardScaler(), LinearRegression()),
    "range": make_pipeline(MinMaxScaler(), LinearRegression()),
    "quartiles": make_pipeline(RobustScaler(), LinearRegression()),
}


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler(), RobustScaler()])
@pytest.mark.parametrize("name", MODELS)
def test_records_match_rows_in_their_units_and_no_others(name, scaler):
    model = MODELS[name].fit(X[:100], Y[:100])
    assert compare_rows([model, model], X[100:]).match is True
    assert compare_rows([model, model], scaler.fit_transform(X[100:])).match is False


def test_linear_models_have_no_record():
    assert compare_rows([LinearRegression().fit(X, Y)] * 2, X).match is None


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler(), RobustScaler()])
def test_scaled_rows_are_recognised(scaler):
    assert are_scaled(scaler.fit_transform(X))
    assert not are_scaled(scaler.fit_transform(X)[:150])


def test_the_moved_share_is_zero_at_own_rows_and_counts_moved_ones():
    tree = DecisionTreeRegressor(max_depth=2, random_state=0).fit(X, X[:, 0])
    assert moved_share(tree.tree_, X) == 0
    everything_low = np.full_like(X, -1.0)
    lowest = np.mean(tree.apply(X) == tree.apply(everything_low)[0])
    assert moved_share(tree.tree_, everything_low) == pytest.approx(1 - lowest)
