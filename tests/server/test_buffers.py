"""The shares of clients in what may wait for all of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.server.buffers import Buffers

LIMIT = 1000
STEPS = st.lists(st.tuples(st.sampled_from(("come", "go", "write", "read")), st.integers(0, 30), st.integers(0, 200)))


class Client:
    """A client's buffer, as a transport is one."""

    def __init__(self, buffers: Buffers, own: int):
        self.buffers = buffers
        self.own = own
        self.waiting = 0
        self.mark = own
        self.blocked = False
        self.told = 0
        buffers.enter(self, own)

    def allow(self, size: int) -> None:
        self.told += 1
        self.mark = size
        self.look()

    def look(self) -> None:
        if not self.blocked and self.waiting > self.mark:
            self.blocked = True
            self.buffers.blocked(self)

    def write(self, size: int) -> None:
        if not self.blocked:
            self.waiting += size
            self.look()

    def read(self, size: int) -> None:
        self.waiting = max(0, self.waiting - size)
        if self.blocked and self.waiting <= self.mark // 4:
            self.blocked = False
            self.buffers.drained(self)


@given(STEPS)
def test_no_more_waits_than_may(steps: list[tuple[str, int, int]]) -> None:
    buffers = Buffers(LIMIT)
    clients: list[Client] = []
    for what, which, size in steps:
        if what == "come":
            clients.append(Client(buffers, own=300))
        elif clients:
            client = clients[which % len(clients)]
            if what == "go":
                clients.remove(client)
                buffers.leave(client)
            elif what == "write":
                client.write(size)
            else:
                client.read(size)
        blocked = [client for client in clients if client.blocked]
        free = [client for client in clients if not client.blocked]
        # What a blocked client holds is over its mark by a write at the most, and is counted as it is.
        assert all(client.waiting <= client.mark for client in free)
        marks = sum(client.mark for client in free)
        assert marks <= max(0, LIMIT - buffers.held)
        assert buffers.held >= sum(client.waiting for client in blocked)
    for client in clients:
        buffers.leave(client)
    assert buffers.held == 0


def test_one_client_alone_has_its_own_buffer() -> None:
    client = Client(Buffers(LIMIT), own=300)
    assert client.mark == 300


def test_marks_move_rarely() -> None:
    buffers = Buffers(1 << 20)
    clients = [Client(buffers, own=1 << 18) for _ in range(1000)]
    # With each doubling of their number, and not with each of them.
    assert max(client.told for client in clients) <= 12
    assert sum(client.mark for client in clients) <= 1 << 20


def test_a_client_that_reads_nothing_leaves_the_others_what_is_left() -> None:
    buffers = Buffers(LIMIT)
    stalled, other = Client(buffers, own=900), Client(buffers, own=900)
    stalled.write(900)
    assert (stalled.blocked, buffers.held) == (True, 900)
    assert other.mark <= LIMIT - 900
    other.write(LIMIT)
    assert other.blocked
    late = Client(buffers, own=900)
    assert late.mark == 0
    buffers.leave(stalled)
    other.read(LIMIT)
    assert (other.blocked, buffers.held) == (False, 0)
    assert late.mark >= 200


def test_another_limit_holds_at_once() -> None:
    buffers = Buffers(1 << 20)
    client = Client(buffers, own=1 << 18)
    client.write(1000)
    buffers.resize(100)
    assert (client.blocked, buffers.held) == (True, 1000)
