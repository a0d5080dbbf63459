//! Compiles the contract: Rust code and one descriptor set, without `protoc`.

use std::{env, error::Error, fs, path::Path};

use prost_types::FileDescriptorSet;
use tonic_prost_build::configure;

const FILES: [&str; 9] = [
    "orderflow/options/v1/options.proto",
    "orderflow/money/v1/money.proto",
    "orderflow/user/v1/user.proto",
    "orderflow/user/v1/user_service.proto",
    "orderflow/user/v1/identity_service.proto",
    "orderflow/catalog/v1/catalog_service.proto",
    "orderflow/catalog/v1/inventory_service.proto",
    "orderflow/order/v1/order.proto",
    "orderflow/order/v1/order_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut compiler = protox::Compiler::new(["."])?;
    // Comments are the API's documentation, and protox drops them unless asked.
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_files(FILES)?;

    // protox encodes the set itself: through prost's types every custom option would be lost.
    let out = env::var("OUT_DIR")?;
    fs::write(
        Path::new(&out).join("descriptor_set.bin"),
        compiler.encode_file_descriptor_set(),
    )?;

    let set: FileDescriptorSet = compiler.file_descriptor_set();
    configure().compile_fds(set)?;
    println!("cargo:rerun-if-changed=orderflow");
    println!("cargo:rerun-if-changed=google");
    Ok(())
}
