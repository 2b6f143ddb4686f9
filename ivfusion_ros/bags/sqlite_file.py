"""One rosbag2 sqlite3 file (.db3), whole or damaged, as a source of messages.

rosbags' reader needs a whole file; this one uses the SQLite that comes with it, apsw.
"""

from __future__ import annotations

import itertools
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import apsw

from ivfusion_ros.bags.compression import MAX_MESSAGE_BYTES
from ivfusion_ros.bags.mcap_file import EVER, Between, RawMessage, read_qos
from ivfusion_ros.bags.topics import BagTopic
from ivfusion_ros.errors import BagError
from ivfusion_ros.messages.type_names import full_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

UNREADABLE = (apsw.Error, UnicodeDecodeError, MemoryError)
"""What apsw raises for damaged tables, text that is no UTF-8, and rows that memory does not hold."""

READ_ONLY = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
LEAST_STEPS, STEPS_PER_BYTE = 10_000_000, 50
"""What SQLite may compute over a file, in its own steps: a row takes some ten, and has more bytes."""
_STEPS_AT_ONCE = 100_000
MAX_GAP = 10_000
"""After this many missing rows in a row a damaged file is taken to have no more."""


class _WholePagesFile(apsw.VFSFile):
    """A file without the part of a page at its end.

    SQLite would fill that page up with zeros and deliver them as message data.
    """

    def __init__(self, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)

    def xFileSize(self) -> int:  # noqa: N802 (SQLite's name)
        """Size in bytes, a multiple of the page size that the header names."""
        size = super().xFileSize()
        page = int.from_bytes(self.xRead(18, 0)[16:], "big") if size >= 18 else 1
        return size - size % (65536 if page == 1 else max(512, page))


