//! A `multipart/form-data` body, built in the buffer into which the file is encoded: no copy of it.
//!
//! Each form has a boundary of its own, 128 bits that nobody can guess, so that no content holds it by
//! chance or on purpose, and none has to be searched for it.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;

/// A body in the making.
pub struct Form {
    boundary: String,
    body: Vec<u8>,
}

impl Form {
    /// Its content type, with the boundary in it: to be sent with this body and no other.
    pub fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    /// Adds a field of text.
    pub fn field(&mut self, name: &str, value: &str) {
        self.begin(name);
        self.body.extend_from_slice(b"\r\n\r\n");
        self.body.extend_from_slice(value.as_bytes());
    }

    /// Begins the file, which is then appended to the buffer that this returns.
    pub fn file(&mut self, name: &str, file_name: &str, content_type: &str) -> &mut Vec<u8> {
        self.begin(name);
        self.body.extend_from_slice(b"; filename=");
        push_name(&mut self.body, file_name);
        self.body.extend_from_slice(b"\r\nContent-Type: ");
        self.body.extend_from_slice(content_type.as_bytes());
        self.body.extend_from_slice(b"\r\n\r\n");
        &mut self.body
    }

    /// Ends the body, which goes with what [`Form::content_type`] said.
    pub fn finish(mut self) -> Bytes {
        self.body.extend_from_slice(&self.tail());
        self.body.into()
    }

    /// Ends a body whose file has been begun and is not in it: what is to be sent before the file's bytes,
    /// and what after them.
    pub fn around(self) -> (Vec<u8>, Vec<u8>) {
        let tail = self.tail();
        (self.body, tail)
    }

    /// Begins a part, up to its name.
    fn begin(&mut self, name: &str) {
        if !self.body.is_empty() {
            self.body.extend_from_slice(b"\r\n");
        }
        self.body.extend_from_slice(b"--");
        self.body.extend_from_slice(self.boundary.as_bytes());
        self.body
            .extend_from_slice(b"\r\nContent-Disposition: form-data; name=");
        push_name(&mut self.body, name);
    }

    fn tail(&self) -> Vec<u8> {
        format!("\r\n--{}--\r\n", self.boundary).into_bytes()
    }
}

impl Default for Form {
    /// An empty form with a new boundary.
    fn default() -> Self {
        // The keys of these hashers come from the system's randomness and are told to nobody.
        let half = || RandomState::new().hash_one(0_u8);
        Self {
            boundary: format!("antiphon-{:016x}{:016x}", half(), half()),
            body: Vec::new(),
        }
    }
}

impl fmt::Debug for Form {
    /// Without the body, which holds rows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Form")
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Appends a name in quotes, escaped as browsers do it, so that it cannot end its quotes or its line.
fn push_name(body: &mut Vec<u8>, name: &str) {
    body.push(b'"');
    for byte in name.bytes() {
        match byte {
            b'"' => body.extend_from_slice(b"%22"),
            b'\r' => body.extend_from_slice(b"%0D"),
            b'\n' => body.extend_from_slice(b"%0A"),
            other => body.push(other),
        }
    }
    body.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boundary(form: &Form) -> String {
        let content_type = form.content_type();
        content_type
            .strip_prefix("multipart/form-data; boundary=")
            .unwrap()
            .to_owned()
    }

    #[test]
    fn parts_stand_between_boundaries() {
        let mut form = Form::default();
        form.field("CONFIG", "{}");
        form.file("FILE", "rows.csv", "text/csv")
            .extend_from_slice(b"\"a\"\n1\n");
        let boundary = boundary(&form);
        let expected = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"CONFIG\"\r\n\r\n{{}}\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"FILE\"; filename=\"rows.csv\"\r\n\
             Content-Type: text/csv\r\n\r\n\"a\"\n1\n\r\n--{boundary}--\r\n"
        );
        assert_eq!(form.finish(), expected);
    }

    #[test]
    fn a_file_may_stay_outside() {
        let mut form = Form::default();
        form.file("FILE", "rows.csv", "text/csv");
        let boundary = boundary(&form);
        let (head, tail) = form.around();
        assert!(head.ends_with(b"Content-Type: text/csv\r\n\r\n"));
        assert_eq!(tail, format!("\r\n--{boundary}--\r\n").into_bytes());
    }

    #[test]
    fn the_file_is_not_copied() {
        let mut form = Form::default();
        let body = form.file("FILE", "rows.csv", "text/csv");
        body.reserve(1 << 20);
        body.resize(1 << 20, b'x');
        let before = body.as_ptr();
        assert_eq!(form.finish().as_ptr(), before);
    }

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        let mut form = Form::default();
        form.field("a\"\r\nX: y", "v");
        let body = form.finish();
        assert!(memchr::memmem::find(&body, b"name=\"a%22%0D%0AX: y\"\r\n\r\nv").is_some());
    }

    #[test]
    fn every_form_has_its_own_boundary() {
        assert_ne!(boundary(&Form::default()), boundary(&Form::default()));
        assert!(boundary(&Form::default()).len() <= 70);
    }
}
