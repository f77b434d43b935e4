-- Onboarding sessions: what is known before there is a person. They expire by the store's
-- clock, and whoever is first to claim one gets its data.
-- ZI001: the session no longer has the etag that was given.
-- ZI002: the data, or the metadata of the person, would be larger than it may be.
-- ZI004: there is no such person. DETAIL: {person_id}.
-- ZI008: the id was used before, with another body.
-- ZI025: the session has expired.
-- ZI026: the session was claimed.

CREATE TABLE identity.onboarding_sessions (
    session_id uuid PRIMARY KEY,
    data       jsonb NOT NULL CHECK (jsonb_typeof(data) = 'object'),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    etag       uuid NOT NULL,
    -- Who claimed it, by the id that they had then.
    person_id  uuid REFERENCES identity.identity_registry,
    claimed_at timestamptz,
    -- What the client sent to create it, and the call that did.
    body_hash  text NOT NULL,
    call_id    uuid NOT NULL,
    CHECK ((person_id IS NULL) = (claimed_at IS NULL))
);
CREATE INDEX onboarding_sessions_unclaimed
    ON identity.onboarding_sessions (expires_at) WHERE person_id IS NULL;
CREATE INDEX onboarding_sessions_person
    ON identity.onboarding_sessions (person_id) WHERE person_id IS NOT NULL;

ALTER TABLE identity.onboarding_sessions ENABLE ROW LEVEL SECURITY;

-- clock_timestamp, because a call may have waited for a lock since it began.
CREATE VIEW identity.sessions AS
SELECT
    s.session_id, s.data, s.created_at, s.expires_at, s.claimed_at, s.etag,
    p.root_id AS person_id,
    CASE WHEN s.person_id IS NOT NULL THEN 'claimed'
         WHEN s.expires_at <= clock_timestamp() THEN 'expired'
         ELSE 'open' END AS state
FROM identity.onboarding_sessions s LEFT JOIN identity.identity_registry p USING (person_id);

