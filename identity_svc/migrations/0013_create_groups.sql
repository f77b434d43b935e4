-- Groups of people. A member's row has the id by which they joined; whoever reads sees the
-- person as they are now, so that people who were merged are one member and, unmerged, two.
-- ZI001: the group no longer has the etag that was given.
-- ZI002: the metadata would be larger than it may be.
-- ZI004: there is no such person. DETAIL: {person_id}.
-- ZI008: the id was used before, with another body.
-- ZI024: the group has as many members as it may have.

CREATE TABLE identity.groups (
    group_id   uuid PRIMARY KEY,
    kind       text COLLATE "C" NOT NULL CHECK (kind <> ''),
    name       text NOT NULL,
    metadata   jsonb NOT NULL CHECK (jsonb_typeof(metadata) = 'object'),
    created_at timestamptz NOT NULL DEFAULT now(),
    etag       uuid NOT NULL,
    -- What the client sent to create it, and the call that did.
    body_hash  text NOT NULL,
    call_id    uuid NOT NULL
);
CREATE INDEX groups_listed ON identity.groups (created_at, group_id);
CREATE INDEX groups_kind ON identity.groups (kind, created_at, group_id);

CREATE TABLE identity.group_members (
    group_id   uuid NOT NULL REFERENCES identity.groups,
    person_id  uuid NOT NULL REFERENCES identity.identity_registry,
    role       text NOT NULL DEFAULT '',
    joined_at  timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    -- The call by which they joined.
    call_id    uuid NOT NULL,
    PRIMARY KEY (group_id, person_id)
);
CREATE INDEX group_members_joined ON identity.group_members (group_id, joined_at, person_id);
CREATE INDEX group_members_person ON identity.group_members (person_id, group_id);

ALTER TABLE identity.groups ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.group_members ENABLE ROW LEVEL SECURITY;

CREATE VIEW identity.counted_groups AS
SELECT
    g.group_id, g.kind, g.name, g.metadata, g.created_at, g.etag,
    (
        SELECT count(DISTINCT p.root_id)
        FROM identity.group_members m JOIN identity.identity_registry p USING (person_id)
        WHERE m.group_id = g.group_id
    ) AS member_count
FROM identity.groups g;

CREATE FUNCTION identity.check_size(value jsonb, most_bytes int) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = '' AS $$
BEGIN
    -- The first is never less than the second, and much cheaper.
    IF octet_length(value::text) > most_bytes AND identity.compact_bytes(value) > most_bytes THEN
        RAISE EXCEPTION USING ERRCODE = 'ZI002', MESSAGE = 'metadata too large';
    END IF;
END $$;

