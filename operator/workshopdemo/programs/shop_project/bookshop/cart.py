"""The cart: which books, how many, and what they cost."""

from dataclasses import dataclass, field

FREE_SHIPPING_FROM = 3000
SHIPPING = 490


@dataclass(frozen=True)
class Book:
    """A title on sale. Prices are whole cents: money in floating point goes astray."""

    title: str
    price: int


@dataclass
class Cart:
    """Books on their way to the till."""

    items: dict[Book, int] = field(default_factory=dict)

    def add(self, book: Book, quantity: int = 1) -> None:
        """Put some copies of a book into the cart."""
        if quantity < 1:
            raise ValueError(f"cannot add {quantity} copies of {book.title}")
        self.items[book] = self.items.get(book, 0) + quantity

    def remove(self, book: Book) -> None:
        """Take all copies of a book out again; one that is not in the cart is no mistake."""
        self.items.pop(book, None)

    def subtotal(self) -> int:
        """Price of the books, in cents."""
        return sum(book.price * quantity for book, quantity in self.items.items())

    def shipping(self) -> int:
        """Price of the parcel, in cents."""
        if not self.items or self.subtotal() >= FREE_SHIPPING_FROM:
            return 0
        return SHIPPING

    def total(self) -> int:
        """What the customer pays, in cents."""
        return self.subtotal() + self.shipping()
