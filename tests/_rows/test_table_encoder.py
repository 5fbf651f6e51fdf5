import datetime
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from sklearn_dlf._rows.columns import looks_like_dates
from sklearn_dlf._rows.table_encoder import MAX_CATEGORIES, TableEncoder

FRAME = pd.DataFrame(
    {
        "age": [20, 30, 40, 50, 60, 70],
        "income": [1.0, np.nan, 3.0, 4.0, np.nan, 6.0],
        "city": ["a", "b", "a", "b", "a", None],
        "day": pd.to_datetime(
            ["2020-01-01", "2020-07-01", "2021-01-01", None] + ["2021-09-01"] * 2
        ),
        "new": [True, False, True, False, True, True],
    }
)


def test_every_kind_of_column_is_read():
    encoder = TableEncoder().fit(FRAME)
    assert encoder.kinds_ == ["number", "number", "category", "date", "number"]
    names = encoder.get_feature_names_out().tolist()
    read = pd.DataFrame(encoder.transform(FRAME), columns=names)
    assert names == [
        *["age", "income", "day", "day_sin_year", "day_cos_year", "day_sin_week", "day_cos_week"],
        *["new", "missingindicator_income", "missingindicator_day"],
        *[f"missingindicator_day_{a}_{b}" for b in ("year", "week") for a in ("sin", "cos")],
        *["city_", "city_a", "city_b"],
    ]
    assert read["age"].tolist() == FRAME["age"].tolist()
    assert read["income"].tolist() == [1.0, 3.5, 3.0, 4.0, 3.5, 6.0]
    assert read["missingindicator_income"].tolist() == [0, 1, 0, 0, 1, 0]
    assert read["city_a"].tolist() == [1, 0, 1, 0, 1, 0]
    assert read["city_"].tolist() == [0, 0, 0, 0, 0, 1]
    assert read["new"].tolist() == [1, 0, 1, 0, 1, 1]
    assert np.isfinite(read.to_numpy()).all()


def test_days_and_cycles_of_dates():
    day = pd.date_range("2023-01-01", periods=800, freq="D")
    encoder = TableEncoder().fit(pd.DataFrame({"day": day}))
    read = pd.DataFrame(
        encoder.transform(pd.DataFrame({"day": day})), columns=encoder.get_feature_names_out()
    )
    assert_allclose(np.diff(read["day"]), 1)
    assert_allclose(read["day_sin_week"][7:], read["day_sin_week"][:-7], atol=1e-6)
    assert "day_sin_day" not in read  # dates without a time
    hours = pd.DataFrame({"at": pd.date_range("2023-01-01", periods=40, freq="h")})
    names = TableEncoder().fit(hours).get_feature_names_out()
    assert names.tolist() == ["at", "at_sin_day", "at_cos_day"]


def test_the_container_does_not_matter():
    arrays = FRAME.astype(object).where(FRAME.notna(), None).to_numpy()
    others = {
        "polars": pl.from_dict(
            {name: arrays[:, place].tolist() for place, name in enumerate(FRAME)}
        ),
        "nullable": FRAME.convert_dtypes(),
        "category": FRAME.astype({"city": "category"}),
        "objects": arrays,
    }
    expected = TableEncoder().fit_transform(FRAME)
    for name, other in others.items():
        assert_allclose(TableEncoder().fit(FRAME).transform(other), expected, err_msg=name)
        assert_allclose(TableEncoder().fit_transform(other), expected, err_msg=name)


def test_rare_and_unknown_categories_share_an_indicator():
    city = ["a"] * 60 + ["b"] * 60 + ["c", "d"]
    encoder = TableEncoder().fit(pd.DataFrame({"city": city}))
    read = encoder.transform(pd.DataFrame({"city": ["a", "c", "d", "elsewhere"]}))
    assert read.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]]


def test_a_column_of_many_categories_has_a_bounded_number_of_indicators():
    city = pd.Series(np.arange(3_000) % 600).astype("category")
    with pytest.warns(UserWarning, match="'city' has 600 categories.* 58% of the rows"):
        read = TableEncoder().fit_transform(pd.DataFrame({"city": city}))
    assert read.shape[1] == MAX_CATEGORIES


@pytest.mark.parametrize(
    ("city", "n_indicators"),
    [(np.arange(3_000) % 100, 100), (np.r_[np.arange(2_800) % 20, 20:320], 21)],
)
def test_categories_that_few_rows_have_are_merged_without_a_word(city, n_indicators):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = pd.DataFrame({"city": pd.Series(city).astype("category")})
        read = TableEncoder().fit_transform(frame)
    assert read.shape[1] == n_indicators


def test_each_column_has_about_the_same_weight_in_a_distance():
    rng = np.random.RandomState(0)
    frame = pd.DataFrame(
        {
            "number": 100 * rng.standard_normal(4000),
            "two": rng.choice(list("ab"), 4000),
            "many": rng.choice(list("abcdefghij"), 4000),
        }
    )
    encoder = TableEncoder().fit(frame)
    scaled = encoder.transform(frame) / encoder.units_
    squares = (scaled[:2000] - scaled[2000:]) ** 2
    weights = [squares[:, 0].mean(), squares[:, 1:3].sum(1).mean(), squares[:, 3:].sum(1).mean()]
    assert_allclose(weights, 2, rtol=0.1)


