-- The catalog of Amazon Redshift over that of PostgreSQL. Run once in a database by a superuser.
-- Views are created with the search path of PostgreSQL itself, so that the names below that the
-- dialect shadows mean the real ones.
SET search_path = pg_catalog, public;

DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'redshift_user') THEN
        CREATE ROLE redshift_user LOGIN;
    END IF;
EXCEPTION
    -- Somebody else made it in the same moment, for another database of this cluster.
    WHEN duplicate_object OR unique_violation THEN NULL;
END $$;

CREATE SCHEMA rs;

CREATE FUNCTION rs.version() RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT 'PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017 '
        '(Red Hat 3.4.2-6.fc3), Redshift 1.0.77467'::text
$$;

CREATE DOMAIN rs.super AS text;

CREATE TABLE rs.late_binding_view (relation oid PRIMARY KEY);
CREATE TABLE rs.external_table (relation oid PRIMARY KEY);

CREATE FUNCTION rs.make_late_binding(schema_name text, view_name text) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO rs.late_binding_view VALUES (format('%I.%I', schema_name, view_name)::regclass)
$$;

CREATE FUNCTION rs.make_external(schema_name text, table_name text) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO rs.external_table VALUES (format('%I.%I', schema_name, table_name)::regclass)
$$;

CREATE VIEW rs.pg_namespace AS
SELECT oid, nspname, nspowner, nspacl
FROM pg_catalog.pg_namespace
WHERE nspname <> 'rs';

CREATE VIEW rs.pg_class AS
SELECT oid, relname, relnamespace, reltype, relowner, relam, relfilenode, reltablespace, relpages,
    reltuples, relhasindex, relisshared, relkind, relnatts, relchecks, relhasrules, relacl
FROM pg_catalog.pg_class
WHERE relnamespace <> 'rs'::regnamespace
    AND oid NOT IN (SELECT relation FROM rs.external_table);

CREATE VIEW rs.pg_attribute AS
SELECT attrelid, attname, atttypid, attlen, attnum, attndims, atttypmod, attbyval, attstorage,
    attalign, attnotnull, atthasdef, attisdropped, attislocal, attinhcount,
    false AS attisdistkey, 0 AS attsortkeyord, 0 AS attencodingtype
FROM pg_catalog.pg_attribute
WHERE attrelid NOT IN (SELECT relation FROM rs.late_binding_view)
    AND attrelid NOT IN (SELECT relation FROM rs.external_table);

-- Every column that somebody could read, whatever kind of relation it belongs to.
CREATE VIEW rs.readable_column AS
SELECT c.oid AS relation, c.relkind, n.nspname AS schema_name, c.relname AS relation_name,
    a.attname AS column_name, a.attnum AS position, a.attnotnull AS not_null,
    format_type(a.atttypid, a.atttypmod) AS data_type,
    CASE WHEN a.atttypid IN ('varchar'::regtype, 'bpchar'::regtype) AND a.atttypmod > 4
        THEN a.atttypmod - 4 END AS character_maximum_length,
    CASE WHEN a.atttypid = 'numeric'::regtype AND a.atttypmod > 4
        THEN (a.atttypmod - 4) >> 16 END AS numeric_precision,
    CASE WHEN a.atttypid = 'numeric'::regtype AND a.atttypmod > 4
        THEN (a.atttypmod - 4) & 65535 END AS numeric_scale,
    CASE
        WHEN c.oid IN (SELECT relation FROM rs.late_binding_view) THEN 'late binding view'
        WHEN c.oid IN (SELECT relation FROM rs.external_table) THEN 'external table'
        WHEN c.relkind = 'v' THEN 'view'
        ELSE 'table'
    END AS kind
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND a.attnum > 0 AND NOT a.attisdropped
    AND n.nspname NOT IN ('rs', 'information_schema') AND n.nspname NOT LIKE 'pg\_%';

-- Called with a column list: cols(view_schema name, view_name name, col_name name,
-- col_type varchar, col_num int).
CREATE FUNCTION rs.pg_get_late_binding_view_cols() RETURNS SETOF record
LANGUAGE sql STABLE AS $$
    SELECT schema_name, relation_name, column_name, data_type::varchar, position::int
    FROM rs.readable_column
    WHERE kind = 'late binding view'
    ORDER BY schema_name, relation_name, position
$$;

CREATE VIEW rs.svv_external_schemas AS
SELECT DISTINCT 0 AS esoid, 1 AS eskind, schema_name::text AS schemaname, 10 AS esowner,
    'external'::text AS databasename, '{}'::text AS esoptions
FROM rs.readable_column
WHERE kind = 'external table';

