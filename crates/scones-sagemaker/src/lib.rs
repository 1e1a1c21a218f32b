//! Training jobs, models, endpoints and data capture.
