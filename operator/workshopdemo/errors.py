"""The few errors of the domain. Each has one meaning; none carries a secret."""


class WorkshopDemoError(Exception):
    """Base of all errors of this package."""


class InvalidSpecError(WorkshopDemoError):
    """The user's mistake, beyond what the API server could refuse.

    Attributes:
        field: path of the field, such as `spec.jobs[2].image`.
        problem: what is wrong and the way out.
    """

    reason = "InvalidSpec"
    waits_for = "the spec is mended"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class TooManyDemosError(InvalidSpecError):
    """There are as many demos in the namespace as the administrator lets it have."""

    reason = "TooManyDemos"
    waits_for = "there is room for it"


class ClusterError(WorkshopDemoError):
    """The API server did not do what was asked; `retriable` says whether time may heal it."""

    reason = "ClusterUnavailable"
    retriable = True


class UnavailableError(ClusterError):
    """No answer, a time-out, 429 or 5xx: try again later."""


class ForbiddenError(ClusterError):
    """403: a missing verb in the operator's RBAC, a quota or an admission rule."""

    reason = "Forbidden"


class ConflictError(ClusterError):
    """409: the object is not any more what it was read as."""

    reason = "Conflict"


class RejectedError(ClusterError):
    """400 or 422: the API server refuses this very object; a retry alone will not help."""

    reason = "ApplyRejected"
    retriable = False


class NotFoundError(ClusterError):
    """404: the object, its namespace or its kind is not there, or is going at this moment."""

    reason = "NotFound"
    retriable = False


class NameTakenError(ClusterError):
    """An object of that name is there and belongs to somebody else: it is left alone."""

    reason = "NameTaken"


class RefusedAddressError(WorkshopDemoError):
    """A target's address is none that a demo may reach; the sentence names no secret."""


class TargetConfigError(WorkshopDemoError):
    """What a target needs is not there; the sentence names it, and no secret."""


class AggregatorError(WorkshopDemoError):
    """The aggregator of logs did not answer as it should; the sentence says how, for a person."""


class MemberError(WorkshopDemoError):
    """A member of a StatefulSet did not answer as it should; the sentence says how."""


class AgentError(WorkshopDemoError):
    """A node's agent did not answer as it should; the sentence says how, for a person."""
