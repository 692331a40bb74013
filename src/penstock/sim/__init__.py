"""The simulated provider: a fast, deterministic stand-in for any provider, with every fault on demand."""

from penstock.sim.player import Record
from penstock.sim.provider import Sim
from penstock.sim.tape import Replay, Tape, TapeError, load_tape

__all__ = ["Record", "Replay", "Sim", "Tape", "TapeError", "load_tape"]
