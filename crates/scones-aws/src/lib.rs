//! AWS wire protocols: signatures, routing, error shapes.
