"""The door to clients: an ASGI application, and the direct lane that uvicorn offers it."""
