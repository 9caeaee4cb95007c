"""The reference's time, held against examples worked by hand from query.md."""

from datetime import UTC, date, datetime, timedelta

import pytest
from reference.model import Refused
from reference.time_reference import Days, Instants, bucket_of, buckets_of, compared, day_start, moment, span_of, wire, zone_named

NEW_YORK = zone_named("America/New_York")
LORD_HOWE = zone_named("Australia/Lord_Howe")
SEOUL = zone_named("Asia/Seoul")
NOW = datetime(2018, 1, 1, 4, 59, 59, tzinfo=UTC)
"""2017-12-31T23:59:59 in New York: a Sunday."""


@pytest.mark.parametrize(
    ("word", "first", "last"),
    [
        ("last 7 days", "2017-12-25", "2017-12-31"),
        ("last 12 months", "2017-01-01", "2017-12-31"),
        ("last 2 weeks", "2017-12-18", "2017-12-31"),
        ("last 5 quarters", "2016-10-01", "2017-12-31"),
        ("last 1 years", "2017-01-01", "2017-12-31"),
        ("today", "2017-12-31", "2017-12-31"),
        ("yesterday", "2017-12-30", "2017-12-30"),
        ("this week", "2017-12-25", "2017-12-31"),
        ("last week", "2017-12-18", "2017-12-24"),
        ("last month", "2017-11-01", "2017-11-30"),
        ("this quarter", "2017-10-01", "2017-12-31"),
        ("last year", "2016-01-01", "2016-12-31"),
        ("2017", "2017-01-01", "2017-12-31"),
        ("2017-Q1", "2017-01-01", "2017-03-31"),
        ("2016-02", "2016-02-01", "2016-02-29"),
        ("2017-03-05", "2017-03-05", "2017-03-05"),
    ],
)
def test_a_word_is_whole_units(word: str, first: str, last: str) -> None:
    span = span_of(word, NOW, NEW_YORK)
    assert isinstance(span, Days)
    assert (str(span.first), str(span.last)) == (first, last)


def test_today_is_the_zones_day() -> None:
    assert span_of("today", NOW, SEOUL) == Days(date(2018, 1, 1), date(2018, 1, 1))


def test_this_year_reaches_past_now() -> None:
    span = span_of("this year", datetime(2017, 3, 5, 12, tzinfo=UTC), NEW_YORK)
    assert isinstance(span, Days)
    assert (span.first, span.last) == (date(2017, 1, 1), date(2017, 12, 31))


@pytest.mark.parametrize(
    "value",
    [
        ["2017-03-02", "2017-03-01"],
        ["2017-03-01", "2017-03-02T00:00:00Z"],
        ["2017-03-01T00:00:00", "2017-03-02T00:00:00"],
        ["2017-03-01"],
        ["2017-02-29", "2017-03-01"],
        "last 0 days",
        "last 99999 years",
        "2017-Q5",
        "2017-13",
        "0000",
        "next week",
        "20170301",
    ],
)
def test_what_is_no_range_is_refused(value: object) -> None:
    with pytest.raises(Refused, match="invalid_time"):
        span_of(value, NOW, NEW_YORK)


@pytest.mark.parametrize(
    ("value", "how", "first", "last"),
    [
        (["2017-03-01", "2017-03-31"], "previous_period", "2017-01-29", "2017-02-28"),
        ("2017-03", "previous_period", "2017-02-01", "2017-02-28"),
        ("2017-Q1", "previous_period", "2016-10-01", "2016-12-31"),
        ("last 12 months", "previous_period", "2016-01-01", "2016-12-31"),
        ("last 2 weeks", "previous_period", "2017-12-04", "2017-12-17"),
        ("last 7 days", "previous_period", "2017-12-18", "2017-12-24"),
        ("yesterday", "previous_period", "2017-12-29", "2017-12-29"),
        (["2016-02-01", "2016-02-29"], "previous_year", "2015-02-01", "2015-02-28"),
        (["2017-02-01", "2017-02-28"], "previous_year", "2016-02-01", "2016-02-28"),
        ("last 7 days", "previous_year", "2016-12-25", "2016-12-31"),
        (["2017-12-31", "2017-12-31"], "previous_year_by_weekday", "2017-01-01", "2017-01-01"),
        ("2017-03", {"range": "2016-12"}, "2016-12-01", "2016-12-31"),
    ],
)
def test_a_compared_range_of_days(value: object, how: object, first: str, last: str) -> None:
    span = compared(span_of(value, NOW, NEW_YORK), how, NOW, NEW_YORK)
    assert isinstance(span, Days)
    assert (str(span.first), str(span.last)) == (first, last)


def test_two_instants_are_compared_with_as_long_just_before() -> None:
    span = span_of(["2017-03-12T00:00:00-05:00", "2017-03-13T00:00:00-04:00"], NOW, NEW_YORK)
    before = compared(span, "previous_period", NOW, NEW_YORK)
    assert before == Instants(datetime(2017, 3, 11, 6, tzinfo=UTC), datetime(2017, 3, 12, 5, tzinfo=UTC))


