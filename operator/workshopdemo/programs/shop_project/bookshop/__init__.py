"""A small online bookshop."""
