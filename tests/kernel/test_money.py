"""Money is a decimal amount and its currency."""

from decimal import Decimal

import pytest

from jangbu.kernel.money import Money


def test_amounts_of_one_currency_add_exactly() -> None:
    assert Money(Decimal("0.10"), "USD") + Money(Decimal("0.20"), "USD") == Money(Decimal("0.30"), "USD")


def test_amounts_of_two_currencies_neither_add_nor_compare() -> None:
    won, dollars = Money(Decimal(1000), "KRW"), Money(Decimal(1), "USD")
    with pytest.raises(ValueError, match="KRW and USD"):
        _ = won + dollars
    with pytest.raises(TypeError):
        _ = won < dollars  # type: ignore[operator]  # that it isn't there is the point


@pytest.mark.parametrize("amount", [1.5, 1, "1"])
def test_an_amount_is_never_a_float(amount: object) -> None:
    with pytest.raises(TypeError, match=type(amount).__name__):
        Money(amount, "USD")  # type: ignore[arg-type]  # a caller without types


@pytest.mark.parametrize("currency", ["usd", "US", "USDX", "", "U5D", "U D", "원화우"])
def test_a_currency_is_three_capitals(currency: str) -> None:
    with pytest.raises(ValueError, match="ISO 4217"):
        Money(Decimal(1), currency)
