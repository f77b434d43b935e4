-- Link verifications: a short code, carried over the platform and back, proves that a person
-- owns an account. Only the code's hash is here, salted with the verification's id.
-- ZI004: there is no such person. DETAIL: {person_id}.
-- ZI021: too many were started of late. DETAIL: {retry_after}, in seconds.

CREATE TABLE identity.link_verifications (
    verification_id      uuid PRIMARY KEY,
    person_id            uuid NOT NULL REFERENCES identity.identity_registry,
    platform             text COLLATE "C" NOT NULL,
    platform_id          text COLLATE "C" NOT NULL,
    original_platform_id text NOT NULL,
    code_hash            text NOT NULL,
    tries_left           int NOT NULL DEFAULT 5 CHECK (tries_left >= 0),
    created_at           timestamptz NOT NULL,
    expires_at           timestamptz NOT NULL,
    confirmed_at         timestamptz,
    link_id              uuid REFERENCES identity.identity_links,
    -- The last call that spent a try, or confirmed.
    call_id              uuid,
    CHECK ((confirmed_at IS NULL) = (link_id IS NULL))
);
CREATE INDEX link_verifications_account
    ON identity.link_verifications (platform, platform_id, created_at);
CREATE INDEX link_verifications_person ON identity.link_verifications (person_id, created_at);
CREATE INDEX link_verifications_link
    ON identity.link_verifications (link_id) WHERE link_id IS NOT NULL;
CREATE INDEX link_verifications_created ON identity.link_verifications (created_at);

ALTER TABLE identity.link_verifications ENABLE ROW LEVEL SECURITY;

-- Raises where five verifications of an account, or of any id of a person, were started
-- within ten minutes; else keeps others from starting one until the transaction ends.
CREATE FUNCTION identity.throttle_verifications(
    platform text, platform_id text, person_ids uuid[]
) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    since timestamptz;
    crowded timestamptz;
BEGIN
    -- Accounts always before people, so that nobody waits for each other.
    PERFORM pg_advisory_xact_lock(hashtextextended(jsonb_build_array(
        'verification', throttle_verifications.platform, throttle_verifications.platform_id
    )::text, 0));
    PERFORM pg_advisory_xact_lock(hashtextextended(jsonb_build_array(
        'verification', throttle_verifications.person_ids[1]
    )::text, 0));

    since := clock_timestamp() - interval '10 minutes';
    SELECT max(fifth.created_at) INTO crowded FROM (
        (
            SELECT v.created_at FROM identity.link_verifications v
            WHERE v.platform = throttle_verifications.platform
              AND v.platform_id = throttle_verifications.platform_id
              AND v.created_at > since
            ORDER BY v.created_at DESC OFFSET 4 LIMIT 1
        ) UNION ALL (
            SELECT v.created_at FROM identity.link_verifications v
            WHERE v.person_id = ANY (throttle_verifications.person_ids)
              AND v.created_at > since
            ORDER BY v.created_at DESC OFFSET 4 LIMIT 1
        )
    ) fifth;
    IF crowded IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'ZI021', MESSAGE = 'too many verifications',
            DETAIL = jsonb_build_object('retry_after', extract(epoch FROM crowded - since));
    END IF;
END $$;

