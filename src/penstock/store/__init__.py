"""Stores: where the ledger's rows are kept. The live path appends to a file; a thread of its own does the rest."""
