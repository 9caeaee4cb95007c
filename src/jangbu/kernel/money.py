"""Money: a decimal amount and its currency; never a float."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Self

PRECISION, SCALE = 18, 4
"""Money is stored as decimal(18,4)."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in a currency (ISO 4217, three capitals). Amounts of different currencies don't add or compare."""

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        if not isinstance(self.amount, Decimal):
            raise TypeError(f"An amount is a Decimal, not {type(self.amount).__name__}.")
        if not (len(self.currency) == 3 and self.currency.isascii() and self.currency.isalpha() and self.currency.isupper()):
            raise ValueError(f"{self.currency!r} isn't a currency: use three capitals of ISO 4217, such as KRW.")

    def __add__(self, other: Self) -> Self:
        if self.currency != other.currency:
            raise ValueError(f"{self.currency} and {other.currency} don't add.")
        return type(self)(self.amount + other.amount, self.currency)
