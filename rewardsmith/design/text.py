"""Cleaning of untrusted text before it is put into a prompt or kept in a record."""

from __future__ import annotations

import unicodedata

LONGEST_TEXT = 20_000


def clean_text(text: str, *, limit: int = LONGEST_TEXT) -> str:
    """`text` with plain newlines, without control and direction characters, at most `limit` characters long."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").expandtabs(4)
    text = "".join(c for c in text if c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
    text = text.strip("\n")
    return text if len(text) <= limit else text[:limit].rstrip() + "\n[... cut]"


def clean_line(text: str, *, limit: int = 300) -> str:
    """`text` as one clean line."""
    return " ".join(clean_text(text, limit=limit).split())
