//! orderflow-cli
