# Leads
.email |=
  lower
