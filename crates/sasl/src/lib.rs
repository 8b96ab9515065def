//! SASL mechanisms as step machines, both sides.
