"""Tenants' ids, and narrowing what a principal holds."""

import pytest

from jangbu.kernel.errors import Forbidden, WrongType
from jangbu.kernel.tenancy import Principal, TenantId, tenant_id

BOTH = Principal((TenantId("beta"), TenantId("alpha")), name="both")


@pytest.mark.parametrize("value", ["a", "0", "shop-1", "shop_1", "a" * 63])
def test_an_id_that_can_be(value: str) -> None:
    assert tenant_id(value) == value


@pytest.mark.parametrize("value", ["", "A", "-a", "_a", "a" * 64, "a b", "a'b", "가게", "a\n", "../a", "a/b"])
def test_an_id_that_can_not_be(value: str) -> None:
    with pytest.raises(WrongType) as raised:
        tenant_id(value)
    assert raised.value.value == value
    assert "1 to 63" in (raised.value.hint or "")


def test_without_names_a_principal_asks_for_all_it_holds() -> None:
    assert BOTH.narrow(None) == ("beta", "alpha")


def test_names_are_taken_in_their_order_and_once() -> None:
    assert BOTH.narrow(("alpha", "beta", "alpha")) == ("alpha", "beta")
    assert BOTH.narrow(()) == ()


def test_a_tenant_that_isnt_held_is_refused_whether_or_not_it_exists() -> None:
    with pytest.raises(Forbidden) as raised:
        BOTH.narrow(("alpha", "gamma"), path="/tenants")
    assert (raised.value.path, raised.value.value, raised.value.known) == ("/tenants", "gamma", ("alpha", "beta"))


def test_a_principal_can_not_be_changed() -> None:
    with pytest.raises(AttributeError):
        BOTH.tenants = ()  # type: ignore[misc]  # refused at run time, too
    with pytest.raises(TypeError):
        BOTH.attributes["role"] = "owner"  # type: ignore[index]  # refused at run time, too


def test_a_tenant_that_can_not_be_asked_for_now_is_refused_with_the_reason() -> None:
    some = Principal((TenantId("beta"),), unasked={TenantId("alpha"): "is suspended"})
    assert some.narrow(None) == ("beta",)
    with pytest.raises(Forbidden, match="The tenant 'alpha' is suspended"):
        some.narrow(("alpha",), path="/tenants")
    with pytest.raises(Forbidden, match="is suspended"):
        Principal((), unasked=some.unasked).narrow(None)
