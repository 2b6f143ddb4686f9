"""One rosbag2 sqlite3 file (.db3), whole or damaged, as a source of messages."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ivfusion_ros.bags.mcap_file import RawMessage, read_qos
from ivfusion_ros.bags.topics import BagTopic
from ivfusion_ros.errors import BagError

LONGEST_GAP = 10_000
"""After this many missing rows in a row a damaged file is taken to have no more."""


class SqliteFile:
    """Reads a database that may be cut off or damaged; what cannot be read is named in losses.

    Messages come in order of time; of a damaged file in order of recording, and then the topics'
    counts are None. start_ns, end_ns: first and last log time, None where unknown. Raises BagError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.losses: list[str] = []
        self.start_ns: int | None = None
        self.end_ns: int | None = None
        if path.stat().st_size == 0:
            raise BagError(f"{path} is empty")
        self._location = self._locate()
        try:
            with closing(self._connect()) as database:
                self._whole, counts = self._survey(database)
                self._topics = _read_topics(database, counts)
        except sqlite3.Error as error:
            raise BagError(f"{path} is no readable rosbag2 database: {error}") from error
        self.topics = list(self._topics.values())

    def messages(self, wanted: Callable[[BagTopic], bool]) -> Iterator[RawMessage]:
        """Messages of the wanted topics."""
        topics = {key: topic for key, topic in self._topics.items() if wanted(topic)}
        # Row by row, so that a damaged one costs nothing but itself; unwanted data stay on the disk.
        query = (
            "SELECT topic_id, timestamp, CASE WHEN topic_id IN "
            f"({', '.join(map(str, topics))}) THEN data END FROM messages WHERE id = ?"
        )
        lost, first_error, missing = 0, "", 0
        with closing(self._connect()) as database:
            for key in self._keys(database):
                try:
                    row = database.execute(query, (key,)).fetchone()
                except sqlite3.Error as error:
                    row, lost, first_error = None, lost + 1, first_error or f"row {key}: {error}"
                missing = missing + 1 if row is None else 0
                if missing > LONGEST_GAP:
                    break
                if row and row[0] in topics and isinstance(row[1], int) and isinstance(row[2], bytes):
                    yield topics[row[0]], row[1], memoryview(row[2])
        if lost and self._whole:
            self._lose(f"{lost} messages are not readable ({first_error})")

    def _keys(self, database: sqlite3.Connection) -> Iterator[int]:
        if not self._whole:
            return iter(itertools.count(1))
        return (key for (key,) in database.execute("SELECT id FROM messages ORDER BY timestamp, id"))

    def _locate(self) -> str:
        """SQLite URI of the file; with its write-ahead log if a recorder that died left one."""
        location = f"file:{quote(str(self.path.absolute()))}"
        log = self.path.with_name(self.path.name + "-wal")
        if log.exists() and log.stat().st_size:
            try:
                with closing(sqlite3.connect(f"{location}?mode=ro", uri=True)) as database:
                    database.execute("SELECT COUNT(*) FROM sqlite_master")
                return f"{location}?mode=ro"
            except sqlite3.Error as error:
                self._lose(f"its write-ahead log {log.name} was not read ({error})")
        return f"{location}?immutable=1"

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._location, uri=True, check_same_thread=False)
        # Without this SQLite refuses a file that is shorter than its header says.
        database.execute("PRAGMA writable_schema=ON")
        return database

    def _survey(self, database: sqlite3.Connection) -> tuple[bool, dict[int, int] | None]:
        """Whether the tables are whole, and if so the messages by topic id."""
        try:
            rows = "SELECT topic_id, COUNT(*) FROM messages GROUP BY topic_id"
            counts = dict(database.execute(rows).fetchall())
            times = "SELECT MIN(timestamp), MAX(timestamp) FROM messages"
            self.start_ns, self.end_ns = database.execute(times).fetchone()
            self._whole = True
            indexed = sum(1 for _ in self._keys(database))
            if indexed == sum(counts.values()):
                return True, counts
            reason = f"the index holds {indexed} of {sum(counts.values())} messages"
        except sqlite3.DatabaseError as error:
            if "malformed" not in str(error):
                raise
            reason = str(error)
        self._lose(f"the database is damaged ({reason}); only the rows that are still there were read")
        return False, None

    def _lose(self, what: str) -> None:
        loss = f"{self.path.name}: {what}"
        if loss not in self.losses:
            self.losses.append(loss)


def _read_topics(database: sqlite3.Connection, counts: dict[int, int] | None) -> dict[int, BagTopic]:
    """Topics by id; older files have fewer columns and no message definitions."""
    definitions = {
        row["topic_type"]: row["encoded_message_definition"]
        for row in _rows(database, "message_definitions")
    }
    return {
        row["id"]: BagTopic(
            row["name"],
            row["type"],
            definition=definitions.get(row["type"]) or "",
            type_hash=row.get("type_description_hash") or "",
            qos=read_qos(row.get("offered_qos_profiles") or ""),
            count=counts.get(row["id"], 0) if counts is not None else None,
        )
        for row in _rows(database, "topics")
        if row.get("serialization_format", "cdr") == "cdr"
    }


def _rows(database: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    known = database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    if not known:
        return []
    cursor = database.execute(f"SELECT * FROM {table}")
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
