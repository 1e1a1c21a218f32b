//! Step Functions: durable executions of state machines.
