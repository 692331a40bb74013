"""Policies: values that answer questions. They hold no clock, do nothing and keep no state of a stream."""
