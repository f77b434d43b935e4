"""A log of many days, made by SQL in a moment, as if appends had filled it day by day."""

from typing import Any

COLUMNS = {
    "occurred_at": "created_at",
    "subject_id": "NULL::uuid",
    "group_id": "NULL::uuid",
    "session_id": "NULL::uuid",
    "event_type": "'message'",
    "platform": "'discord'",
    "content": "jsonb_build_object('text', repeat('word ', 40))",
}


async def fill_days(
    connection: Any, first_day: str, days: int, each_day: int, **columns: str
) -> None:
    """Fill an empty log: so many events a day from an SQL date on, positions from 1.

    Columns are SQL expressions over `d` (the number of the day, from 0), `n` (that of the
    event in its day, from 1) and `created_at`; without one, events are messages of nobody.
    """
    values = {**COLUMNS, **columns}
    await connection.execute(
        f"""
        SELECT event.make_partition(({first_day}) + d) FROM generate_series(0, {days - 1}) d;
        INSERT INTO event.event_log (
            position, created_at, consent_version, event_id, metadata, {", ".join(values)})
        SELECT d * {each_day} + n, created_at, 0, gen_random_uuid(), '{{}}',
               {", ".join(values.values())}
        FROM generate_series(0, {days - 1}) d, generate_series(1, {each_day}) n,
             LATERAL (SELECT event.start_of(({first_day}) + d)
                             + n * interval '1 day' / {each_day + 1} AS created_at) t;
        UPDATE event.partitions SET first_position = (day - ({first_day})) * {each_day} + 1;
        INSERT INTO event.event_ids
        SELECT event_id, position, created_at, NULL FROM event.event_log ORDER BY position;
        DELETE FROM event.event_counts;
        INSERT INTO event.event_counts
        SELECT date_trunc('hour', created_at, 'UTC'), event_type, platform, count(*)
        FROM event.event_log GROUP BY 1, 2, 3;
        UPDATE event.log_head
        SET position = {days * each_day},
            created_at = (SELECT max(created_at) FROM event.event_log);
        """
    )
    # Statistics, and the visibility that an index-only scan needs; not inside a transaction.
    for table in ("event_log", "event_ids", "event_counts", "partitions"):
        await connection.execute(f"VACUUM (ANALYZE) event.{table}")
