"""WorkshopDemo: a Kubernetes operator that shows a lesson and proves it."""

from typing import Final

VERSION: Final = "0.2.0"
"""The project's (pyproject.toml), which an image without package metadata could not tell."""
