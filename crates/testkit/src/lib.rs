//! orderflow-testkit
