"""The only room that talks to the API server, and the memory of what its watches saw."""

from workshopdemo.cluster.cache import Cache, demo_key_of
from workshopdemo.cluster.port import Access, Cluster, Seen

__all__ = ["Access", "Cache", "Cluster", "Seen", "demo_key_of"]
