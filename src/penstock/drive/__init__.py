"""Drives machines: carries commands out, feeds inputs in, watches the clock. It decides nothing."""
