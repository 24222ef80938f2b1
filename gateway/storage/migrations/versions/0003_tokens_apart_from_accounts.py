"""Tokens apart from accounts: each ends by its own age, and a name is free once its account is disabled."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ACTIVE = sa.text("disabled_at IS NULL")

# When a token was issued is what the log knows: the account's last reset, else its creation. That is never earlier
# than what counted before, so that nobody who has access loses it by the upgrade.
_MOVE = """
INSERT INTO tokens (hash, account, issued_at)
SELECT a.token_hash, a.id, coalesce(reset.at, a.created_at)
FROM accounts a
LEFT JOIN (
    SELECT obj, max(at) AS at FROM entries
    WHERE typ = 'user.changed' AND outcome = 'token reset'
    AND typ <> 'message.received' AND typ <> 'message.settled' AND typ <> 'message.sent'
    GROUP BY obj
) reset ON reset.obj = a.id
WHERE a.token_hash IS NOT NULL AND a.disabled_at IS NULL
"""


def upgrade() -> None:
    """Move the tokens, then the rest of `accounts` into a table without them."""
    op.create_table(
        "tokens",
        sa.Column("hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of a 256-bit random token"),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False, comment="its age counts from here"),
        sa.Column(
            "ends_at", sa.BigInteger(), nullable=True, comment="earlier than its age says: replaced, with an overlap"
        ),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_tokens")),
        comment="those that may be shown; what was replaced or revoked at once has no row",
    )
    with op.batch_alter_table("tokens", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tokens_account"), ["account"], unique=False)
    op.execute(_MOVE)

    op.create_table(
        "accounts_new",
        sa.Column("id", sa.Text(), nullable=False, comment="opaque: what the log names"),
        sa.Column("name", sa.Text(), nullable=False, comment="of one account that is not disabled"),
        sa.Column("person", sa.SmallInteger(), nullable=False, comment="1 a person, 0 a partner-agency system"),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
    )
    columns = "id, name, person, role, created_at, disabled_at"
    op.execute(f"INSERT INTO accounts_new ({columns}) SELECT {columns} FROM accounts")  # noqa: S608 - no value of anybody
    op.drop_table("accounts")
    op.rename_table("accounts_new", "accounts")
    op.create_index("accounts_name", "accounts", ["name"], unique=True, sqlite_where=_ACTIVE, postgresql_where=_ACTIVE)
