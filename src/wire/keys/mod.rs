//! Typed storage keys, one file per key family. Nothing else builds or takes apart key bytes.

pub mod digest;
pub mod idempotency;
pub mod ledger;
pub mod log;
pub mod meta;
pub mod names;
pub mod raft;
pub mod row;
pub mod staging;

use crate::wire::codec::DecodeError;

/// The first key after all that start with `prefix`; empty when there is none (all bytes are 0xff).
#[must_use]
pub fn end_of_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// Takes keys apart from the front.
struct KeyReader<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> KeyReader<'a> {
    fn new(what: &'static str, rest: &'a [u8]) -> Self {
        Self { what, rest }
    }

    fn error(&self, detail: &str) -> DecodeError {
        DecodeError::new(self.what, detail)
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| self.error("it is too short"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.bytes(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        let bytes = self.bytes(2)?;
        Ok(u16::from_be_bytes(
            bytes.try_into().expect("two bytes were taken"),
        ))
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        let bytes = self.bytes(8)?;
        Ok(u64::from_be_bytes(
            bytes.try_into().expect("eight bytes were taken"),
        ))
    }

    fn text(&mut self, count: usize) -> Result<&'a str, DecodeError> {
        let bytes = self.bytes(count)?;
        std::str::from_utf8(bytes).map_err(|_| self.error("it is not UTF-8"))
    }

    fn namespace(&mut self) -> Result<crate::model::ids::Namespace, DecodeError> {
        let len = usize::from(self.u8()?);
        let text = self.text(len)?;
        let system = crate::model::ids::Namespace::system();
        if text == system.as_str() {
            return Ok(system);
        }
        text.parse()
            .map_err(|error: crate::model::ids::NameError| self.error(&error.to_string()))
    }

    fn record_type(&mut self) -> Result<crate::model::record::RecordType, DecodeError> {
        let tag = self.u8()?;
        crate::model::record::RecordType::from_tag(tag).ok_or_else(|| self.error("its type tag is unknown"))
    }

    fn end(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.error("it is too long"))
        }
    }
}

fn push_namespace(bytes: &mut Vec<u8>, namespace: &crate::model::ids::Namespace) {
    let text = namespace.as_str().as_bytes();
    bytes.push(u8::try_from(text.len()).expect("namespaces have at most 63 bytes"));
    bytes.extend_from_slice(text);
}

#[cfg(test)]
mod fuzz_test;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_right_after_it() {
        assert_eq!(end_of_prefix(b"ab"), b"ac");
        assert_eq!(end_of_prefix(&[1, 255, 255]), [2]);
        assert!(end_of_prefix(&[255]).is_empty());
    }
}
