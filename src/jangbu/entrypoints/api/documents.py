"""What OpenAPI says about the routes: bodies, answers, problems, examples that can be sent as they are."""

from typing import Any, Final

from jangbu.entrypoints.api.problems import MEDIA_TYPE as PROBLEM
from jangbu.entrypoints.api.serialize import ARROW, CSV, JSON
from jangbu.insight.dashboards.contracts import QueryRequest, Role
from jangbu.kernel.errors import tree_of_errors
from jangbu.kernel.filters import json_schema
from jangbu.kernel.types import FieldType

_REF: Final = "#/components/schemas/"
_PROBLEMS: Final = {
    400: "The body isn't a JSON object.",
    401: "No valid API key.",
    403: "A tenant that the key doesn't hold.",
    404: "There is nothing of this name.",
    406: "None of the types in Accept can be had.",
    413: "The body is too long.",
    422: "The request can't be answered as it stands; `path` says where.",
    500: "A fault of the server; its log has the reason under `id`.",
    502: "The query engine failed.",
    503: "Busy or not ready; try again after Retry-After.",
    504: "The answer took too long.",
}

EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "by_department": {
        "summary": "Which departments sell most",
        "value": {
            "data_source": "sales",
            "measures": ["revenue", "orders"],
            "dimensions": ["department"],
            "time": {"range": "last 12 months"},
            "order": [{"field": "revenue", "direction": "desc"}],
            "limit": 10,
        },
    },
    "by_month_compared": {
        "summary": "Revenue by month in the fourth quarter, beside the third",
        "value": {
            "data_source": "sales",
            "measures": ["revenue"],
            "time": {"range": "2017-Q4", "compare": "previous_period", "fill": True},
            "time_frequency": "month",
            "totals": True,
        },
    },
    "filtered": {
        "summary": "Days on which produce or grocery sold for more than 100",
        "value": {
            "data_source": "sales",
            "measures": ["revenue"],
            "dimensions": ["department"],
            "filter": {
                "and": [
                    {"field": "department", "op": "in", "values": ["GROCERY", "PRODUCE"]},
                    {"not": {"field": "revenue", "op": "lt", "values": [100]}},
                ]
            },
            "time": {"range": ["2017-03-01", "2017-03-31"]},
            "time_frequency": "day",
        },
    },
    "abc": {
        "summary": "Product categories by Pareto class",
        "value": {
            "data_source": "sales",
            "measures": ["revenue"],
            "dimensions": ["department"],
            "analysis": {"kind": "abc", "thresholds": [0.8, 0.95]},
        },
    },
}

_ANSWER_EXAMPLE: Final[dict[str, Any]] = {
    "columns": [
        {
            "name": "department",
            "type": "text",
            "unit": None,
            "format": None,
            "label": {"ko": "부문", "en": "Department"},
            "role": "dimension",
            "of": None,
        },
        {
            "name": "revenue",
            "type": "decimal",
            "unit": "currency",
            "format": "money",
            "label": {"ko": "매출", "en": "Revenue"},
            "role": "measure",
            "of": None,
        },
    ],
    "rows": [["GROCERY", 2316394.35], ["DRUG GM", 596827.45]],
    "totals": None,
    "meta": {
        "query_id": "0190a6b2c3d4",
        "zone": "America/New_York",
        "as_of": {"sales": "2018-01-01T00:00:00-05:00"},
        "data_versions": {"sales": 1},
        "legs": [{"data_source": "sales", "server": "duckdb", "rows": 2, "ms": 12.4, "cache": "none", "purpose": "current"}],
        "warnings": [],
        "truncated": True,
        "now": "2017-12-31T23:59:59-05:00",
    },
}


