"""A moderation service to which all is well: ``python -m penstock.bench.benign PORT SECONDS``. It takes so long."""

from __future__ import annotations

import asyncio
import sys

import msgspec


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """One connection, question after question."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.splitlines()[1:-1])
            asked = msgspec.json.decode(await reader.readexactly(int(fields[b"content-length"])))
            await asyncio.sleep(seconds)
            body = msgspec.json.encode({"results": [{"flagged": False} for _ in asked["texts"]]})
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body))
            writer.write(body)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _main(port: int, seconds: float) -> None:
    server = await asyncio.start_server(lambda r, w: serve(r, w, seconds), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2])))
