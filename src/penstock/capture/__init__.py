"""Copies of streams, on their way to files and webhooks. Threads of their own: no stream ever waits for them."""
