"""Wires: frames to events and back, one module a wire (interface.md §1)."""
