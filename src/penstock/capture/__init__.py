"""Copies of streams, on their way to files, a webhook, a database.

Threads of their own: no stream ever waits for them.
"""
