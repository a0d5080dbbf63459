//! orderflow-user
