"""Warnings of gaps, categories and dates that were not in `fit`."""

import warnings

import numpy as np
import pandas as pd
import pytest

from sklearn_dlf._rows.novelties import Novelties
from sklearn_dlf._rows.table_encoder import TableEncoder

N = 200
RNG = np.random.RandomState(0)
FRAME = pd.DataFrame(
    {
        "area": RNG.permutation(N).astype(float),
        "gaps": np.where(np.arange(N) % 9, 1.0, np.nan),
        "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(N) * 4, "D"),
        "city": RNG.choice(["north", "south"], N),
        "shop": ["one-off", *RNG.choice(["a", "b"], N - 1)],  # fit has a rare category
    }
)
ENCODER = TableEncoder().fit(FRAME)


def messages(*parts):
    """What a call warns of, given its parts."""
    novelties = Novelties()
    for part in parts:
        ENCODER.transform(part, novelties)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        novelties.warn()
    return [str(each.message) for each in warned]


@pytest.mark.parametrize("n_rows", [1, 3, N])
def test_rows_of_fit_give_no_warning(n_rows):
    assert messages(FRAME.tail(n_rows)) == []


@pytest.mark.parametrize(
    ("column", "filled"),
    [
        ("area", "'area' as 99.5, the median of fit."),
        ("day", "'day' as 2021-02-02, the median of fit."),
        ("city", "'city' as a category that was not in fit."),
        ("shop", "'shop' as a category that was not in fit."),
    ],
)
def test_a_column_with_a_new_gap_is_named_with_what_is_filled_in(column, filled):
    rows = FRAME.tail(20).copy()
    rows.loc[rows.index[0], column] = None
    [message] = messages(rows)
    assert "no gap in fit" in message
    assert filled in message


def test_gaps_where_fit_had_some_are_ordinary():
    assert messages(FRAME.assign(gaps=np.nan).head(9)) == []
    some = np.where(np.arange(len(FRAME)) % 2, np.nan, 1.0)
    assert messages(FRAME.assign(gaps=some)) == []


GAPPED = pd.DataFrame(
    {
        "number": np.arange(2000.0),
        "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(2000), "D"),
        "city": pd.Categorical(RNG.choice(["north", "south"], 2000)),
        "flag": pd.array(RNG.uniform(size=2000) < 0.5, dtype="boolean"),
    }
).mask(RNG.uniform(size=(2000, 4)) < 0.03)
GAPPED_ENCODER = TableEncoder().fit(GAPPED)


@pytest.mark.parametrize("column", list(GAPPED))
@pytest.mark.parametrize(("n_gaps", "is_told"), [(650, 1), (640, 1), (340, 1), (60, 0)])
def test_a_column_of_any_kind_that_turns_to_gaps_is_told(column, n_gaps, is_told):
    rows = GAPPED.tail(650).ffill().bfill()
    rows.loc[rows.index[:n_gaps], column] = None
    novelties = Novelties()
    for part in np.array_split(np.arange(650), 3):
        GAPPED_ENCODER.transform(rows.iloc[part], novelties)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        novelties.warn()
    assert len(warned) == is_told
    for each in warned:
        known = f"in columns that had some in fit: '{column}' has one in {650 - n_gaps} of 650 rows"
        assert known in str(each.message)
        assert ("no value at all" in str(each.message)) == (n_gaps == 650)


@pytest.mark.parametrize("share", [0.03, 0.3, 0.5])
def test_rows_with_as_many_gaps_as_fit_give_no_warning(share):
    rng = np.random.RandomState(1)
    frame = pd.DataFrame({"number": np.where(rng.uniform(size=1000) < share, np.nan, 1.0)})
    frame["city"] = np.where(rng.uniform(size=1000) < share, None, "north")
    encoder = TableEncoder().fit(frame)
    for _ in range(200):
        novelties = Novelties()
        encoder.transform(frame.sample(rng.randint(10, 40), random_state=rng), novelties)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            novelties.warn()


@pytest.mark.parametrize(
    ("n_rows", "n_new", "is_told"),
    [(20, 11, True), (20, 10, False), (9, 9, True), (9, 8, False), (1, 1, True)],
)
def test_new_categories_in_most_of_many_rows_or_all_of_few_are_told(n_rows, n_new, is_told):
    rows = FRAME.tail(n_rows).copy()
    rows.loc[rows.index[:n_new], "city"] = "North"
    found = messages(rows)
    assert len(found) == is_told
    assert all(f"'city' in {n_new} of {n_rows} rows, such as 'North'" in each for each in found)
    assert all("fit had, for example, 'north', 'south'" in each for each in found)


def test_a_new_category_is_ordinary_in_few_rows_where_fit_had_rare_ones():
    assert messages(FRAME.tail(9).assign(shop="new")) == []
    assert "'shop' in 10 of 10" in messages(FRAME.tail(10).assign(shop=7))[0]


def test_parts_of_a_call_are_counted_together():
    new = FRAME.assign(city=1)
    assert len(messages(FRAME, new, new)) == 1
    assert messages(FRAME, FRAME, new) == []


@pytest.mark.parametrize(
    ("days", "is_told"), [(60, False), (-60, False), (900, True), (-900, True)]
)
def test_dates_far_outside_of_those_of_fit_are_told(days, is_told):
    rows = FRAME.assign(day=FRAME["day"] + pd.Timedelta(days, "D"))
    found = messages(rows)
    assert len(found) == is_told
    assert all(
        "'day' has dates far outside of those of fit in 200 of 200" in each for each in found
    )
    assert all("and fit had 2020-01-01 to 2022-03-07" in each for each in found)
    assert len(messages(rows.tail(1))) == is_told
    assert messages(FRAME, FRAME, rows) == []


def test_gaps_are_named_behind_dates():
    frame = FRAME[["day", "area", "city"]]
    encoder, novelties = TableEncoder().fit(frame), Novelties()
    encoder.transform(frame.assign(area=np.nan), novelties)
    with pytest.warns(UserWarning, match="'area' as 99.5, the median of fit"):
        novelties.warn()


def test_dates_far_outside_are_ordered_as_dates_and_a_day_is_near():
    day = pd.Timestamp("2020-01-01")
    frame = pd.DataFrame({"day": [day] * 3})
    encoder = TableEncoder().fit(frame)

    def told(*rows):
        novelties = Novelties()
        for each in rows:
            encoder.transform(pd.DataFrame({"day": [each]}), novelties)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            novelties.warn()
        return [str(each.message) for each in warned]

    assert told(day + pd.Timedelta(1, "s")) == []
    [message] = told(np.datetime64("12000-01-01"), np.datetime64("2031-01-01"))
    assert "2031-01-01 to 12000-01-01" in message
