"""How requests reach Coupa: one budget, one connection pool, one clock."""
