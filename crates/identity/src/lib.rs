//! orderflow-identity
