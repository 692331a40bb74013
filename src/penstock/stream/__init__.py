"""The stream: one pure machine, with time in it."""
