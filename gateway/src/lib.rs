//! orderflow-gateway
