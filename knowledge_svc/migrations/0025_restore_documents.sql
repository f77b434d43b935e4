-- An original that was lost can be put back.

-- The file of a document that had lost it is there again: it is read anew, as far as it is the latest
-- version. Answers it, also where somebody else was quicker; null where there is none. Whom it is
-- about is told, since an erasure may have taken the record.
CREATE FUNCTION knowledge.restore_document(document_id uuid, subject_id uuid, person_id uuid)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    stored knowledge.documents;
BEGIN
    SELECT d.* INTO stored FROM knowledge.documents d
    WHERE d.document_id = restore_document.document_id;
    PERFORM knowledge.refuse_erased(knowledge.hold_document(
        stored.document_id, stored.owner, stored.namespace, stored.document_key,
        restore_document.subject_id, restore_document.person_id));
    UPDATE knowledge.documents d
    SET state = 'succeeded', revision = nextval('knowledge.revisions'), changed_at = now(),
        failure_reason = NULL, failure_detail = NULL
    WHERE d.document_id = restore_document.document_id AND d.state = 'failed'
      AND d.failure_reason = 'FILE_LOST';
    IF FOUND THEN
        PERFORM knowledge.read_anew(ARRAY[restore_document.document_id]);
    END IF;
    RETURN knowledge.get_document(restore_document.document_id);
END $$;
