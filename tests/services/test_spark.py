"""Spark and PyIceberg work on the same tables."""

import pytest
from services.plugin import GetService
from support.lake import Lake, filled, ids
from support.servers import only_on_loopback
from support.spark_session import spark_session


@pytest.mark.slow
@pytest.mark.services("spark", "postgres", "s3")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_spark_and_pyiceberg_write_the_same_table(service: GetService) -> None:
    server = service("spark")
    lake = Lake.made("smokespark", service("postgres"), service("s3"))
    with spark_session(server, lake) as session:
        with lake.pyiceberg() as catalog:
            filled(catalog)
            gone = "USING (SELECT 2L AS id) gone ON sales.id = gone.id WHEN MATCHED THEN DELETE"
            session.sql(f"MERGE INTO smokespark.smoke.sales AS sales {gone}").collect()
            session.sql("INSERT INTO smokespark.smoke.sales VALUES (4, '라')").collect()
            assert ids(catalog) == [1, 3, 4]
        session.sql("CALL smokespark.system.rewrite_data_files(table => 'smoke.sales')").collect()
        assert session.sql("SELECT count(*) FROM smokespark.smoke.sales").collect()[0][0] == 3
    assert only_on_loopback(server)
