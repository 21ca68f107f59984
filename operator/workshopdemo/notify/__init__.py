"""Outcomes → messages → receivers, each told once: nothing is lost by a restart."""
