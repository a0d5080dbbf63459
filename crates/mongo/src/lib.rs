//! orderflow-mongo
