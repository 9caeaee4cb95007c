"""OpenSearch finds Korean words and keeps what it confirmed when it is killed."""

import pytest
from opensearchpy import OpenSearch
from services.plugin import GetService
from support.servers import only_on_loopback


@pytest.mark.slow
@pytest.mark.services("opensearch", own=True)
def test_opensearch(own_service: GetService) -> None:
    server = own_service("opensearch")
    assert only_on_loopback(server)
    with OpenSearch(server["url"], timeout=30) as client:
        text = {"type": "text", "analyzer": "nori"}
        client.indices.create(index="smoke", body={"mappings": {"properties": {"note": text}}})
        client.index(index="smoke", id="1", body={"note": "지난달보다 매출이 올랐습니다"})
        server.kill()
        server.restart()
        client.indices.refresh(index="smoke")
        found = client.search(index="smoke", body={"query": {"match": {"note": "매출"}}})
    assert [hit["_id"] for hit in found["hits"]["hits"]] == ["1"]
