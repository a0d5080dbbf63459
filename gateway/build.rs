//! Takes Swagger UI out of the archive in which its crate carries it.

use std::{
    env,
    error::Error,
    fs::File,
    io::{Cursor, Write, copy},
    path::Path,
};

use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED as ARCHIVE;
use zip::{CompressionMethod, ZipArchive};

fn main() -> Result<(), Box<dyn Error>> {
    let out = env::var("OUT_DIR")?;
    let mut archive = ZipArchive::new(Cursor::new(ARCHIVE))?;
    for name in ["swagger-ui.css", "swagger-ui-bundle.js"] {
        let ending = format!("/dist/{name}");
        let index = archive
            .file_names()
            .position(|path| path.is_ok_and(|path| path.ends_with(&ending)))
            .ok_or("the archive lacks a file")?;
        let mut entry = archive.by_index_raw(index)?;
        if entry.compression() != CompressionMethod::DEFLATE {
            return Err("the archive is not compressed as it was".into());
        }
        // A deflated file between gzip's header and trailer (RFC 1952) is a gzip file: nothing to unpack, and nothing to
        // pack for browsers.
        let mut gzip = File::create(Path::new(&out).join(format!("{name}.gz")))?;
        gzip.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])?;
        copy(&mut entry, &mut gzip)?;
        gzip.write_all(&entry.crc32().to_le_bytes())?;
        gzip.write_all(&u32::try_from(entry.size())?.to_le_bytes())?;
    }
    println!("cargo:rerun-if-changed=build.rs");
    Ok(())
}