def problems(*statuses: int) -> dict[str, Any]:
    """The error responses of these statuses, beside those that every route has."""
    content = {PROBLEM: {"schema": {"$ref": _REF + "Problem"}}}
    found = {str(status): {"description": _PROBLEMS[status], "content": content} for status in sorted({*statuses, 500, 503})}
    if "401" in found:
        found["401"]["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    found["503"]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "In seconds."}}
    return found


def _json(schema: str, description: str) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": {"$ref": _REF + schema}}}}


_BODY: Final = {"required": True, "content": {JSON: {"schema": {"$ref": _REF + "QueryRequest"}, "examples": EXAMPLES}}}
_ANSWER: Final = _json("Answer", "The answer.")
_ANSWER["content"][ARROW] = {"schema": {"type": "string", "format": "binary"}}
_ANSWER["content"][CSV] = {"schema": {"type": "string"}}

QUERY: Final = {
    "requestBody": _BODY,
    "responses": {"200": _ANSWER} | problems(400, 401, 403, 406, 413, 422, 502, 504),
}
EXPLAIN: Final = {
    "requestBody": _BODY,
    "responses": {"200": _json("Explanation", "How it would be answered.")} | problems(400, 401, 403, 406, 413, 422),
}
VALUES: Final = {"responses": {"200": _json("ValuesPage", "A page of values.")} | problems(401, 403, 404, 422, 502, 504)}
LISTING: Final = {"responses": {"200": _json("Listing", "What can be asked.")} | problems(401, 403, 422)}
PAGE: Final = {"responses": {"200": _json("Page", "A page of definitions.")} | problems(401, 403, 422)}
ONE: Final = {"responses": {"200": _json("Definition", "The definition.")} | problems(401, 403, 404, 422)}

LOADS: Final = {"responses": {"200": _json("LoadsPage", "A page of loads.")} | problems(401, 403, 422)}
LOAD: Final = {"responses": {"200": _json("Load", "The load.")} | problems(401, 404, 422)}
BAD_ROWS: Final = {"responses": {"200": _json("BadRowsPage", "A page of rows.")} | problems(401, 404, 422)}
REPLAY: Final = {"responses": {"200": _json("Replayed", "What became of them.")} | problems(401, 403, 404, 422)}
DISMISS: Final = {"responses": {"200": _json("Dismissed", "How many there were.")} | problems(401, 403, 404, 422)}

_NULLABLE_TEXT: Final = {"type": ["string", "null"]}
_RANGE: Final = {"type": ["array", "null"], "items": {"type": "string"}, "minItems": 2, "maxItems": 2}
_LABEL: Final = {"type": ["object", "null"], "properties": {"ko": {"type": "string"}, "en": {"type": "string"}}}
_NEXT: Final = {"type": ["integer", "null"], "description": "The offset of the next page; null on the last."}


def _object(properties: dict[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"type": "object", "required": [name for name in properties if name not in optional], "properties": properties}


def schemas() -> dict[str, Any]:
    """The components that pydantic can't derive from signatures."""
    request = QueryRequest.model_json_schema(ref_template=_REF + "{model}")
    inner = request.pop("$defs", {})
    request["properties"]["filter"] = {"anyOf": [{"$ref": _REF + "Filter"}, {"type": "null"}], "default": None}
    definitions = {"type": "array", "items": {"$ref": _REF + "Definition"}}
    return {
        **inner,
        "QueryRequest": request,
        "Filter": json_schema(_REF + "Filter"),
        "Problem": _problem(),
        "Column": _column(),
        "Meta": _meta(),
        "Answer": _answer(),
        "Explanation": _object(
            {
                "plan": {"type": "string"},
                "filter": _NULLABLE_TEXT,
                "range": _RANGE,
                "compare_range": _RANGE,
                "legs": {"type": "array", "items": {"type": "object"}},
            }
        ),
        "ValuesPage": _object(
            {"data_source": {"type": "string"}, "dimension": {"type": "string"}, "values": {"type": "array"}, "next_offset": _NEXT}
        ),
        "Definition": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "label": _LABEL}},
        "Listing": _object({"measures": definitions, "dimensions": definitions, "data_sources": definitions}),
        "Page": _object({"items": definitions, "next_offset": _NEXT}),
        **_loads(),
    }


