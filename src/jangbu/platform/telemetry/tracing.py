"""Traces by OpenTelemetry, where they are asked for; else nothing, at next to no cost.

A span says what was done, for how long and how it ended. No attribute holds a value of a row, a name that a client made up, or a
secret; an error is told by its code alone. `context` goes along with a message, so that what it leads to is of the same trace
(W3C Trace Context).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from jangbu.kernel.errors import ConfigurationError, JangbuError, MissingExtra

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

PATIENCE: Final = 2.0
"""Seconds that one attempt to hand spans on may take. It happens in the background; what can't be handed on is dropped."""

Kind = Literal["internal", "server", "consumer", "client"]
Value = str | int | float | bool


class Span(Protocol):
    def set(self, **attributes: Value) -> None: ...

    def rename(self, name: str) -> None: ...

    def fail(self, code: str) -> None:
        """It ended badly, with this error's code."""


class _Nothing:
    def set(self, **attributes: Value) -> None:
        pass

    def rename(self, name: str) -> None:
        pass

    def fail(self, code: str) -> None:
        pass


class _Recorded:
    def __init__(self, span: Any) -> None:
        self._span = span

    def set(self, **attributes: Value) -> None:
        self._span.set_attributes({f"jangbu.{name}": value for name, value in attributes.items()})

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self, code: str) -> None:
        from opentelemetry.trace import Status, StatusCode

        self._span.set_attribute("error.type", code)
        self._span.set_status(Status(StatusCode.ERROR, code))


_NOTHING: Final = _Nothing()
_tracer: "Tracer | None" = None


def start(url: str, headers: Mapping[str, str], share: float, process: str) -> Callable[[], None]:
    """Record spans from now on, and hand them to an OTLP receiver (HTTP, protobuf) at `url`. `share` of the traces that begin here
    is recorded; a trace that others began is recorded as they decided. `process` is what this one does, such as `worker`. What is
    returned hands on what is left, and ends it.

    Raises:
        MissingExtra: OpenTelemetry isn't installed.
    """
    global _tracer
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as error:
        raise MissingExtra("Traces", "otel") from error
    resource = Resource.create({"service.name": "jangbu", "jangbu.process": process})
    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(share)), resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=url, headers=dict(headers), timeout=PATIENCE)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1_000))
    _tracer = provider.get_tracer("jangbu")

    def stop() -> None:
        global _tracer
        _tracer = None
        provider.shutdown()

    return stop


def headers_of(text: str) -> dict[str, str]:
    """`name=value,name=value`. What stands there is a secret, and isn't repeated."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if any(not name.strip() or not sign for name, sign, _ in pairs):
        raise ConfigurationError("JANGBU_TRACES_HEADERS: headers are written name=value, separated by commas.")
    return {name.strip(): value.strip() for name, _, value in pairs}


@contextmanager
def span(name: str, kind: Kind = "internal", parent: str | None = None, **attributes: Value) -> Iterator[Span]:
    """Around what is done. `parent` is the `context` of what led to it, if that wasn't in this thread."""
    if _tracer is None:
        yield _NOTHING
        return
    from opentelemetry.trace import SpanKind

    started = _tracer.start_as_current_span(
        name,
        context=_opened(parent),
        kind=SpanKind[kind.upper()],
        attributes={f"jangbu.{key}": value for key, value in attributes.items()},
        record_exception=False,
        set_status_on_exception=False,
    )
    with started as real:
        recorded = _Recorded(real)
        try:
            yield recorded
        except BaseException as error:
            recorded.fail(error.code if isinstance(error, JangbuError) else type(error).__name__)
            raise


def context() -> str | None:
    """What goes on now, as a `traceparent`, to go along with a message."""
    if _tracer is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def _opened(parent: str | None) -> Any:
    if parent is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": parent})
