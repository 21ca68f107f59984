"""The stories: one YAML a concept, one source for the status, `make demo` and the docs."""

from collections.abc import Iterable, Mapping
from importlib import resources

import msgspec

from workshopdemo.model import Story


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a student asks, and the answer."""

    q: str
    a: str


class Tale(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The whole story of a concept, as it is written."""

    concept: str
    problem: str
    why: str
    solution: str
    alternatives: tuple[str, ...]
    use_cases: tuple[str, ...]
    questions: tuple[Question, ...]
    try_: tuple[str, ...] = msgspec.field(name="try")

    def short(self, places: Mapping[str, str]) -> Story:
        """The form that a status carries, its commands made for this very demo."""
        return Story(
            concept=self.concept,
            problem=self.problem,
            why=self.why,
            solution=self.solution,
            alternatives=self.alternatives,
            use_cases=self.use_cases,
            try_=tuple(command.format_map(places) for command in self.try_),
        )


Stories = Mapping[str, Tale]


def load() -> dict[str, Tale]:
    """All stories by key, which is the name of the file."""
    return dict(_read_all(resources.files(__package__).iterdir()))


def _read_all(files: Iterable[resources.abc.Traversable]) -> Iterable[tuple[str, Tale]]:
    for file in files:
        if file.name.endswith(".yaml"):
            yield file.name.removesuffix(".yaml"), msgspec.yaml.decode(file.read_bytes(), type=Tale)
