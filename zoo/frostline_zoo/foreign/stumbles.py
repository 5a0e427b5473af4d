"""What a file that is not as its format says makes Python raise, where nothing here foresaw it."""

from __future__ import annotations

STUMBLES = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError, AssertionError)
