"""Why a person gave something up, revoked or vouched: fixed words.

Free text could carry a name into the log, which erases nothing.
"""

from __future__ import annotations

from typing import Final

CANCEL_REASONS: Final = {
    "no-longer-needed": "it is no longer needed",
    "wrong-recipient": "it was meant for somebody else",
    "wrong-data": "what it says is wrong",
    "duplicate": "it was sent already",
    "superseded": "another message stands in for it",
    "sent-otherwise": "it reached the partner another way",
    "other": "another reason",
}
"""Why a message is given up."""

REVOKE_REASONS: Final = {
    "key-compromise": "the key may be in other hands",
    "superseded": "another key stands in for it",
    "cessation-of-operation": "what it was for is done no more",
    "other": "another reason",
}
"""Why a key is revoked; the first three are reasons of RFC 5280 §5.3.1."""

VOUCH_REASONS: Final = {
    "never-restored": "this database was never replaced, copied back or lost",
    "compared": "the partner read out the newest checkpoint it holds, and it is ours",
    "newest-backup": "everything later than this backup is lost, on both sides",
    "other": "another reason",
}
"""How somebody knows that a log is the newest there is."""
