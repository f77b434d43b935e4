-- Whether comparing one by one is quick enough is asked of the planner, since counting takes as long as comparing.

-- How many rows the planner expects. VOLATILE, or Postgres would not explain.
CREATE FUNCTION knowledge.estimated_vectors(source text, chosen knowledge.item_filter)
RETURNS float8 LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json) SELECT FROM ' || source INTO plan USING estimated_vectors.chosen;
    RETURN (plan #>> '{0,Plan,Plan Rows}')::float8;
END $$;
