"""What must hold of people, links and merges at any time, asked of the tables themselves."""

from typing import Any

# Each finds what breaks a rule.
_RULES = {
    "a root that is not where the chain of aliases ends": """
        WITH RECURSIVE climb AS (
            SELECT person_id, person_id AS at, merged_into, 0 AS steps
            FROM identity.identity_registry
            UNION ALL
            SELECT c.person_id, p.person_id, p.merged_into, c.steps + 1
            FROM climb c JOIN identity.identity_registry p ON p.person_id = c.merged_into
            WHERE c.steps < 2000
        )
        SELECT p.person_id FROM identity.identity_registry p
        WHERE NOT EXISTS (
            SELECT FROM climb c WHERE c.person_id = p.person_id
              AND c.merged_into IS NULL AND c.at = p.root_id)""",
    "an alias without the one merge that made it, or a merge without its alias": """
        SELECT coalesce(p.person_id, m.source_person_id)
        FROM (SELECT * FROM identity.identity_registry WHERE merged_into IS NOT NULL) p
        FULL JOIN (SELECT * FROM identity.merges WHERE unmerged_at IS NULL) m
          ON m.source_person_id = p.person_id AND m.target_person_id = p.merged_into
        WHERE p.person_id IS NULL OR m.merge_id IS NULL""",
    "an account with two open links": """
        SELECT platform_id FROM identity.identity_links WHERE ended_at IS NULL
        GROUP BY platform, platform_id HAVING count(*) > 1""",
    "people who are one and are not answered the same": """
        SELECT root_id FROM identity.identity_registry
        GROUP BY root_id HAVING count(DISTINCT (consent_merged, consent_version)) > 1""",
    "consent that is not the strictest": """
        SELECT root_id FROM identity.identity_registry GROUP BY root_id
        HAVING identity.strictest(array_agg(consent_status))
               IS DISTINCT FROM (array_agg(consent_merged))[1]""",
    "a decision whose last record says something else": """
        SELECT p.person_id FROM identity.identity_registry p
        CROSS JOIN jsonb_each_text(p.consent_status) c
        WHERE c.value IS DISTINCT FROM (
            SELECT h.state FROM identity.consent_history h
            WHERE h.person_id = p.person_id AND h.purpose = c.key
            ORDER BY h.version DESC LIMIT 1)""",
    "a person with too many subjects": """
        SELECT root_id FROM identity.identity_registry
        GROUP BY root_id HAVING identity.count_subjects(ARRAY[root_id]) > 1000""",
}


async def assert_sound(admin: Any) -> None:
    """Every rule holds; `admin` is an administrator's connection."""
    broken = {rule: await admin.fetch(query) for rule, query in _RULES.items()}
    assert {rule: found for rule, found in broken.items() if found} == {}
