"""What the cart promises."""

# ruff: noqa: D102, PT009, PT027 - plain unittest, so that the project needs nothing else

import unittest

from bookshop.cart import SHIPPING, Book, Cart  # type: ignore[import-not-found]

NOVEL = Book("The Glass Harbour", 1250)
ATLAS = Book("Atlas of Small Islands", 3900)


class CartTest(unittest.TestCase):
    """Each test starts with an empty cart."""

    def setUp(self) -> None:
        self.cart = Cart()

    def test_empty(self) -> None:
        self.assertEqual(self.cart.total(), 0)

    def test_one_book(self) -> None:
        self.cart.add(NOVEL)
        self.assertEqual(self.cart.total(), 1250 + SHIPPING)

    def test_same_book_twice(self) -> None:
        self.cart.add(NOVEL)
        self.cart.add(NOVEL)
        self.assertEqual(self.cart.items, {NOVEL: 2})

    def test_free_shipping(self) -> None:
        self.cart.add(ATLAS)
        self.assertEqual(self.cart.total(), 3900)

    def test_remove(self) -> None:
        self.cart.add(NOVEL, 3)
        self.cart.remove(NOVEL)
        self.cart.remove(ATLAS)
        self.assertEqual(self.cart.total(), 0)

    def test_zero_copies(self) -> None:
        with self.assertRaises(ValueError):
            self.cart.add(NOVEL, 0)


if __name__ == "__main__":
    unittest.main()