def test_output_settings_of_scikit_learn_do_not_matter():
    from sklearn import config_context

    expected = TableEncoder().fit_transform(FRAME)
    with config_context(transform_output="pandas"):
        found = TableEncoder().fit(FRAME).transform(FRAME)
    assert_array_equal(np.asarray(found), expected)


def test_a_column_without_a_value_is_read_as_missing():
    frame = FRAME.assign(empty=np.nan, none=pd.Series([None] * 6, dtype=object))
    assert np.isfinite(TableEncoder().fit_transform(frame)).all()


def test_it_is_cloned_and_pickled():
    encoder = TableEncoder().fit(FRAME)
    assert_array_equal(
        pickle.loads(pickle.dumps(encoder)).transform(FRAME), encoder.transform(FRAME)
    )
    assert not hasattr(clone(encoder), "kinds_")


def test_another_number_of_columns_is_refused():
    with pytest.raises(ValueError, match="4 columns, expected 5"):
        TableEncoder().fit(FRAME).transform(FRAME.iloc[:, :4])


FORMS = "%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S%z", "%Y/%m/%d"
FORMS_BY_DAY = "%d.%m.%Y", "%m/%d/%y", "%d-%m-%Y"


@pytest.mark.parametrize("form", [*FORMS, *FORMS_BY_DAY])
def test_strings_that_look_like_dates_are_told(form):
    days = pd.date_range("2024-01-01", periods=40, tz="Asia/Tokyo").strftime(form)
    frame = pd.DataFrame({"opened": days.where(np.arange(40) % 7 > 0, None)})
    with pytest.warns(
        UserWarning, match=r"'opened' holds categories that look like dates.*to_datetime"
    ):
        TableEncoder().fit(frame)


@pytest.mark.parametrize(
    "labels", [["2024-01-01", "2024-02-01"] * 20, [f"{i}-1" for i in range(40)]]
)
def test_other_strings_are_not(labels):
    TableEncoder().fit(pd.DataFrame({"kind": labels}))
    TableEncoder().fit(pd.DataFrame({"when": pd.date_range("2024-01-01", periods=40)}))


def test_text_that_looks_like_dates_is_told():
    days = pd.date_range("2024-01-01", periods=100).strftime("%Y-%m-%d")
    with pytest.raises(
        ValueError, match=r"'opened' holds strings that look like dates.*to_datetime"
    ):
        TableEncoder().fit(pd.DataFrame({"opened": days}))


@pytest.mark.parametrize(
    "text",
    [
        "3.11.0",
        "1.1.10",
        "2.2.12",
        "1000-3-7",
        "2024-13-01",
        "1-2",
        "2024-01",
        "192.168.1.1",
        "12.5",
        "0049-30-1234",
    ],
)
def test_versions_and_numbers_of_parts_are_no_dates(text):
    assert not looks_like_dates([text])


def test_times_are_read_in_the_time_zone_of_fit():
    times = pd.date_range("2024-01-01", periods=50, freq="7h", tz="UTC").as_unit("us")
    frame = pd.DataFrame({"at": times})
    encoder = TableEncoder().fit(frame)
    elsewhere = frame.assign(at=times.tz_convert("Asia/Tokyo"))
    assert_array_equal(encoder.transform(elsewhere), encoder.transform(frame))
    naive = frame.assign(at=times.tz_localize(None))
    assert_array_equal(encoder.transform(naive), encoder.transform(frame))


def test_times_of_polars_are_read_in_the_time_zone_of_fit():
    times = pd.date_range("2024-01-01", periods=50, freq="7h").to_numpy().astype("datetime64[us]")
    frame = pl.DataFrame({"at": times}).with_columns(pl.col("at").dt.replace_time_zone("UTC"))
    elsewhere = frame.with_columns(pl.col("at").dt.convert_time_zone("Asia/Tokyo"))
    encoder = TableEncoder().fit(frame)
    assert_array_equal(encoder.transform(elsewhere), encoder.transform(frame))


@pytest.mark.parametrize("zone", [datetime.timezone(datetime.timedelta(hours=2), "CEST"), "+02:00"])
def test_zones_without_a_name_are_read_by_their_clocks(zone):
    times = pd.date_range("2024-01-01", periods=50, freq="7h", tz=zone).as_unit("us")
    encoder = TableEncoder().fit(pd.DataFrame({"at": times}))
    clocks = TableEncoder().fit(pd.DataFrame({"at": times.tz_localize(None)}))
    assert_array_equal(
        encoder.transform(pd.DataFrame({"at": times})),
        clocks.transform(pd.DataFrame({"at": times.tz_localize(None)})),
    )


def test_objects_of_another_zone_are_read_in_that_of_fit():
    times = pd.date_range("2024-01-01", periods=50, freq="7h", tz="UTC").as_unit("us")
    encoder = TableEncoder().fit(pd.DataFrame({"at": times}))
    elsewhere = pd.Series(list(times.tz_convert("Asia/Tokyo").to_pydatetime()), dtype=object)
    assert_array_equal(
        encoder.transform(pd.DataFrame({"at": elsewhere})),
        encoder.transform(pd.DataFrame({"at": times})),
    )
