"""Messages become JSON's values and come back; what can't is refused by name."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jangbu.kernel.errors import Unsupported, WrongType
from jangbu.kernel.handlers import Handler, Job
from jangbu.kernel.messages import Command, Event, declared_in, message_of, payload_of


@dataclass(frozen=True, slots=True)
class ShopOpened(Event):
    schema_version: ClassVar[int] = 2
    shop: str
    floors: tuple[Any, ...] = ()
    more: Any = None


@dataclass(frozen=True, slots=True)
class CloseShop(Command):
    shop: str


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner).map(tuple) | st.dictionaries(st.text(), st.none() | st.integers()),
)


@given(st.text(), st.lists(values).map(tuple), values)
def test_a_message_comes_back_as_it_was(shop: str, floors: tuple[Any, ...], more: Any) -> None:
    message = ShopOpened(shop, floors, more)
    assert message_of(ShopOpened, 2, json.loads(json.dumps(payload_of(message)))) == message


def test_a_field_that_the_older_form_lacks_has_its_default() -> None:
    assert message_of(ShopOpened, 1, {"shop": "acme"}) == ShopOpened("acme")


def test_a_newer_form_is_refused() -> None:
    with pytest.raises(Unsupported, match="ShopOpened has schema_version 3; this release knows it up to 2"):
        message_of(ShopOpened, 3, {"shop": "acme"})


@pytest.mark.parametrize(("payload", "named"), [({}, "shop"), ({"shop": "acme", "roof": 1}, "roof")])
def test_fields_that_dont_fit_are_named(payload: Mapping[str, Any], named: str) -> None:
    with pytest.raises(WrongType, match=f"don't fit: {named}"):
        message_of(ShopOpened, 2, payload)


@pytest.mark.parametrize("value", [datetime(2017, 3, 1, tzinfo=UTC), {1}, (b"x",), {"at": object()}])
def test_a_value_that_json_doesnt_have_is_refused_when_it_is_sent(value: Any) -> None:
    with pytest.raises(WrongType, match=r"ShopOpened\.more is of type"):
        payload_of(ShopOpened("acme", more=value))


def test_a_module_declares_its_own_messages_and_not_those_it_imports() -> None:
    module = ModuleType("shops")
    mine = dataclass(frozen=True)(type("ShopMoved", (Event,), {"__module__": "shops"}))
    vars(module).update(ShopMoved=mine, ShopOpened=ShopOpened, Event=Event)
    assert declared_in(module) == {"ShopMoved": mine}


def test_a_handler_handles_what_its_kind_says() -> None:
    given: dict[str, Any] = {"name": "close", "summary": "Closes.", "open": print}
    assert Handler(kind="command_handler", handles=CloseShop, **given).handles is CloseShop
    with pytest.raises(TypeError, match="event_handler 'close' can't handle CloseShop"):
        Handler(kind="event_handler", handles=CloseShop, **given)


def test_a_jobs_period_is_longer_than_nothing() -> None:
    with pytest.raises(ValueError, match="'close' is to be done every 0:00:00"):
        Job("close", timedelta(0), CloseShop("acme"))
