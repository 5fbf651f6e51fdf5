import pytest
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.ensemble import RandomForestRegressor

from sklearn_dlf import DLFRegressor
from sklearn_dlf._transfer import design_points
from sklearn_dlf.datasets import make_dlf_ensemble

# Rows made for each row where a student encodes its columns: fewer than by default, for speed.
N_MADE_ENCODED = 40


@pytest.fixture(scope="session", autouse=True)
def few_made_rows():
    """Let students of all tests learn at few made rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(design_points, "N_MADE_ENCODED", N_MADE_ENCODED)
        yield


@pytest.fixture(scope="session")
def known():
    """Members drawn from a model that is known."""
    return make_dlf_ensemble(n_samples=150, n_members=30, random_state=0)


@pytest.fixture(scope="session")
def friedman():
    """Rows and values of a smooth function of ten columns."""
    return make_friedman1(200, noise=1.0, random_state=0)


@pytest.fixture(scope="session")
def forest(friedman):
    """A forest fitted to `friedman`."""
    return RandomForestRegressor(20, min_samples_leaf=3, random_state=0).fit(*friedman)


@pytest.fixture(scope="session")
def student(friedman, forest):
    """A student of `forest`."""
    X, y = friedman
    return DLFRegressor(q=4, tol=0.01, random_state=0).fit(X, y, ensemble=forest)


@pytest.fixture(scope="session")
def two_outputs():
    """Members with two outputs, drawn from a model that is known."""
    return make_dlf_ensemble(n_samples=150, n_members=30, n_outputs=2, random_state=0)


@pytest.fixture(scope="session")
def diabetes_frame():
    """Real rows with column names."""
    return load_diabetes(return_X_y=True, as_frame=True)
