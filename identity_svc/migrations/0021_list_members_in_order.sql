-- Who else a member is, is thought to leave one of a group: rather than a page in its order, the
-- planner would read the whole group beside everybody there is, and sort that.

ALTER FUNCTION identity.list_group_members SET enable_sort = off;
ALTER FUNCTION identity.list_group_members SET enable_incremental_sort = off;
