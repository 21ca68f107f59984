"""Kubernetes' quantities, such as 500m and 1Gi (apimachinery, resource.Quantity)."""

import re
from decimal import Decimal
from typing import Final

_QUANTITY: Final = re.compile(
    r"\+?(\d+(?:\.\d*)?|\.\d+)(?:[eE]([-+]?\d{1,3})|([numkMGTPE]|[KMGTPE]i)?)"
)
_FACTORS: Final = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}


def quantity(text: str) -> Decimal | None:
    """What it amounts to; None for what is no quantity of a usual spelling."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    number, exponent, unit = match.groups()
    return Decimal(number) * (Decimal(10) ** int(exponent) if exponent else _FACTORS[unit or ""])
