"""One file per call; each handler has the phases FETCH, CHECK, RESERVE, COMMIT in this order."""
