//! orderflow-catalog
