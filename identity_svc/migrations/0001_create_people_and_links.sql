-- People, their links to platforms, and what they decided, reached only through functions.
-- The views below are what the functions answer; nobody may read them directly either.

CREATE TABLE identity.identity_registry (
    person_id       uuid PRIMARY KEY,
    created_at      timestamptz NOT NULL DEFAULT now(),
    last_seen_at    timestamptz,
    -- States by purpose. A purpose that is here was decided once, if only to be 'unset'.
    consent_status  jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(consent_status) = 'object'),
    consent_version bigint NOT NULL DEFAULT 0 CHECK (consent_version >= 0),
    metadata        jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    etag            uuid NOT NULL DEFAULT gen_random_uuid()
) WITH (fillfactor = 85);  -- room for last_seen_at to change in place

CREATE TABLE identity.identity_links (
    link_id              uuid PRIMARY KEY,
    person_id            uuid NOT NULL REFERENCES identity.identity_registry,
    -- Compared byte by byte: equal or not is all that matters, and locks want one order.
    platform             text COLLATE "C" NOT NULL CHECK (platform <> ''),
    platform_id          text COLLATE "C" NOT NULL CHECK (platform_id <> ''),
    original_platform_id text NOT NULL,
    verified             boolean NOT NULL DEFAULT false,
    created_at           timestamptz NOT NULL DEFAULT now(),
    ended_at             timestamptz,
    registration_pending boolean NOT NULL DEFAULT false
) WITH (fillfactor = 90);

-- A link is one tenure of one platform id: of those that lasts, there is one.
CREATE UNIQUE INDEX identity_links_open
    ON identity.identity_links (platform, platform_id) WHERE ended_at IS NULL;
CREATE INDEX identity_links_person
    ON identity.identity_links (person_id, created_at, link_id);
CREATE INDEX identity_links_pending
    ON identity.identity_links (created_at, link_id) WHERE registration_pending;

CREATE TABLE identity.consent_history (
    person_id  uuid NOT NULL REFERENCES identity.identity_registry,
    version    bigint NOT NULL,
    purpose    text COLLATE "C" NOT NULL,
    state      text NOT NULL CHECK (state IN ('unset', 'granted', 'denied')),
    source     text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (person_id, version, purpose)
);

ALTER TABLE identity.identity_registry ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.identity_links ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.consent_history ENABLE ROW LEVEL SECURITY;

CREATE VIEW identity.persons AS
SELECT
    p.person_id, p.created_at, p.last_seen_at, p.metadata, p.etag,
    jsonb_build_object('purposes', p.consent_status, 'version', p.consent_version) AS consent,
    ARRAY[p.person_id] || ARRAY(
        SELECT l.link_id FROM identity.identity_links l
        WHERE l.person_id = p.person_id ORDER BY l.created_at, l.link_id
    ) AS subject_ids
FROM identity.identity_registry p;

-- Whom links lead to.
CREATE VIEW identity.identities AS
SELECT
    l.link_id, l.person_id, l.platform, l.platform_id, l.ended_at,
    jsonb_build_object(
        'person_id', l.person_id,
        'link_id', l.link_id,
        'platform', l.platform,
        'platform_id', l.platform_id,
        'consent', jsonb_build_object('purposes', p.consent_status, 'version', p.consent_version),
        'registration_pending', l.registration_pending
    ) AS identity
FROM identity.identity_links l JOIN identity.identity_registry p USING (person_id);
