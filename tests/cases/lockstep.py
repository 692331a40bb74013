"""A provider that waits for its client: whoever holds an event back on the way stops the stream."""

import asyncio

from penstock.testing import frames
from penstock.testing.client import RawClient
from penstock.testing.upstream import Step, Turn


class Lockstep:
    """Sends a piece, number n holding the word ``wn``, only when the client has the one before."""

    def __init__(self, *pieces: bytes):
        self._pieces = pieces
        self._read = asyncio.Semaphore(0)

    def step(self) -> Step:
        """For the provider's script."""

        async def play(turn: Turn) -> None:
            for piece in self._pieces:
                await turn.write(piece)
                async with asyncio.timeout(5):
                    await self._read.acquire()

        return play

    async def follow(self, client: RawClient) -> None:
        """Read each word and ask for the next."""
        for number in range(len(self._pieces)):
            await client.until(b"w%d " % number, within=3)
            self._read.release()


def words_in_frames(count: int) -> list[bytes]:
    """The text of ``words(count)``, a frame for each."""
    return [frames.chunk(f"w{number} ") for number in range(count)]
