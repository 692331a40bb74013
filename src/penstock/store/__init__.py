"""Stores behind the gateway: what outlives a process. The live path never waits for one."""
