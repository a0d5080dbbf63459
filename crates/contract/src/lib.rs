//! orderflow-contract
