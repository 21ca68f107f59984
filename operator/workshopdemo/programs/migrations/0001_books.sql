-- What the shop sells. Prices are whole cents: money in floating point goes astray.
CREATE TABLE books (
    id          INTEGER PRIMARY KEY,
    title       TEXT    NOT NULL UNIQUE,
    author      TEXT    NOT NULL,
    price_cents INTEGER NOT NULL CHECK (price_cents > 0)
);

INSERT INTO books (id, title, author, price_cents) VALUES
    (1, 'The Glass Harbour',       'Ines Moreau',     1890),
    (2, 'Atlas of Small Islands',  'Tomas Lindqvist', 3400),
    (3, 'Night Trains',            'Priya Raman',     1250),
    (4, 'A Clockmaker''s Winter',  'Edda Voss',       2190),
    (5, 'Bread, Salt, Patience',   'Karim Haddad',    2750),
    (6, 'The Cartographer''s Cat', 'Yuki Tanabe',      990),
    (7, 'Letters to a Lighthouse', 'Maeve Connolly',  1590),
    (8, 'Seven Bridges',           'Jakub Nowak',     1790);
