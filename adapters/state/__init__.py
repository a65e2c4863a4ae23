"""Redis, or an embedded Valkey: sessions, limits, breakers, events, jobs."""
