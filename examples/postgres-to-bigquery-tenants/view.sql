-- What a dashboard reads: of each message the newest version, and times in the organization's own zone.
-- One view for each tenant; ORG is its data set and ZONE its time zone:
--   sed 's/ORG/org_1/g; s|ZONE|Asia/Kolkata|' view.sql | bq query --use_legacy_sql=false
-- A filter on inserted_at reads the months that it names, no more: the key and the time by which
-- versions are told apart do not change with the month, so BigQuery may filter first.
CREATE OR REPLACE VIEW `ORG.messages_now` AS
SELECT
  * EXCEPT (_sdc_batched_at, _sdc_row_id),
  DATETIME(inserted_at, 'ZONE') AS inserted_local
FROM `ORG.messages`
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY inserted_at, id
  ORDER BY updated_at DESC, _sdc_row_id DESC
) = 1
