"""Penstock, the streaming gateway for AI responses."""

__version__ = "0.1.0"