def _loads() -> dict[str, Any]:
    text, number, count = {"type": "string"}, {"type": "integer"}, {"type": ["integer", "null"]}
    same = {"tenant": _NULLABLE_TEXT, "data_source": text, "mode": text, "state": text, "rows": number, "started_at": text}
    done = {"run": text, "version": number, "bad": number, "repeated": number, "span": _RANGE, "as_of": text, "completed_at": text}
    going = {"id": text, "total": count, "error": _NULLABLE_TEXT, "updated_at": text}
    row = {"number": number, "column": _NULLABLE_TEXT, "reason": text, "value": _NULLABLE_TEXT, "payload": {"type": "object"}}
    kept = {"id": number, "run": text, "row": _object(row), "state": text, "set_aside_at": text}
    loads = {"type": "array", "items": {"anyOf": [{"$ref": _REF + "Load"}, {"$ref": _REF + "Attempt"}]}}
    return {
        "Load": _object(same | done),
        "Attempt": _object(same | going),
        "LoadsPage": _object({"items": loads, "next_offset": _NEXT}),
        "BadRow": _object(kept),
        "BadRowsPage": _object({"items": {"type": "array", "items": {"$ref": _REF + "BadRow"}}, "next_offset": _NEXT}),
        "Replayed": _object({"load": {"type": ["object", "null"]}, "left": number | {"description": "Rows that wait on."}}),
        "Dismissed": _object({"dismissed": number}),
    }


def _problem() -> dict[str, Any]:
    codes = sorted({error.code for error in tree_of_errors()} | {"method_not_allowed", "http"})
    properties: dict[str, Any] = {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "enum": codes, "description": "Stable; branch on it."},
        "detail": {"type": "string"},
        "id": {"type": "string", "description": "The request's id, which is in the server's log."},
        "path": {"type": "string", "description": "A JSON Pointer into the request."},
        "value": {"description": "The bad value, cut when it is long."},
        "known": {"type": "array", "items": {"type": "string"}},
        "suggestions": {"type": "array", "items": {"type": "string"}, "description": "Known values that look like the bad one."},
        "hint": {"type": "string"},
    }
    return _object(properties, ("path", "value", "known", "suggestions", "hint"))


def _column() -> dict[str, Any]:
    return _object(
        {
            "name": {"type": "string"},
            "type": {"type": "string", "enum": [kind.value for kind in FieldType]},
            "unit": _NULLABLE_TEXT,
            "format": _NULLABLE_TEXT,
            "label": _LABEL,
            "role": {"type": "string", "enum": [role.value for role in Role]},
            "of": _NULLABLE_TEXT | {"description": "The measure that a compare, change or analysis column belongs to."},
        }
    )


def _meta() -> dict[str, Any]:
    return _object(
        {
            "query_id": {"type": "string"},
            "zone": {"type": "string"},
            "as_of": {
                "type": "object",
                "additionalProperties": _NULLABLE_TEXT,
                "description": "Loaded until when, by data source.",
            },
            "data_versions": {"type": "object"},
            "legs": {"type": "array", "items": {"type": "object"}},
            "warnings": {"type": "array", "items": {"type": "string"}},
            "truncated": {"type": "boolean", "description": "Whether there are more rows than `limit`."},
            "now": {"type": "string", "description": "Only where the tenant's clock is pinned."},
            "range": {"type": "array", "items": {"type": "string"}},
            "compare_range": {"type": "array", "items": {"type": "string"}},
            "cuts": {"type": "object"},
            "outside": {
                "type": "object",
                "description": "Data sources that others write: when they were last looked at, and after how many seconds again.",
                "additionalProperties": _object({"checked_at": {"type": "string"}, "check_every": {"type": "integer"}}),
            },
        },
        ("now", "range", "compare_range", "cuts", "outside"),
    )


def _answer() -> dict[str, Any]:
    cells = {"type": ["string", "number", "boolean", "null"]}
    return _object(
        {
            "columns": {"type": "array", "items": {"$ref": _REF + "Column"}},
            "rows": {"type": "array", "items": {"type": "array", "items": cells}},
            "totals": {"type": ["array", "null"], "items": cells},
            "meta": {"$ref": _REF + "Meta"},
        }
    ) | {"examples": [_ANSWER_EXAMPLE]}
