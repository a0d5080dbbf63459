"""Calls an OrderFlow gateway from asyncio."""

from .client import Client
from .failure import Failure, failure, is_outcome_unknown

__all__ = ["Client", "Failure", "failure", "is_outcome_unknown"]
