"""An Arrow IPC stream whose schema metadata `jangbu` holds columns, totals and meta as JSON."""

import pyarrow as pa

from jangbu.entrypoints.api.serialize import json
from jangbu.insight.dashboards.contracts import Answer

METADATA_KEY = b"jangbu"


def write(answer: Answer) -> bytes:
    """The whole stream."""
    described = b"".join(
        (
            b'{"columns":',
            json.encode([json.column_of(column) for column in answer.columns]),
            b',"totals":',
            json.totals(answer),
            b',"meta":',
            json.encode(json.meta_of(answer.meta)),
            b"}",
        )
    )
    table = answer.table.replace_schema_metadata({METADATA_KEY: described})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()
