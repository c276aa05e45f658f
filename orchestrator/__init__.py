"""
An event-sourced orchestrator of nightly data pipelines on one machine.

This module imports nothing, so that reading commands start fast.
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
