"""Students of linear members and new rows. Tests that change a student copy it."""

import pytest
from linear_students import make_classifier, make_regressor


@pytest.fixture(scope="module")
def two_classes():
    return make_classifier(2)


@pytest.fixture(scope="module")
def three_classes():
    return make_classifier(3)


@pytest.fixture(scope="module")
def classes_of_groups():
    return make_classifier(2, has_group=True)


@pytest.fixture(scope="module")
def one_output():
    return make_regressor(1)


@pytest.fixture(scope="module")
def values_of_groups():
    return make_regressor(1, has_group=True)


@pytest.fixture(scope="module")
def separable():
    return make_regressor(2, loadings="separable")
