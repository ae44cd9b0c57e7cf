"""Seeds of all random choices."""

import hashlib
import json


def derive_seed(*parts: str | int) -> int:
    """A 63-bit seed from the parts that identify a random choice, equal on every machine."""
    text = json.dumps(parts, ensure_ascii=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
