"""The ledger of an annotation run: what was asked, what it cost and how it ended, in DATASET/.annotate/ledger.sqlite.

Every change is committed before the next step is taken, so that a killed process leaves nothing unaccounted for.
It holds no prompt, no answer and no key: answers lie beside it, under the hash that the ledger names.
"""

import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_TABLES = """
CREATE TABLE IF NOT EXISTS tiles (
    tile_id TEXT PRIMARY KEY,
    state TEXT NOT NULL,              -- planned, sent, answered, repaired, quarantined
    reason TEXT NOT NULL DEFAULT '',  -- of a quarantined tile
    updated REAL NOT NULL             -- Unix time
);
CREATE TABLE IF NOT EXISTS requests (
    key TEXT PRIMARY KEY,             -- SHA-256 of all that is asked: model, parameters, prompt, image
    tile_id TEXT NOT NULL,
    turn INTEGER NOT NULL,            -- 0 the question, 1 and 2 repair turns
    state TEXT NOT NULL,              -- planned, sent, answered, failed
    reason TEXT NOT NULL DEFAULT '',  -- of the last failure
    attempts INTEGER NOT NULL DEFAULT 0,
    batch TEXT NOT NULL DEFAULT '',   -- batch it was last sent with; '' = sent on its own
    input_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    cost REAL,                        -- NULL = no prices were given
    estimated INTEGER NOT NULL DEFAULT 0,  -- 1 = the endpoint stated no tokens that can be; they are counted here
    doubt REAL NOT NULL DEFAULT 0,    -- most that attempts without an answer may have cost
    reserved REAL NOT NULL DEFAULT 0, -- most that the attempt in flight may cost
    seconds REAL NOT NULL DEFAULT 0,  -- from sending to the answer
    updated REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS batches (
    name TEXT PRIMARY KEY,            -- ours, told to the endpoint as metadata
    state TEXT NOT NULL,              -- planned, uploaded, submitted, collected, failed
    file_id TEXT NOT NULL DEFAULT '',
    batch_id TEXT NOT NULL DEFAULT '',
    requests INTEGER NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    endpoint TEXT NOT NULL DEFAULT '',  -- address that it was sent to
    updated REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS requests_of_tile ON requests (tile_id);
CREATE INDEX IF NOT EXISTS requests_of_batch ON requests (batch);
"""

_ADDED = (("batches", "endpoint", "TEXT NOT NULL DEFAULT ''"), ("requests", "estimated", "INTEGER NOT NULL DEFAULT 0"))
"""Columns that ledgers of earlier versions lack."""


