"""Framing: bytes to whole frames, without a look at what they mean."""
