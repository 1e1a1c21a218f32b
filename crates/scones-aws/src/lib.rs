//! AWS's wire protocols at the edge.

pub mod sigv4;
