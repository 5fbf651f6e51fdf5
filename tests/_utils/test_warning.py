import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

import sklearn_dlf
from sklearn_dlf._utils.warning import warn_user


def test_a_warning_points_at_the_line_of_the_caller():
    with pytest.warns(FutureWarning, match="look here") as record:
        warn_user("look here", FutureWarning)
    assert record[0].filename == __file__


def test_a_warning_of_a_worker_points_into_the_package_and_not_at_python():
    with warnings.catch_warnings(record=True) as record, ThreadPoolExecutor(1) as pool:
        warnings.simplefilter("always")
        pool.submit(sklearn_dlf.DLFRegressor(max_iter=1, n_epochs=1).fit, *rows()).result()
    assert record
    assert all("/sklearn_dlf/_estimators/" in warning.filename for warning in record)


def rows():
    """Return few rows and values, for a fit that does not converge."""
    X = [[float(i), float(i % 3)] for i in range(20)]
    return X, [row[0] for row in X]
