"""A small list of the words of commerce: what columns are often called, and what people read in their place."""

import re
import unicodedata
from collections.abc import Collection
from typing import Final

from jangbu.insight.catalog.contracts import Text

_KOREAN: Final = {
    "주문번호": "order_no",
    "주문일": "order_date",
    "주문일자": "order_date",
    "주문일시": "ordered_at",
    "결제일": "paid_on",
    "결제일시": "paid_at",
    "상품명": "product_name",
    "상품번호": "product_no",
    "상품코드": "product_code",
    "상품": "product",
    "옵션": "option",
    "수량": "quantity",
    "단가": "unit_price",
    "가격": "price",
    "판매가": "price",
    "금액": "amount",
    "결제금액": "paid_amount",
    "할인금액": "discount",
    "배송비": "shipping_fee",
    "고객번호": "customer_no",
    "고객명": "customer_name",
    "고객": "customer",
    "회원번호": "member_no",
    "구매자": "buyer",
    "전화번호": "phone",
    "연락처": "phone",
    "우편번호": "zip_code",
    "주소": "address",
    "국가": "country",
    "지역": "region",
    "도시": "city",
    "카테고리": "category",
    "분류": "category",
    "브랜드": "brand",
    "매장": "store",
    "결제수단": "payment_method",
    "상태": "status",
    "주문상태": "order_status",
    "날짜": "date",
    "일자": "date",
    "일시": "at",
    "비고": "note",
}
_LABELS: Final = {
    "invoice_no": ("송장 번호", "Invoice number"),
    "invoice_date": ("송장 시각", "Invoice date"),
    "stock_code": ("상품 코드", "Stock code"),
    "description": ("설명", "Description"),
    "quantity": ("수량", "Quantity"),
    "unit_price": ("단가", "Unit price"),
    "price": ("가격", "Price"),
    "amount": ("금액", "Amount"),
    "paid_amount": ("결제 금액", "Paid amount"),
    "revenue": ("매출", "Revenue"),
    "sales": ("판매액", "Sales"),
    "discount": ("할인", "Discount"),
    "shipping_fee": ("배송비", "Shipping fee"),
    "cost": ("비용", "Cost"),
    "customer_id": ("고객 번호", "Customer number"),
    "customer_no": ("고객 번호", "Customer number"),
    "customer_name": ("고객 이름", "Customer name"),
    "country": ("국가", "Country"),
    "region": ("지역", "Region"),
    "city": ("도시", "City"),
    "order_id": ("주문 번호", "Order number"),
    "order_no": ("주문 번호", "Order number"),
    "order_date": ("주문일", "Order date"),
    "ordered_at": ("주문 시각", "Ordered at"),
    "paid_at": ("결제 시각", "Paid at"),
    "created_at": ("생성 시각", "Created at"),
    "product_id": ("상품 번호", "Product number"),
    "product_no": ("상품 번호", "Product number"),
    "product_code": ("상품 코드", "Product code"),
    "product_name": ("상품 이름", "Product name"),
    "product": ("상품", "Product"),
    "option": ("옵션", "Option"),
    "category": ("카테고리", "Category"),
    "brand": ("브랜드", "Brand"),
    "store": ("매장", "Store"),
    "phone": ("전화번호", "Phone"),
    "zip_code": ("우편번호", "Postal code"),
    "status": ("상태", "Status"),
    "order_status": ("주문 상태", "Order status"),
    "channel": ("채널", "Channel"),
    "payment_method": ("결제 수단", "Payment method"),
    "date": ("날짜", "Date"),
}
COUNTED: Final = {
    "invoice": ("invoices", "송장 수", "Invoices"),
    "order": ("orders", "주문 수", "Orders"),
    "customer": ("customers", "고객 수", "Customers"),
    "member": ("members", "회원 수", "Members"),
    "user": ("users", "사용자 수", "Users"),
    "product": ("products", "상품 수", "Products"),
    "stock": ("products", "상품 수", "Products"),
    "item": ("items", "품목 수", "Items"),
    "sku": ("skus", "SKU 수", "SKUs"),
    "session": ("sessions", "세션 수", "Sessions"),
    "store": ("stores", "매장 수", "Stores"),
}
"""What an identifier's first word counts: the measure's name and labels."""

IDENTIFIERS: Final = re.compile(
    r"(^|_)(ids?|no|nr|code|number|num|phone|tel|mobile|fax|zip|postal|postcode|sku|upc|ean|barcode|uuid|guid)$"
)
MONEY: Final = re.compile(
    r"(^|_)(price|amount|revenue|sales|cost|fee|discount|total|subtotal|tax|spend|value|paid|refund|gmv)(_|$)"
)
QUANTITY: Final = re.compile(r"(^|_)(quantity|qty|units|count|pieces)$")
UNIT_PRICE: Final = re.compile(r"(^|_)price$")
MOMENT: Final = re.compile(r"(^|_)(date|day|time|timestamp|datetime|at|on|ts)$")
NAMED_NA: Final = re.compile(r"(^|_)(country|region|nation|code|name|state)(_|$)")
"""Columns in which NA may be Namibia, North America or somebody's name."""

_INITIALS: Final = "g kk n d tt r m b pp s ss _ j jj ch k t p h".split()  # noqa: SIM905 - as they are spoken
_VOWELS: Final = "a ae ya yae eo e yeo ye o wa wae oe yo u wo we wi yu eu ui i".split()  # noqa: SIM905 - as they are spoken
_FINALS: Final = "_ k k k n n n t l k m l l l p l m p p t t ng t t k t p t".split()  # noqa: SIM905 - as they are spoken
_RESERVED: Final = frozenset({"time", "tenant", "and", "or", "not", "in", "is", "null", "true", "false", "if"})
_LONGEST: Final = 56
"""Characters of a column's name, so that a measure's may be made of it."""


def column_name(original: str, place: int, taken: Collection[str] = ()) -> str:
    """A name that the catalog takes: `InvoiceNo` is `invoice_no`, `주문번호` `order_no`, what has no letters `column_3`."""
    known = _KOREAN.get(re.sub(r"\s", "", original))
    name = known or _plain(original) or f"column_{place}"
    name = f"column_{name}" if not name[0].isalpha() else name
    name = f"{name}_value" if name in _RESERVED else name
    name = wanted = name[:_LONGEST].rstrip("_")
    turn = 2
    while name in taken:
        name, turn = f"{wanted}_{turn}", turn + 1
    return name


def label(column: str, original: str) -> Text:
    """What people read: from the list of words, else the name in the file."""
    return Text(*_LABELS[column]) if column in _LABELS else Text(original, original)


def _plain(original: str) -> str:
    text = "".join(map(_romanized, unicodedata.normalize("NFKC", original)))
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", text)
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _romanized(sign: str) -> str:
    place = ord(sign) - 0xAC00
    if not 0 <= place < 11_172:
        return sign
    parts = (_INITIALS[place // 588], _VOWELS[place % 588 // 28], _FINALS[place % 28])
    return "".join(part for part in parts if part != "_")