class _WholePages(apsw.VFS):
    name = "ivfusion-whole-pages"

    def __init__(self) -> None:
        super().__init__(self.name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 (SQLite's name)
        return _WholePagesFile(name, flags)


WHOLE_PAGES = _WholePages()


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
        try:
            str(path.absolute()).encode()
        except UnicodeEncodeError:
            raise BagError(f"the name of {path} is not UTF-8, which SQLite expects; rename it") from None
        self._location, self._vfs = self._locate()
        try:
            with closing(self._connect()) as database:
                self._refuse_views(database)
                self._whole, counts = self._survey(database)
                self._topics = self._read_topics(database, counts)
        except (*UNREADABLE, KeyError) as error:
            raise BagError(f"{path} is not a readable rosbag2 database: {error}") from error
        self.topics = list(self._topics.values())

    def messages(self, wanted: Callable[[BagTopic], bool], between: Between = EVER) -> Iterator[RawMessage]:
        """Messages of the wanted topics."""
        topics = {key: topic for key, topic in self._topics.items() if wanted(topic)}
        try:
            with closing(self._connect()) as database:
                for topic_id, log_time_ns, data in self._fetch(database, topics):
                    typed = isinstance(log_time_ns, int) and isinstance(data, bytes)
                    if topic_id in topics and typed and between[0] <= log_time_ns <= between[1]:
                        yield topics[topic_id], log_time_ns, memoryview(data)
        except UNREADABLE as error:
            self._lose(f"reading stopped early: {error}")

    def _fetch(self, database: apsw.Connection, topic_ids: Iterable[int]) -> Iterator[tuple[Any, ...]]:
        """(topic id, time, data) of the readable rows; data is None for other topics."""
        # Row by row, so that a damaged one costs nothing but itself; unwanted data stay on the disk.
        query = (
            "SELECT topic_id, timestamp, CASE WHEN topic_id IN "
            f"({', '.join(map(str, topic_ids))}) THEN data END FROM messages WHERE id = ?"
        )
        lost, first_error, missing = 0, "", 0
        for key in self._keys(database):
            try:
                row: Any = database.execute(query, (key,)).fetchone()
            except UNREADABLE as error:
                row, lost, first_error = (
                    None,
                    lost + 1,
                    first_error or f"row {key}: {str(error) or 'out of memory'}",
                )
            missing = missing + 1 if row is None else 0
            if row:
                yield row
            if missing > MAX_GAP:
                break
        if lost and self._whole:
            self._lose(f"{lost} messages are not readable ({first_error})")

    def _keys(self, database: apsw.Connection) -> Iterator[Any]:
        if not self._whole:
            return iter(itertools.count(1))
        return (key for (key,) in database.execute("SELECT id FROM messages ORDER BY timestamp, id"))

    def _locate(self) -> tuple[str, str | None]:
        """SQLite URI and VFS; with the write-ahead log that a recorder that died may have left."""
        location = f"file:{quote(str(self.path.absolute()))}"
        log = self.path.with_name(self.path.name + "-wal")
        if log.exists() and log.stat().st_size:
            try:
                with closing(apsw.Connection(f"{location}?mode=ro", READ_ONLY)) as database:
                    database.execute("SELECT COUNT(*) FROM sqlite_master").fetchall()
                return f"{location}?mode=ro", None
            except apsw.Error as error:
                self._lose(f"its write-ahead log {log.name} was not read ({error})")
        return f"{location}?immutable=1", WHOLE_PAGES.name

    def _connect(self) -> apsw.Connection:
        database = apsw.Connection(self._location, READ_ONLY, vfs=self._vfs)
        # A page that is a child of itself is read for ever, and one row may unpack to a gigabyte.
        left = (LEAST_STEPS + STEPS_PER_BYTE * self.path.stat().st_size) // _STEPS_AT_ONCE
        turns = itertools.count()
        database.set_progress_handler(lambda: next(turns) > left, _STEPS_AT_ONCE)
        database.limit(apsw.SQLITE_LIMIT_LENGTH, MAX_MESSAGE_BYTES)
        # Without this SQLite refuses a file that is shorter than its header says.
        database.execute("PRAGMA writable_schema=ON")
        return database

    def _refuse_views(self, database: apsw.Connection) -> None:
        """A view or a virtual table is a program, which may never end. Raises BagError."""
        names = "'topics', 'messages', 'message_definitions'"
        found = database.execute(
            f"SELECT name, sql FROM sqlite_master WHERE name COLLATE NOCASE IN ({names})"
        )
        for name, text in found:
            if not str(text).upper().startswith("CREATE TABLE"):
                raise BagError(
                    f"{self.path} is no rosbag2 database: its {name} is no table, but {str(text)[:80]!r}"
                )

    def _survey(self, database: apsw.Connection) -> tuple[bool, dict[int, int] | None]:
        """Whether the tables are whole, and if so the messages by topic id."""
        try:
            rows = "SELECT topic_id, COUNT(*) FROM messages GROUP BY topic_id"
            counts: dict[Any, Any] = dict(database.execute(rows))
            times: Any = database.execute("SELECT MIN(timestamp), MAX(timestamp) FROM messages").fetchone()
            self.start_ns, self.end_ns = times
            self._whole = True
            indexed = sum(1 for _ in self._keys(database))
            if indexed == sum(counts.values()):
                return True, counts
            reason = f"the index holds {indexed} of {sum(counts.values())} messages"
        except apsw.CorruptError as error:
            reason = str(error)
        self._lose(f"the database is damaged ({reason}); only the rows that are still there were read")
        return False, None

    def _read_topics(self, database: apsw.Connection, counts: dict[int, int] | None) -> dict[int, BagTopic]:
        """Topics by id; older files have fewer columns and no message definitions."""
        definitions = {
            row["topic_type"]: row["encoded_message_definition"]
            for row in _rows(database, "message_definitions")
        }
        topics = {}
        for row in _rows(database, "topics"):
            encoding = row.get("serialization_format", "cdr")
            if [type(row[name]) for name in ("id", "name", "type")] != [int, str, str]:
                self._lose(f"the entry of topic {row['name']} is damaged")
                continue
            if encoding != "cdr":
                self._lose(f"topic {row['name']} is encoded as {encoding}, expected cdr")
                continue
            topics[row["id"]] = BagTopic(
                row["name"],
                full_name(row["type"]),
                definition=definitions.get(row["type"]) or "",
                type_hash=row.get("type_description_hash") or "",
                qos=read_qos(row.get("offered_qos_profiles") or ""),
                count=counts.get(row["id"], 0) if counts is not None else None,
            )
        return topics

    def _lose(self, what: str) -> None:
        loss = f"{self.path.name}: {what}"
        if loss not in self.losses:
            self.losses.append(loss)


def _rows(database: apsw.Connection, table: str) -> list[dict[str, Any]]:
    """All rows of a table by column name; none where there is no such table."""
    names = [column[1] for column in database.execute(f"PRAGMA table_info({table})")]
    rows = database.execute(f"SELECT * FROM {table}") if names else ()
    return [dict(zip(names, row, strict=True)) for row in rows]
