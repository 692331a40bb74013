"""The configuration of ``penstock demo``."""

from __future__ import annotations

from penstock.config.values import Config, Provider, Route, Target


def demo_config(base_url: str) -> Config:
    """Every model goes to the simulated provider at ``base_url`` (openai-chat); open, and on loopback only."""
    return Config(
        providers=(Provider(name="sim", wire="openai-chat", base_url=base_url),),
        routes=(
            Route(name="gpt-4o", targets=(Target("sim", "sim"),)),
            Route(name="*", targets=(Target("sim", "*"),)),
        ),
    )
