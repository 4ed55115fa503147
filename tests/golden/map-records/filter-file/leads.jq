# Leads without test records
select(.test | not)
