-- The question that all reports ask, written once.
CREATE VIEW daily_sales AS
SELECT
    orders.ordered_on                                 AS day,
    books.title                                       AS title,
    COUNT(*)                                          AS orders,
    SUM(order_lines.copies)                           AS copies,
    SUM(order_lines.copies * order_lines.price_cents) AS revenue_cents
FROM orders
JOIN order_lines ON order_lines.order_id = orders.id
JOIN books ON books.id = order_lines.book_id
GROUP BY orders.ordered_on, books.id, books.title;
