"""Hypothesis profiles: quick by default, ``HYPOTHESIS_PROFILE=thorough`` for a long look."""

import os

from hypothesis import HealthCheck, settings

# Streams are built from many small draws: how long that takes says nothing about a test.
SLOW_IS_FINE = (HealthCheck.too_slow, HealthCheck.data_too_large)

settings.register_profile("quick", max_examples=100, deadline=None, suppress_health_check=SLOW_IS_FINE)
settings.register_profile("thorough", max_examples=3000, deadline=None, suppress_health_check=SLOW_IS_FINE)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
