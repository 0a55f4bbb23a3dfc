-- By hand: the field rejectUnauthorized of a profile became insecureSkipVerify, with the opposite meaning. Configurations
-- are stored as JSON.stringify writes them, so these texts can only be that field.
UPDATE "ConnectionProfile" SET "config" = replace(replace("config",
  '"rejectUnauthorized":false', '"insecureSkipVerify":true'),
  '"rejectUnauthorized":true', '"insecureSkipVerify":false')
WHERE "connector" = 'mqtt';

UPDATE "SourceSession" SET "profile" = replace(replace("profile",
  '"rejectUnauthorized":false', '"insecureSkipVerify":true'),
  '"rejectUnauthorized":true', '"insecureSkipVerify":false')
WHERE "connector" = 'mqtt';

-- The option in queries, in the ways that it is usually written.
UPDATE "Pipeline" SET "query" = replace(replace(replace(replace(replace(replace("query",
  'reject_unauthorized = ''false''', 'insecure_skip_verify = ''true'''),
  'reject_unauthorized = ''true''', 'insecure_skip_verify = ''false'''),
  'reject_unauthorized = false', 'insecure_skip_verify = true'),
  'reject_unauthorized = true', 'insecure_skip_verify = false'),
  'reject_unauthorized=''false''', 'insecure_skip_verify=''true'''),
  'reject_unauthorized=''true''', 'insecure_skip_verify=''false''');
