//! Reflection: what `grpcurl` and its like ask what is to be had here.

use std::sync::LazyLock;

use tonic_reflection::server::{
    Builder, Error,
    v1::{ServerReflection as V1, ServerReflectionServer as V1Server},
    v1alpha::{ServerReflection as V1Alpha, ServerReflectionServer as V1AlphaServer},
};

static CONTRACT: LazyLock<Vec<u8>> = LazyLock::new(orderflow_proto::public_descriptor_set);

/// Both versions of the protocol over the public part of the contract.
pub(crate) fn servers() -> Result<(V1Server<impl V1>, V1AlphaServer<impl V1Alpha>), Error> {
    let builder = || {
        Builder::configure()
            // Encoded, as it is: decoding would lose the custom options.
            .register_encoded_file_descriptor_set(&CONTRACT)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // Without these grpcurl shows the details of errors in base64.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    Ok((builder().build_v1()?, builder().build_v1alpha()?))
}
