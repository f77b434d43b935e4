"""What keeping documents does to their pieces, in SQL, for tests without it."""

# Pieces of a document, by id and content.
PIECES = """
    WITH item AS (
        INSERT INTO knowledge.knowledge_items (
            knowledge_id, revision, occurred_at, owner, term_total, namespace, content_hash,
            body_hash, terms, term_counts, metadata, content, document_id, chunk_number)
        SELECT p.id, nextval('knowledge.revisions'), now(), $1, 0, 'handbooks', sha256(''),
               sha256(''), '{}', '{}', '{}', p.content, $1, p.place - 1
        FROM unnest($2::uuid[], $3::text[]) WITH ORDINALITY p (id, content, place)
        RETURNING knowledge_id, revision)
    INSERT INTO knowledge.index_states (knowledge_id, revision)
    SELECT knowledge_id, revision FROM item
"""

# The deletion of a document's pieces, which the queue finishes. What an indexer is at it keeps: it
# finds out when marking.
WITHDRAWAL = """
    WITH piece AS MATERIALIZED (
        SELECT knowledge_id FROM knowledge.knowledge_items
        WHERE document_id = $1 AND deleted_at IS NULL ORDER BY knowledge_id FOR UPDATE
    ), hidden AS (
        UPDATE knowledge.knowledge_items i SET deleted_at = now()
        FROM piece p WHERE i.knowledge_id = p.knowledge_id
    ), noted AS (
        INSERT INTO knowledge.deleted_ids (knowledge_id, request_id)
        SELECT knowledge_id, gen_random_uuid() FROM piece
    ), held AS MATERIALIZED (
        SELECT s.knowledge_id, s.state = 'pending' AND s.lease_owner IS NOT NULL
               AND s.next_attempt_at > now() AS by_indexer
        FROM knowledge.index_states s JOIN piece p USING (knowledge_id)
        ORDER BY s.knowledge_id FOR UPDATE OF s
    )
    UPDATE knowledge.index_states s
    SET state = 'deleting', pending_since = now(),
        lease_owner = CASE WHEN h.by_indexer THEN s.lease_owner END,
        next_attempt_at = CASE WHEN h.by_indexer THEN s.next_attempt_at ELSE now() END
    FROM held h WHERE s.knowledge_id = h.knowledge_id
"""
