//! orderflow-mongod
