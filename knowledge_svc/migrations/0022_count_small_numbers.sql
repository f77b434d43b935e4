-- What is not larger than it may be can always be changed: the size of metadata is counted as
-- clients write it, who have an exponent where jsonb writes out every zero of a small number.

-- The bytes of a value as JSON without spaces between its parts, as clients count it.
CREATE OR REPLACE FUNCTION knowledge.compact_bytes(value jsonb) RETURNS int
LANGUAGE sql IMMUTABLE SET search_path = '' AS $$
    SELECT octet_length(value::text) - regexp_count(bare, ' ') - (
        -- Below 1e-5 clients write an exponent, and jsonb every zero; `float8` writes one with
        -- two digits at least.
        SELECT coalesce(sum(octet_length(n.number[1]) - octet_length(
            regexp_replace(n.number[1]::float8::text, 'e-0', 'e-')
        )), 0)::int
        FROM regexp_matches(bare, '(?<![0-9])0\.00000[0-9]+', 'g') AS n (number)
    )
    FROM regexp_replace(value::text, '"(\\.|[^"\\])*"', '', 'g') AS bare
$$;
