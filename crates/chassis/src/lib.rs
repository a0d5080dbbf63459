//! orderflow-chassis
