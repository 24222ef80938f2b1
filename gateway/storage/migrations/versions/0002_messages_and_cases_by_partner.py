"""Messages and cases by partner: ids and references are the other side's words.

In plain SQL: the copies of whole tables need no model, and `db upgrade --dry-run` prints what will run.

A home may hold one message id from several senders. Of those the tables of this revision's predecessor kept what one
of them said: which one, the rows themselves tell (the first that was read). The others are read anew, and so are the
search keys of all, which did not say whose they were.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_CASES = (
    "ref, partner, opener, status, lifecycle, urgency, handling, opening_handling, opened_at, updated_at, sent, "
    "clocks, clock_from, acknowledge_by, reply_by, acknowledged_at, replied_at, next_by"
)
_TALLY = 'jti, case_ref, at, counts, "first", "last", final, supersedes, target, amends, person'
# Ids that more than one message has, of whichever senders; what was given up holds none.
_SHARED = (
    "EXISTS (SELECT 1 FROM inbox i JOIN outbox o ON o.jti = i.jti WHERE i.status = 'accepted') "
    "OR EXISTS (SELECT 1 FROM inbox WHERE status = 'accepted' GROUP BY jti HAVING count(*) > 1)"
)


def upgrade() -> None:
    """Expand."""
    _lists()
    _cases()
    _tallies()
    _names()
    _kept()


def _lists() -> None:
    op.execute("CREATE INDEX ix_outbox_leaf ON outbox (leaf)")
    op.execute("CREATE INDEX ix_inbox_leaf ON inbox (leaf)")


def _cases() -> None:
    op.execute("ALTER TABLE cases RENAME TO cases_by_ref")
    op.execute("DROP INDEX cases_due")
    op.execute("DROP INDEX cases_updated")
    op.execute(
        "CREATE TABLE cases (id INTEGER NOT NULL, ref TEXT NOT NULL, partner TEXT NOT NULL, opener TEXT NOT NULL, "
        "status TEXT NOT NULL, lifecycle TEXT NOT NULL, urgency TEXT NOT NULL, handling TEXT NOT NULL, "
        "opening_handling TEXT NOT NULL, opened_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, sent BIGINT NOT NULL, "
        "clocks TEXT NOT NULL, clock_from BIGINT, acknowledge_by BIGINT, reply_by BIGINT, acknowledged_at BIGINT, "
        "replied_at BIGINT, next_by TEXT, CONSTRAINT pk_cases PRIMARY KEY (id), "
        "CONSTRAINT uq_cases_ref_partner UNIQUE (ref, partner))"
    )
    op.execute(f"INSERT INTO cases ({_CASES}) SELECT {_CASES} FROM cases_by_ref ORDER BY rowid")  # noqa: S608 - names of columns
    op.execute("DROP TABLE cases_by_ref")
    op.execute("CREATE INDEX cases_due ON cases (reply_by) WHERE replied_at IS NULL")
    op.execute("CREATE INDEX cases_updated ON cases (updated_at, id)")


def _tallies() -> None:
    op.execute("ALTER TABLE tallies RENAME TO tallies_by_id")
    op.execute("DROP INDEX tallies_last")
    op.execute(
        "CREATE TABLE tallies (direction TEXT NOT NULL, partner TEXT NOT NULL, jti TEXT NOT NULL, case_ref TEXT, "
        'at BIGINT NOT NULL, counts TEXT NOT NULL, "first" TEXT, "last" TEXT, final SMALLINT NOT NULL, '
        "supersedes TEXT, target TEXT, amends TEXT, person TEXT, "
        "CONSTRAINT pk_tallies PRIMARY KEY (direction, partner, jti))"
    )
    whose = {
        "out": "SELECT recipient FROM outbox o WHERE o.jti = y.jti",
        "in": "SELECT sender FROM inbox i WHERE i.jti = y.jti AND i.status = 'accepted' ORDER BY i.id LIMIT 1",
    }
    for direction, partner in whose.items():
        op.execute(
            f"INSERT INTO tallies (direction, partner, {_TALLY}) SELECT direction, ({partner}), {_TALLY} "  # noqa: S608 - names of columns
            f"FROM tallies_by_id y WHERE direction = '{direction}' AND ({partner}) IS NOT NULL"
        )
    op.execute("DROP TABLE tallies_by_id")
    op.execute("CREATE INDEX tallies_last ON tallies (last)")


def _names() -> None:
    op.execute("ALTER TABLE names RENAME TO names_by_id")
    op.execute("DROP INDEX names_block")
    op.execute("DROP INDEX ix_names_jti")
    op.execute(
        "CREATE TABLE names (id INTEGER NOT NULL, direction TEXT NOT NULL, partner TEXT NOT NULL, jti TEXT NOT NULL, "
        "case_ref TEXT NOT NULL, block TEXT NOT NULL, folded TEXT NOT NULL, latin TEXT NOT NULL, sound TEXT NOT NULL, "
        "CONSTRAINT pk_names PRIMARY KEY (id))"
    )
    whose = "LEFT JOIN outbox o ON o.jti = n.jti LEFT JOIN inbox i ON i.jti = n.jti AND i.status = 'accepted'"
    op.execute(
        "INSERT INTO names (id, direction, partner, jti, case_ref, block, folded, latin, sound) "  # noqa: S608 - constants
        "SELECT n.id, CASE WHEN o.id IS NULL THEN 'in' ELSE 'out' END, coalesce(o.recipient, i.sender), n.jti, "
        f"n.case_ref, n.block, n.folded, n.latin, n.sound FROM names_by_id n {whose} "
        f"WHERE coalesce(o.id, i.id) IS NOT NULL AND NOT ({_SHARED})"
    )
    op.execute("DROP TABLE names_by_id")
    op.execute("CREATE INDEX names_block ON names (block, id)")
    op.execute("CREATE INDEX ix_names_jti ON names (jti)")
    op.execute(f"UPDATE state SET value = '0' WHERE name IN ('indexed-out', 'indexed-in') AND ({_SHARED})")  # noqa: S608 - constants


def _kept() -> None:
    op.execute(
        "UPDATE envelopes SET eid = eid || '.receipt' "
        "WHERE direction = 'out' AND length(manifest) = 0 AND instr(eid, '.') = 0"
    )
    op.execute("UPDATE envelopes SET eid = partner || '/' || eid WHERE direction = 'in' AND eid LIKE '%.answer'")
