//! The questions mail asks of DNS, and an in-memory zone. No IO.
