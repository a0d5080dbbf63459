//! orderflow-order