-- {verification_id, expires_at}. An earlier one of the same person and account ends.
CREATE FUNCTION identity.start_link_verification(
    verification_id uuid, person_id uuid, platform text, platform_id text,
    original_platform_id text, code_hash text
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    people uuid[] := identity.ids_of_person(start_link_verification.person_id);
    moment timestamptz;
BEGIN
    -- Else this call has been here before.
    IF NOT EXISTS (
        SELECT FROM identity.link_verifications v
        WHERE v.verification_id = start_link_verification.verification_id
    ) THEN
        PERFORM identity.throttle_verifications(
            start_link_verification.platform, start_link_verification.platform_id, people
        );
        moment := clock_timestamp();
        UPDATE identity.link_verifications v SET expires_at = moment
        WHERE v.verification_id = ANY (ARRAY(
            SELECT o.verification_id FROM identity.link_verifications o
            WHERE o.person_id = ANY (people)
              AND o.platform = start_link_verification.platform
              AND o.platform_id = start_link_verification.platform_id
              AND o.expires_at > moment
            ORDER BY o.verification_id
            FOR UPDATE
        ));

        PERFORM identity.lock_for_change(ARRAY[start_link_verification.person_id]);
        INSERT INTO identity.link_verifications (
            verification_id, person_id, platform, platform_id, original_platform_id, code_hash,
            created_at, expires_at
        ) VALUES (
            start_link_verification.verification_id, start_link_verification.person_id,
            start_link_verification.platform, start_link_verification.platform_id,
            start_link_verification.original_platform_id, start_link_verification.code_hash,
            moment, moment + interval '10 minutes'
        );
    END IF;
    RETURN (
        SELECT jsonb_build_object(
            'verification_id', v.verification_id, 'expires_at', v.expires_at
        )
        FROM identity.link_verifications v
        WHERE v.verification_id = start_link_verification.verification_id
    );
END $$;

-- {"ok": {link, created, merge}} or {"error": {code, …}}, the codes being VERIFICATION_FAILED (with
-- tries_left; an exception would give the try back), VERIFICATION_EXPIRED and LINK_TAKEN (with
-- the account). Null where there is no such verification. `link_id` is new with each call and
-- names it.
--
-- Hashes are compared like any text: how long that takes may tell a caller about the hash,
-- but nobody has the time to make use of it in five tries.
CREATE FUNCTION identity.confirm_link_verification(
    verification_id uuid, code_hash text, link_id uuid
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    held identity.link_verifications;
    repeated boolean;
    linked jsonb;
BEGIN
    SELECT * INTO held FROM identity.link_verifications v
    WHERE v.verification_id = confirm_link_verification.verification_id
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    repeated := coalesce(held.call_id = confirm_link_verification.link_id, false);

    IF NOT repeated AND (
        held.tries_left = 0
        OR (held.confirmed_at IS NULL AND held.expires_at <= clock_timestamp())
    ) THEN
        RETURN '{"error": {"code": "VERIFICATION_EXPIRED"}}';
    END IF;
    IF held.code_hash <> confirm_link_verification.code_hash THEN
        UPDATE identity.link_verifications v
        SET tries_left = v.tries_left - (NOT repeated)::int,
            call_id = confirm_link_verification.link_id
        WHERE v.verification_id = held.verification_id
        RETURNING * INTO held;
        RETURN jsonb_build_object('error', jsonb_build_object(
            'code', 'VERIFICATION_FAILED', 'tries_left', held.tries_left
        ));
    END IF;

    IF held.confirmed_at IS NOT NULL AND NOT repeated THEN
        RETURN (
            SELECT jsonb_build_object(
                'ok', jsonb_build_object('link', to_jsonb(l), 'created', false, 'merge', NULL)
            )
            FROM identity.identity_links l WHERE l.link_id = held.link_id
        );
    END IF;
    BEGIN
        -- The same ids for a repeated call, so that it is answered as it was.
        linked := identity.link_identity(
            confirm_link_verification.link_id, held.person_id, held.platform, held.platform_id,
            held.original_platform_id, true, 'code', confirm_link_verification.link_id
        );
    EXCEPTION WHEN SQLSTATE 'ZI003' THEN
        RETURN jsonb_build_object('error', jsonb_build_object(
            'code', 'LINK_TAKEN', 'account', jsonb_build_object(
                'platform', held.platform, 'platform_id', held.platform_id,
                'original', held.original_platform_id
            )
        ));
    END;
    UPDATE identity.link_verifications v
    SET link_id = (linked -> 'link' ->> 'link_id')::uuid, confirmed_at = clock_timestamp(),
        call_id = confirm_link_verification.link_id
    WHERE v.verification_id = held.verification_id AND NOT repeated;
    RETURN jsonb_build_object('ok', linked);
END $$;

-- Deletes some of those that are older than a day; answers how many. Safe beside others
-- that sweep.
CREATE FUNCTION identity.sweep_verifications(page_limit int) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    swept bigint;
BEGIN
    DELETE FROM identity.link_verifications v
    WHERE v.verification_id = ANY (ARRAY(
        SELECT o.verification_id FROM identity.link_verifications o
        WHERE o.created_at < now() - interval '1 day'
        ORDER BY o.created_at
        LIMIT sweep_verifications.page_limit
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS swept = ROW_COUNT;
    RETURN to_jsonb(swept);
END $$;
