"""WorkshopDemo: a Kubernetes operator that shows a lesson and proves it."""
