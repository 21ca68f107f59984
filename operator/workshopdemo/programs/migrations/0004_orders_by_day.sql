-- Every report asks for one day: with an index the database need not read all orders for that.
CREATE INDEX orders_by_day ON orders (ordered_on);
