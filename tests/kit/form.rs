//! Multipart forms, whole or in part: the only place that knows how one is written.

const BOUNDARY: &str = "darkroom-test-boundary";

/// The content type of every form.
pub const CONTENT_TYPE: &str = "multipart/form-data; boundary=darkroom-test-boundary";

/// A multipart form, as far as it is written.
#[derive(Default, Clone)]
pub struct Form(Vec<u8>);

impl Form {
    #[must_use]
    pub fn file(mut self, name: &str, bytes: &[u8]) -> Self {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"images\"; filename=\"{name}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
        );
        self.0.extend_from_slice(head.as_bytes());
        self.0.extend_from_slice(bytes);
        self.0.extend_from_slice(b"\r\n");
        self
    }

    #[must_use]
    pub fn text(mut self, name: &str, value: &str) -> Self {
        let part = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        self.0.extend_from_slice(part.as_bytes());
        self
    }

    /// The body, whole.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        self.0
    }
}