def test_two_instants_a_year_before_keep_the_wall_clock() -> None:
    span = span_of(["2016-02-29T12:00:00-05:00", "2016-03-13T12:00:00-04:00"], NOW, NEW_YORK)
    before = compared(span, "previous_year", NOW, NEW_YORK)
    assert before == Instants(datetime(2015, 2, 28, 17, tzinfo=UTC), datetime(2015, 3, 13, 16, tzinfo=UTC))


def test_two_instants_364_days_before_keep_the_wall_clock() -> None:
    span = span_of(["2017-11-05T12:00:00-05:00", "2017-11-13T12:00:00-05:00"], NOW, NEW_YORK)
    before = compared(span, "previous_year_by_weekday", NOW, NEW_YORK)
    assert before == Instants(datetime(2016, 11, 6, 17, tzinfo=UTC), datetime(2016, 11, 14, 17, tzinfo=UTC))


@pytest.mark.parametrize(
    ("frequency", "bucket"),
    [
        ("day", "2017-12-31"),
        ("week", "2017-12-25"),
        ("sunday_week", "2017-12-31"),
        ("month", "2017-12-01"),
        ("quarter", "2017-10-01"),
        ("year", "2017-01-01"),
        ("hour", "2017-12-31T23:00:00-05:00"),
        ("minute", "2017-12-31T23:59:00-05:00"),
    ],
)
def test_a_bucket_is_named_by_its_start_in_the_zone(frequency: str, bucket: str) -> None:
    assert wire(bucket_of(NOW + timedelta(microseconds=5), frequency, NEW_YORK), NEW_YORK) == bucket


def test_the_hour_that_comes_twice_is_two() -> None:
    hours = buckets_of(span_of("2017-11-05", NOW, NEW_YORK), "hour", NEW_YORK)
    shown = [wire(hour, NEW_YORK) for hour in hours]
    assert len(shown) == 25
    assert shown[:3] == ["2017-11-05T00:00:00-04:00", "2017-11-05T01:00:00-04:00", "2017-11-05T01:00:00-05:00"]


def test_the_skipped_hour_is_no_bucket() -> None:
    shown = [wire(hour, NEW_YORK) for hour in buckets_of(span_of("2017-03-12", NOW, NEW_YORK), "hour", NEW_YORK)]
    assert len(shown) == 23
    assert shown[1:3] == ["2017-03-12T01:00:00-05:00", "2017-03-12T03:00:00-04:00"]


def test_half_an_hour_that_comes_twice_is_a_bucket_from_the_change_on() -> None:
    shown = [wire(hour, LORD_HOWE) for hour in buckets_of(span_of("2017-04-02", NOW, LORD_HOWE), "hour", LORD_HOWE)]
    assert shown[1:4] == ["2017-04-02T01:00:00+11:00", "2017-04-02T01:30:00+10:30", "2017-04-02T02:00:00+10:30"]
    assert bucket_of(datetime(2017, 4, 1, 15, 20, tzinfo=UTC), "hour", LORD_HOWE) == datetime(2017, 4, 1, 15, tzinfo=UTC)


def test_half_an_hour_that_is_skipped_shortens_its_hour() -> None:
    shown = [wire(hour, LORD_HOWE) for hour in buckets_of(span_of("2017-10-01", NOW, LORD_HOWE), "hour", LORD_HOWE)]
    assert shown[1:4] == ["2017-10-01T01:00:00+10:30", "2017-10-01T02:30:00+11:00", "2017-10-01T03:00:00+11:00"]


def test_each_moment_of_a_range_is_in_one_of_its_buckets() -> None:
    for zone in (NEW_YORK, LORD_HOWE, SEOUL):
        for day in ("2017-03-12", "2017-04-02", "2017-10-01", "2017-11-05"):
            span = span_of(day, NOW, zone)
            assert isinstance(span, Days)
            start, end = day_start(span.first, zone), day_start(span.first + timedelta(days=1), zone)
            minutes = [start + timedelta(minutes=count) for count in range(int((end - start).total_seconds()) // 60)]
            for frequency in ("minute", "hour"):
                assert list(dict.fromkeys(bucket_of(at, frequency, zone) for at in minutes)) == buckets_of(span, frequency, zone)


def test_a_day_without_midnight_starts_at_the_change() -> None:
    assert day_start(date(2017, 10, 15), zone_named("America/Sao_Paulo")) == datetime(2017, 10, 15, 3, tzinfo=UTC)


def test_an_instant_range_ends_before_its_end() -> None:
    span = span_of(["2017-03-01T10:30:00-05:00", "2017-03-01T12:00:00-05:00"], NOW, NEW_YORK)
    shown = [wire(hour, NEW_YORK) for hour in buckets_of(span, "hour", NEW_YORK)]
    assert shown == ["2017-03-01T10:00:00-05:00", "2017-03-01T11:00:00-05:00"]


def test_an_instant_needs_its_offset() -> None:
    with pytest.raises(Refused, match="invalid_time"):
        moment("2017-03-01T10:00:00")
    assert moment("2017-03-01T10:00:00.5+09:00") == datetime(2017, 3, 1, 1, 0, 0, 500_000, tzinfo=UTC)