class RequestLedger:
    """The book-keeping of one run. Safe from threads; a second process is kept out by the run's lock.

    Args:
        path: the database file; None keeps it in memory.

    Raises:
        ValueError: the file is no ledger.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._base = sqlite3.connect(path or ":memory:", timeout=30.0, check_same_thread=False, isolation_level=None)
        self._base.row_factory = sqlite3.Row
        try:
            self._base.execute("PRAGMA journal_mode=WAL")
            # Survives the death of the process; after a power cut the answers on disk fill in what is missing.
            self._base.execute("PRAGMA synchronous=NORMAL")
            self._base.executescript(_TABLES)
            for table, column, kind in _ADDED:  # to a ledger of an earlier version
                columns = {row["name"] for row in self._base.execute(f"PRAGMA table_info({table})")}
                if column not in columns:
                    self._base.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{path} is not a ledger that can be read ({error}); move it away.") from None

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._base.close()

    # ---- tiles ------------------------------------------------------------------------------------------------------

    def plan(self, tiles: Iterable[str]) -> None:
        """Enter tiles that are to be annotated and are not entered yet."""
        rows = [(tile, "planned", time.time()) for tile in tiles]
        with self._lock, self._transaction():
            self._base.executemany("INSERT OR IGNORE INTO tiles (tile_id, state, updated) VALUES (?, ?, ?)", rows)

    def tile(self, tile_id: str, state: str, reason: str = "") -> None:
        """Note how a tile stands."""
        self._do(
            "INSERT INTO tiles (tile_id, state, reason, updated) VALUES (?, ?, ?, ?) ON CONFLICT (tile_id) "
            "DO UPDATE SET state = excluded.state, reason = excluded.reason, updated = excluded.updated",
            (tile_id, state, reason, time.time()),
        )

    # ---- requests ---------------------------------------------------------------------------------------------------

    def sent(self, key: str, tile_id: str, turn: int, reserved: float, batch: str = "") -> None:
        """Note, before it is done, that a request is sent. What an earlier sending may have cost stays in doubt."""
        self.sent_all([(key, tile_id, turn, reserved)], batch)

    def sent_all(self, requests: Sequence[tuple[str, str, int, float]], batch: str) -> None:
        """The same for several (key, tile, turn, reserved), all or none of them."""
        now = time.time()
        with self._lock, self._transaction():
            self._base.executemany(
                "INSERT INTO requests (key, tile_id, turn, state, attempts, batch, reserved, updated) "
                "VALUES (?, ?, ?, 'sent', 1, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET attempts = attempts + 1, "
                "doubt = doubt + CASE state WHEN 'sent' THEN reserved ELSE 0 END + COALESCE(cost, 0), "
                "cost = NULL, input_tokens = 0, output_tokens = 0, estimated = 0, state = 'sent', "
                "batch = excluded.batch, reserved = excluded.reserved, updated = excluded.updated",
                [(key, tile, turn, batch, reserved, now) for key, tile, turn, reserved in requests],
            )
            self._base.executemany(
                "INSERT INTO tiles (tile_id, state, updated) VALUES (?, 'sent', ?) ON CONFLICT (tile_id) "
                "DO UPDATE SET state = 'sent', reason = '', updated = excluded.updated",
                [(tile, now) for _, tile, _, _ in requests],
            )

    def answered(
        self,
        key: str,
        tile_id: str,
        turn: int,
        tokens: tuple[int, int],
        cost: float | None,
        seconds: float,
        estimated: bool = False,
    ) -> None:
        """Note that an answer (input, output tokens, as stated or `estimated`) was received and is on disk."""
        self._do(
            "INSERT INTO requests (key, tile_id, turn, state, input_tokens, output_tokens, cost, estimated, seconds, "
            "updated) VALUES (?, ?, ?, 'answered', ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
            "state = 'answered', reason = '', reserved = 0, input_tokens = excluded.input_tokens, "
            "output_tokens = excluded.output_tokens, cost = excluded.cost, estimated = excluded.estimated, "
            "seconds = excluded.seconds, updated = excluded.updated",
            (key, tile_id, turn, *tokens, cost, int(estimated), seconds, time.time()),
        )

    def failed(self, key: str, reason: str, in_doubt: bool, final: bool = False) -> None:
        """Note that an attempt brought no answer.

        Args:
            key: of the request.
            reason: in words.
            in_doubt: the endpoint may have charged for it (it answered too late, or the connection broke).
            final: it will not be tried again in this run.
        """
        self._do(
            "UPDATE requests SET reason = ?, state = ?, doubt = doubt + CASE WHEN ? THEN reserved ELSE 0 END, "
            "reserved = 0, updated = ? WHERE key = ?",
            (reason, "failed" if final else "planned", in_doubt, time.time(), key),
        )

    def request(self, key: str) -> dict[str, Any] | None:
        """What is known of a request, by column."""
        row = self._rows("SELECT * FROM requests WHERE key = ?", (key,))
        return row[0] if row else None

    def recover(self) -> float:
        """Take over what a killed process left: requests sent on their own are in doubt, those of batches in flight.

        Returns:
            What is set aside for the requests in flight.
        """
        self._do(
            "UPDATE requests SET state = 'planned', reason = 'the process was killed', doubt = doubt + reserved, "
            "reserved = 0 WHERE state = 'sent' AND batch = ''",
            (),
        )
        return float(
            self._rows("SELECT COALESCE(SUM(reserved), 0) AS r FROM requests WHERE state = 'sent'", ())[0]["r"]
        )

    def forgive(self) -> None:
        """Let requests that were given up be tried again."""
        self._do("UPDATE requests SET state = 'planned', attempts = 0 WHERE state = 'failed'", ())

    def spent(self, price_in: float, price_out: float) -> float:
        """What was paid and may have been paid so far, with what is in flight; prices per million tokens."""
        row = self._rows(
            "SELECT COALESCE(SUM(COALESCE(cost, (input_tokens * ? + output_tokens * ?) / 1e6) + doubt + reserved), 0) "
            "AS spent FROM requests",
            (price_in, price_out),
        )[0]
        return float(row["spent"])

    # ---- batches ----------------------------------------------------------------------------------------------------

    def batch(self, name: str, **changes: Any) -> None:
        """Change a batch: state, file_id, batch_id, reason."""
        names = ", ".join(f"{column} = ?" for column in changes)
        self._do(f"UPDATE batches SET {names}, updated = ? WHERE name = ?", (*changes.values(), time.time(), name))

    def new_batch(self, name: str, requests: int, endpoint: str = "") -> None:
        """Enter a batch before anything of it reaches the endpoint at this address."""
        self._do(
            "INSERT INTO batches (name, state, requests, endpoint, updated) VALUES (?, 'planned', ?, ?, ?)",
            (name, requests, endpoint, time.time()),
        )

    def open_batches(self) -> list[dict[str, Any]]:
        """Batches whose results are not collected, the oldest first."""
        return self._rows("SELECT * FROM batches WHERE state NOT IN ('collected', 'failed') ORDER BY rowid", ())

    def in_batch(self, name: str) -> list[dict[str, Any]]:
        """Requests that were sent with a batch and have no answer yet."""
        return self._rows("SELECT * FROM requests WHERE batch = ? AND state = 'sent' ORDER BY rowid", (name,))

    # ---- sums -------------------------------------------------------------------------------------------------------

    def summary(self) -> dict[str, Any]:
        """Over all runs of this data set: `tiles` (state -> number), `requests` (state -> number), `input_tokens`,
        `output_tokens`, `cost` (of the answers that had prices), `estimated` (answers whose tokens are counted here),
        `in_doubt` (what lost answers may have cost)."""
        found: dict[str, Any] = {}
        for table in ("tiles", "requests"):
            rows = self._rows(f"SELECT state, COUNT(*) AS n FROM {table} GROUP BY state ORDER BY state", ())
            found[table] = {row["state"]: row["n"] for row in rows}
        sums = self._rows(
            "SELECT COALESCE(SUM(input_tokens), 0) AS input_tokens, COALESCE(SUM(output_tokens), 0) AS output_tokens, "
            "ROUND(COALESCE(SUM(cost), 0), 6) AS cost, COALESCE(SUM(estimated), 0) AS estimated, "
            "ROUND(COALESCE(SUM(doubt + reserved), 0), 6) AS in_doubt "
            "FROM requests",
            (),
        )[0]
        return found | sums

    # ---- SQLite -----------------------------------------------------------------------------------------------------

    def _do(self, statement: str, values: Sequence[Any]) -> None:
        with self._lock:
            self._base.execute(statement, values)

    def _rows(self, statement: str, values: Sequence[Any]) -> list[dict[str, Any]]:
        with self._lock:
            return [dict(row) for row in self._base.execute(statement, values)]

    @contextmanager
    def _transaction(self) -> Any:
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")