-- {group, created}.
CREATE FUNCTION identity.create_group(
    group_id uuid, kind text, name text, metadata jsonb, person_ids text[], body_hash text,
    call_id uuid
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    made identity.groups;
BEGIN
    INSERT INTO identity.groups (group_id, kind, name, metadata, etag, body_hash, call_id)
    VALUES (
        create_group.group_id, create_group.kind, create_group.name, create_group.metadata,
        create_group.call_id, create_group.body_hash, create_group.call_id
    )
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        PERFORM identity.lock_for_change(create_group.person_ids::uuid[]);
        INSERT INTO identity.group_members (group_id, person_id, call_id)
        SELECT DISTINCT create_group.group_id, unnest(create_group.person_ids::uuid[]),
               create_group.call_id;
    END IF;

    SELECT * INTO made FROM identity.groups g WHERE g.group_id = create_group.group_id;
    IF made.body_hash <> create_group.body_hash THEN
        RAISE EXCEPTION USING ERRCODE = 'ZI008', MESSAGE = 'idempotency conflict';
    END IF;
    RETURN (
        SELECT jsonb_build_object(
            'group', to_jsonb(g), 'created', made.call_id = create_group.call_id
        )
        FROM identity.counted_groups g WHERE g.group_id = create_group.group_id
    );
END $$;

-- Null where there is no such group.
CREATE FUNCTION identity.get_group(group_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT to_jsonb(g) FROM identity.counted_groups g WHERE g.group_id = get_group.group_id
    );
END $$;

-- A name of NULL leaves it. Null where there is no such group.
CREATE FUNCTION identity.update_group(
    group_id uuid, name text, patch jsonb, etag text, new_etag uuid, most_bytes int
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    held identity.groups;
    merged jsonb;
BEGIN
    SELECT * INTO held FROM identity.groups g
    WHERE g.group_id = update_group.group_id
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    -- Else this call has been here before: its answer was lost, its change was not.
    IF held.etag <> update_group.new_etag THEN
        IF held.etag::text <> update_group.etag THEN
            RAISE EXCEPTION USING ERRCODE = 'ZI001', MESSAGE = 'etag mismatch';
        END IF;
        merged := identity.merge_patch(held.metadata, update_group.patch);
        IF merged <> held.metadata OR held.name <> update_group.name THEN
            PERFORM identity.check_size(merged, update_group.most_bytes);
            UPDATE identity.groups g
            SET name = coalesce(update_group.name, g.name), metadata = merged,
                etag = update_group.new_etag
            WHERE g.group_id = update_group.group_id;
        END IF;
    END IF;
    RETURN (
        SELECT to_jsonb(g) FROM identity.counted_groups g WHERE g.group_id = update_group.group_id
    );
END $$;

-- Each member of a group once: `row_id` is the id they joined by first, whose place in the
-- order of joining is theirs. Their role is the one given last of those that are not empty.
-- What a person is in a group by is looked up id by id, hence LATERAL with LIMIT 1; the first
-- is a scalar, so that a page is read in its order and no further.
CREATE VIEW identity.members AS
SELECT
    m.group_id, m.joined_at, m.person_id AS row_id, p.root_id AS person_id,
    coalesce((
        SELECT r.role
        FROM identity.identity_registry a
        CROSS JOIN LATERAL (
            SELECT * FROM identity.group_members r
            WHERE r.group_id = m.group_id AND r.person_id = a.person_id LIMIT 1
        ) r
        WHERE a.root_id = p.root_id AND r.role <> ''
        ORDER BY r.changed_at DESC, r.person_id DESC
        LIMIT 1
    ), '') AS role
FROM identity.group_members m JOIN identity.identity_registry p USING (person_id)
WHERE m.person_id = (
    SELECT r.person_id
    FROM identity.identity_registry a
    CROSS JOIN LATERAL (
        SELECT * FROM identity.group_members r
        WHERE r.group_id = m.group_id AND r.person_id = a.person_id LIMIT 1
    ) r
    WHERE a.root_id = p.root_id
    ORDER BY r.joined_at, r.person_id
    LIMIT 1
);

-- {member, joined}; null where there is no such group. The role becomes that of every id by
-- which the person is in the group.
CREATE FUNCTION identity.add_group_member(
    group_id uuid, person_id uuid, role text, call_id uuid, most_members int
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    -- One at a time, so that the bound holds.
    PERFORM FROM identity.groups g WHERE g.group_id = add_group_member.group_id
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM identity.lock_for_change(ARRAY[add_group_member.person_id]);

    INSERT INTO identity.group_members (group_id, person_id, role, joined_at, call_id)
    VALUES (
        add_group_member.group_id, add_group_member.person_id, add_group_member.role,
        clock_timestamp(), add_group_member.call_id
    )
    ON CONFLICT DO NOTHING;
    IF FOUND AND add_group_member.most_members < (
        SELECT count(*) FROM identity.group_members m
        WHERE m.group_id = add_group_member.group_id
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'ZI024', MESSAGE = 'group is full';
    END IF;
    UPDATE identity.group_members m
    SET role = add_group_member.role, changed_at = clock_timestamp()
    WHERE m.group_id = add_group_member.group_id
      AND m.person_id = ANY (identity.ids_of_person(add_group_member.person_id))
      AND m.role <> add_group_member.role;

    RETURN (
        SELECT jsonb_build_object(
            'member', to_jsonb(m), 'joined', r.call_id = add_group_member.call_id
        )
        FROM identity.identity_registry p
        JOIN identity.members m ON m.person_id = p.root_id
        JOIN identity.group_members r ON r.group_id = m.group_id AND r.person_id = m.row_id
        WHERE p.person_id = add_group_member.person_id
          AND m.group_id = add_group_member.group_id
    );
END $$;

-- How many ids of the person have left; null where there is no such group.
CREATE FUNCTION identity.remove_group_member(group_id uuid, person_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    removed bigint;
BEGIN
    PERFORM FROM identity.groups g WHERE g.group_id = remove_group_member.group_id
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM identity.lock_for_change(ARRAY[remove_group_member.person_id]);
    DELETE FROM identity.group_members m
    WHERE m.group_id = remove_group_member.group_id
      AND m.person_id = ANY (identity.ids_of_person(remove_group_member.person_id));
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN to_jsonb(removed);
END $$;

-- In order of joining; null where there is no such group.
CREATE FUNCTION identity.list_group_members(
    group_id uuid, after_joined_at timestamptz, after_row_id uuid, page_limit int
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT coalesce(
            (
                SELECT jsonb_agg(to_jsonb(m) ORDER BY m.joined_at, m.row_id)
                FROM (
                    SELECT * FROM identity.members m
                    WHERE m.group_id = list_group_members.group_id
                      AND (m.joined_at, m.row_id) > (
                          list_group_members.after_joined_at, list_group_members.after_row_id)
                    ORDER BY m.joined_at, m.row_id
                    LIMIT list_group_members.page_limit
                ) m
            ), '[]')
        FROM identity.groups g WHERE g.group_id = list_group_members.group_id
    );
END $$;

-- In order of creation; a person or a kind of NULL is any.
CREATE FUNCTION identity.list_groups(
    person_id uuid, kind text, after_created_at timestamptz, after_group_id uuid, page_limit int
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    people uuid[] := identity.ids_of_person(list_groups.person_id);
    page uuid[];
BEGIN
    -- One query for each index.
    IF list_groups.person_id IS NOT NULL THEN
        IF people IS NULL THEN
            RAISE EXCEPTION USING
                ERRCODE = 'ZI004', MESSAGE = 'person not found',
                DETAIL = jsonb_build_object('person_id', list_groups.person_id);
        END IF;
        page := ARRAY(
            SELECT g.group_id FROM identity.groups g
            WHERE g.group_id = ANY (ARRAY(
                    SELECT m.group_id FROM identity.group_members m
                    WHERE m.person_id = ANY (people)
                ))
              AND (list_groups.kind IS NULL OR g.kind = list_groups.kind)
              AND (g.created_at, g.group_id) > (
                  list_groups.after_created_at, list_groups.after_group_id)
            ORDER BY g.created_at, g.group_id
            LIMIT list_groups.page_limit
        );
    ELSIF list_groups.kind IS NOT NULL THEN
        page := ARRAY(
            SELECT g.group_id FROM identity.groups g
            WHERE g.kind = list_groups.kind
              AND (g.created_at, g.group_id) > (
                  list_groups.after_created_at, list_groups.after_group_id)
            ORDER BY g.created_at, g.group_id
            LIMIT list_groups.page_limit
        );
    ELSE
        page := ARRAY(
            SELECT g.group_id FROM identity.groups g
            WHERE (g.created_at, g.group_id) > (
                list_groups.after_created_at, list_groups.after_group_id)
            ORDER BY g.created_at, g.group_id
            LIMIT list_groups.page_limit
        );
    END IF;
    RETURN (
        SELECT coalesce(jsonb_agg(to_jsonb(g) ORDER BY g.created_at, g.group_id), '[]')
        FROM identity.counted_groups g WHERE g.group_id = ANY (page)
    );
END $$;