CREATE VIEW rs.svv_external_tables AS
SELECT DISTINCT current_database()::text AS redshift_database_name, schema_name::text AS schemaname,
    relation_name::text AS tablename, 's3://bucket/'::text AS location, ''::text AS input_format,
    ''::text AS output_format, ''::text AS serialization_lib, ''::text AS serde_parameters,
    0 AS compressed, ''::text AS parameters, 'TABLE'::text AS tabletype
FROM rs.readable_column
WHERE kind = 'external table';

-- External tables use the words of Hive.
CREATE VIEW rs.svv_external_columns AS
SELECT current_database()::text AS redshift_database_name, schema_name::text AS schemaname,
    relation_name::text AS tablename, column_name::text AS columnname,
    CASE
        WHEN data_type = 'integer' THEN 'int'
        WHEN data_type = 'double precision' THEN 'double'
        WHEN data_type = 'real' THEN 'float'
        WHEN data_type = 'text' THEN 'string'
        WHEN data_type = 'timestamp without time zone' THEN 'timestamp'
        WHEN data_type LIKE 'character varying(%' THEN replace(data_type, 'character varying', 'varchar')
        WHEN data_type LIKE 'numeric(%' THEN replace(data_type, 'numeric', 'decimal')
        ELSE data_type
    END AS external_type,
    position::int AS columnnum, 0 AS part_key,
    CASE WHEN not_null THEN 'false' ELSE 'true' END AS is_nullable
FROM rs.readable_column
WHERE kind = 'external table';

CREATE VIEW rs.svv_all_columns AS
SELECT current_database()::varchar(128) AS database_name, schema_name::varchar(128) AS schema_name,
    relation_name::varchar(128) AS table_name, column_name::varchar(128) AS column_name,
    position::int AS ordinal_position, NULL::varchar(4000) AS column_default,
    CASE WHEN not_null THEN 'NO' ELSE 'YES' END::varchar(3) AS is_nullable,
    data_type::varchar(128) AS data_type, character_maximum_length::int AS character_maximum_length,
    numeric_precision::int AS numeric_precision, numeric_scale::int AS numeric_scale,
    NULL::varchar(256) AS remarks
FROM rs.readable_column;

CREATE VIEW rs.svv_redshift_columns AS
SELECT current_database()::varchar(128) AS database_name, schema_name::varchar(128) AS schema_name,
    relation_name::varchar(128) AS table_name, column_name::varchar(128) AS column_name,
    position::int AS ordinal_position, data_type::varchar(128) AS data_type,
    NULL::varchar(4000) AS column_default,
    CASE WHEN not_null THEN 'NO' ELSE 'YES' END::varchar(3) AS is_nullable,
    'none'::varchar(128) AS encoding, false AS distkey, 0 AS sortkey,
    NULL::varchar(128) AS column_acl, NULL::varchar(256) AS remarks
FROM rs.readable_column
WHERE kind IN ('table', 'view');

CREATE VIEW rs.svv_tables AS
SELECT DISTINCT current_database()::text AS table_catalog, schema_name::text AS table_schema,
    relation_name::text AS table_name,
    CASE kind WHEN 'table' THEN 'BASE TABLE' WHEN 'external table' THEN 'EXTERNAL TABLE'
        ELSE 'VIEW' END::text AS table_type,
    NULL::text AS remarks
FROM rs.readable_column
WHERE kind <> 'late binding view';

CREATE VIEW rs.svv_columns AS
SELECT current_database()::text AS table_catalog, schema_name::text AS table_schema,
    relation_name::text AS table_name, column_name::text AS column_name,
    position::int AS ordinal_position, NULL::text AS column_default,
    CASE WHEN not_null THEN 'NO' ELSE 'YES' END AS is_nullable, data_type::text AS data_type,
    character_maximum_length::int AS character_maximum_length,
    numeric_precision::int AS numeric_precision, numeric_scale::int AS numeric_scale,
    NULL::text AS remarks
FROM rs.readable_column
WHERE kind <> 'late binding view';

GRANT USAGE ON SCHEMA rs TO redshift_user;
GRANT SELECT ON ALL TABLES IN SCHEMA rs TO redshift_user;

-- Before PostgreSQL 14 there is no such role, and the tables of now are all that can be opened.
DO $$
DECLARE
    namespace text;
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'pg_read_all_data') THEN
        GRANT pg_read_all_data TO redshift_user;
        RETURN;
    END IF;
    FOR namespace IN SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO redshift_user', namespace);
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO redshift_user', namespace);
    END LOOP;
END $$;

RESET search_path;
