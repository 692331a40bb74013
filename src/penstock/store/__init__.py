"""What outlives a process: the journal's frames and the ledger's rows. The live path never waits for a store."""
