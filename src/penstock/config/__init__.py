"""Configuration: text in, values out. Pure; the shell reads the file and the environment."""

from penstock.config.access import is_loopback, listen_on
from penstock.config.demo import demo_config
from penstock.config.loader import load
from penstock.config.origins import with_origins
from penstock.config.problems import ConfigError, Problem
from penstock.config.show import show
from penstock.config.values import Config

__all__ = [
    "Config",
    "ConfigError",
    "Problem",
    "demo_config",
    "is_loopback",
    "listen_on",
    "load",
    "show",
    "with_origins",
]
