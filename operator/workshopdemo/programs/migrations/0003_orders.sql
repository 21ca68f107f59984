-- What was bought. A line keeps its own price: a book may cost something else tomorrow.
CREATE TABLE orders (
    id          INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    ordered_on  DATE    NOT NULL
);

CREATE TABLE order_lines (
    order_id    INTEGER NOT NULL REFERENCES orders (id),
    book_id     INTEGER NOT NULL REFERENCES books (id),
    copies      INTEGER NOT NULL CHECK (copies > 0),
    price_cents INTEGER NOT NULL CHECK (price_cents > 0),
    PRIMARY KEY (order_id, book_id)
);
