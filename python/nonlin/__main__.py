"""``python -m nonlin`` prints the configuration."""

from . import show_config

show_config()