-- {session, created}.
CREATE FUNCTION identity.create_session(
    session_id uuid, data jsonb, ttl_milliseconds bigint, body_hash text, call_id uuid
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    made identity.onboarding_sessions;
BEGIN
    LOOP
        INSERT INTO identity.onboarding_sessions (
            session_id, data, created_at, expires_at, etag, body_hash, call_id
        ) VALUES (
            create_session.session_id, create_session.data, now(),
            now() + create_session.ttl_milliseconds * interval '1 millisecond',
            create_session.call_id, create_session.body_hash, create_session.call_id
        )
        ON CONFLICT DO NOTHING;
        SELECT * INTO made FROM identity.onboarding_sessions s
        WHERE s.session_id = create_session.session_id;
        -- One that stood in the way may have been swept before it was read.
        EXIT WHEN FOUND;
    END LOOP;
    IF made.body_hash <> create_session.body_hash THEN
        RAISE EXCEPTION USING ERRCODE = 'ZI008', MESSAGE = 'idempotency conflict';
    END IF;
    RETURN (
        SELECT jsonb_build_object(
            'session', to_jsonb(s), 'created', made.call_id = create_session.call_id
        )
        FROM identity.sessions s WHERE s.session_id = create_session.session_id
    );
END $$;

-- Null where there is no such session.
CREATE FUNCTION identity.get_session(session_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT to_jsonb(s) FROM identity.sessions s WHERE s.session_id = get_session.session_id
    );
END $$;

-- Raises unless the session, whose row is locked, is open.
CREATE FUNCTION identity.check_open(session identity.onboarding_sessions) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
BEGIN
    IF session.person_id IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'ZI026', MESSAGE = 'session claimed';
    ELSIF session.expires_at <= clock_timestamp() THEN
        RAISE EXCEPTION USING ERRCODE = 'ZI025', MESSAGE = 'session expired';
    END IF;
END $$;

-- A time to live of NULL leaves it. Null where there is no such session.
CREATE FUNCTION identity.update_session(
    session_id uuid, patch jsonb, ttl_milliseconds bigint, etag text, new_etag uuid,
    most_bytes int
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    held identity.onboarding_sessions;
    merged jsonb;
BEGIN
    SELECT * INTO held FROM identity.onboarding_sessions s
    WHERE s.session_id = update_session.session_id
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    -- Else this call has been here before: its answer was lost, its change was not.
    IF held.etag <> update_session.new_etag THEN
        PERFORM identity.check_open(held);
        IF held.etag::text <> update_session.etag THEN
            RAISE EXCEPTION USING ERRCODE = 'ZI001', MESSAGE = 'etag mismatch';
        END IF;
        merged := identity.merge_patch(held.data, update_session.patch);
        IF merged <> held.data OR update_session.ttl_milliseconds IS NOT NULL THEN
            PERFORM identity.check_size(merged, update_session.most_bytes);
            UPDATE identity.onboarding_sessions s
            SET data = merged, etag = update_session.new_etag,
                expires_at = coalesce(
                    clock_timestamp()
                        + update_session.ttl_milliseconds * interval '1 millisecond',
                    s.expires_at
                )
            WHERE s.session_id = update_session.session_id;
        END IF;
    END IF;
    RETURN (
        SELECT to_jsonb(s) FROM identity.sessions s WHERE s.session_id = update_session.session_id
    );
END $$;

-- {session, person}; null where there is no such session. The row of the session is what
-- those who claim it at once queue up for.
CREATE FUNCTION identity.claim_session(
    session_id uuid, person_id uuid, new_etag uuid, most_bytes int
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    held identity.onboarding_sessions;
BEGIN
    SELECT * INTO held FROM identity.onboarding_sessions s
    WHERE s.session_id = claim_session.session_id
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF held.person_id IS NULL OR identity.ids_of_person(held.person_id)
        IS DISTINCT FROM identity.ids_of_person(claim_session.person_id)
    THEN
        PERFORM identity.check_open(held);
        PERFORM identity.lock_for_change(ARRAY[claim_session.person_id]);
        PERFORM identity.update_person(
            p.root_id, held.data, NULL, claim_session.new_etag, claim_session.most_bytes
        )
        FROM identity.identity_registry p WHERE p.person_id = claim_session.person_id;
        UPDATE identity.onboarding_sessions s
        SET person_id = claim_session.person_id, claimed_at = clock_timestamp(),
            etag = claim_session.new_etag
        WHERE s.session_id = claim_session.session_id;
    END IF;
    RETURN (
        SELECT jsonb_build_object(
            'session', to_jsonb(s),
            'person', identity.get_persons(ARRAY[s.person_id::text]) -> 0 -> 'ok'
        )
        FROM identity.sessions s WHERE s.session_id = claim_session.session_id
    );
END $$;

-- Deletes some of those that nobody claimed and that expired a day ago; answers how many.
-- Safe beside others that sweep.
CREATE FUNCTION identity.sweep_sessions(page_limit int) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    swept bigint;
BEGIN
    DELETE FROM identity.onboarding_sessions s
    WHERE s.session_id = ANY (ARRAY(
        SELECT o.session_id FROM identity.onboarding_sessions o
        WHERE o.person_id IS NULL AND o.expires_at < now() - interval '1 day'
        ORDER BY o.expires_at
        LIMIT sweep_sessions.page_limit
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS swept = ROW_COUNT;
    RETURN to_jsonb(swept);
END $$;

-- {open, expired}: how many there are that nobody claimed.
CREATE FUNCTION identity.count_sessions() RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'open', count(*) FILTER (WHERE s.expires_at > now()),
            'expired', count(*) FILTER (WHERE s.expires_at <= now())
        )
        FROM identity.onboarding_sessions s WHERE s.person_id IS NULL
    );
END $$;
