"""Tables in a log: columns that line up, text to the left and numbers to the right."""

from collections.abc import Iterator, Sequence

from workshopdemo.programs.say import say

Row = Sequence[str | int]


def say_table(head: Row, rows: Sequence[Row], total: Row | None = None) -> None:
    """Print a table; a column whose cells are numbers, or look like some, is one of numbers."""
    for line in aligned(head, rows, total):
        say(line)


def aligned(head: Row, rows: Sequence[Row], total: Row | None = None) -> Iterator[str]:
    """The lines of a table."""
    table = [[_cell(cell) for cell in row] for row in (head, *rows, *([total] if total else []))]
    columns = list(zip(*table, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numeric = [all(cell[:1].isdigit() for cell in column[1:]) for column in columns]
    rule = "  " + "  ".join("-" * width for width in widths)
    for number, row in enumerate(table):
        if number == 1 or (total and number == len(table) - 1):
            yield rule
        cells = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        yield "  " + "  ".join(cells).rstrip()


def money(cents: int) -> str:
    """Cents as a price, without going through floating point."""
    return f"{cents // 100:,}.{cents % 100:02}"


def _cell(value: str | int) -> str:
    return f"{value:,}" if isinstance(value, int) else value
