"""The counters of `apps.core.throttling`, for when RATE_LIMIT_URL is unset."""

from django.db import migrations, models

# Django's own CREATE TABLE cannot say UNLOGGED, and would add a second index for LIKE. In a window only `count` changes,
# so that most updates leave both indexes alone.
CREATE_TABLE = """
CREATE UNLOGGED TABLE core_throttle (
    key text PRIMARY KEY,
    started bigint NOT NULL,
    count bigint NOT NULL,
    earlier bigint NOT NULL,
    blocked_until bigint NOT NULL,
    block bigint NOT NULL,
    expires bigint NOT NULL
);
CREATE INDEX throttle_expires ON core_throttle (expires);
"""

# One statement for all keys, and imperative like its twin, the script in apps/core/throttling/in_redis.py: the package's
# docstring says what both do. Everything is milliseconds.
CREATE_FUNCTION = """
CREATE FUNCTION throttle_take(
    keys text[], rates bigint[], sizes bigint[], amount bigint, growth bigint, moment bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    asked record;
    kept core_throttle;
    at bigint;
    start bigint;
    room bigint;
    wait bigint;
    longest bigint := 0;
BEGIN
    FOR asked IN SELECT * FROM unnest(keys, rates, sizes) AS given (key, rate, size) ORDER BY key LOOP
        -- Makes the row where it is missing, and locks it in either case: WHERE false changes nothing.
        INSERT INTO core_throttle VALUES (asked.key, 0, 0, 0, 0, 0, 0)
        ON CONFLICT (key) DO UPDATE SET key = excluded.key WHERE false;
        SELECT * INTO STRICT kept FROM core_throttle WHERE key = asked.key;

        -- Another host's clock may be ahead of this one.
        at := greatest(moment, kept.started);
        IF kept.blocked_until > at THEN
            longest := greatest(longest, kept.blocked_until - at);
            CONTINUE;
        END IF;

        start := at - at % asked.size;
        IF kept.started <> start THEN
            kept.earlier := CASE kept.started WHEN start - asked.size THEN kept.count ELSE 0 END;
            kept.count := 0;
            kept.started := start;
        END IF;

        room := asked.rate - amount - kept.count;
        wait := 0;
        IF room < 0 THEN
            wait := start + 2 * asked.size - (asked.rate - amount) * asked.size / kept.count - at;
        ELSIF kept.earlier * (start + asked.size - at) > room * asked.size THEN
            wait := start + asked.size - room * asked.size / kept.earlier - at;
        END IF;

        IF wait > 0 THEN
            wait := greatest(wait, 1000);
            IF at < kept.blocked_until + greatest(kept.block, asked.size) THEN
                wait := greatest(wait, least(kept.block * growth, 3600000));
            END IF;
            kept.block := wait;
            kept.blocked_until := at + wait;
            longest := greatest(longest, wait);
        END IF;

        UPDATE core_throttle SET
            started = kept.started,
            count = kept.count,
            earlier = kept.earlier,
            blocked_until = kept.blocked_until,
            block = kept.block,
            expires = greatest(start + 2 * asked.size, kept.blocked_until + greatest(kept.block, asked.size))
        WHERE key = asked.key;
    END LOOP;

    IF longest = 0 THEN
        UPDATE core_throttle SET count = count + amount WHERE key = ANY (keys);
    END IF;
    RETURN (longest + 999) / 1000;
END
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("core", "0001_task_queue")]
    operations = [
        migrations.RunSQL(
            CREATE_TABLE,
            "DROP TABLE core_throttle",
            state_operations=[
                migrations.CreateModel(
                    name="Throttle",
                    fields=[
                        ("key", models.TextField(primary_key=True, serialize=False)),
                        (
                            "started",
                            models.BigIntegerField(help_text="When the window began that the last attempt fell into."),
                        ),
                        ("count", models.BigIntegerField(help_text="The attempts in that window.")),
                        ("earlier", models.BigIntegerField(help_text="The attempts in the window before.")),
                        (
                            "blocked_until",
                            models.BigIntegerField(help_text="The end of the last block; 0 before the first."),
                        ),
                        (
                            "block",
                            models.BigIntegerField(help_text="How long the last block lasts; 0 before the first."),
                        ),
                        ("expires", models.BigIntegerField(help_text="From when on none of this matters.")),
                    ],
                    options={
                        "indexes": [models.Index(fields=["expires"], name="throttle_expires")],
                        "default_permissions": (),
                    },
                )
            ],
        ),
        migrations.RunSQL(
            CREATE_FUNCTION,
            "DROP FUNCTION throttle_take(text[], bigint[], bigint[], bigint, bigint, bigint)",
        ),
    ]
