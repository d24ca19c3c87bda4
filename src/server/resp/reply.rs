//! Writes answers in RESP2 or RESP3.
//!
//! Not for: what is answered (`commands`).

use crate::server::refusal::{Reason, Refusal};

/// The end of the buffer of answers, in the protocol of one connection.
pub struct Reply<'b> {
    out: &'b mut Vec<u8>,
    is_resp3: bool,
}

impl<'b> Reply<'b> {
    /// Adds to a buffer.
    pub fn new(out: &'b mut Vec<u8>, is_resp3: bool) -> Self {
        Self { out, is_resp3 }
    }

    /// Answers in another protocol from now on.
    pub fn speak(&mut self, is_resp3: bool) {
        self.is_resp3 = is_resp3;
    }

    /// Bytes in the buffer.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// A status.
    pub fn status(&mut self, text: &str) {
        self.out.push(b'+');
        self.out.extend_from_slice(text.as_bytes());
        self.line_end();
    }

    /// A string of any bytes.
    pub fn string(&mut self, bytes: &[u8]) {
        self.header(b'$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.line_end();
    }

    /// Nothing.
    pub fn null(&mut self) {
        self.out.extend_from_slice(if self.is_resp3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// A number.
    pub fn number(&mut self, number: usize) {
        self.header(b':', number);
    }

    /// A number below zero, too.
    pub fn signed(&mut self, number: i64) {
        self.out.push(b':');
        self.out.extend_from_slice(number.to_string().as_bytes());
        self.line_end();
    }

    /// The header of an array: this many elements follow.
    pub fn array(&mut self, elements: usize) {
        self.header(b'*', elements);
    }

    /// The header of a map: this many pairs follow. RESP2 has an array of keys and values.
    pub fn map(&mut self, pairs: usize) {
        if self.is_resp3 { self.header(b'%', pairs) } else { self.header(b'*', pairs * 2) }
    }

    /// An error: its code and a sentence.
    pub fn error(&mut self, code: &str, message: &str) {
        self.out.push(b'-');
        self.out.extend_from_slice(code.as_bytes());
        self.out.push(b' ');
        let byte = |byte: u8| if byte.is_ascii_control() { b' ' } else { byte };
        self.out.extend(message.bytes().map(byte));
        self.line_end();
    }

    /// A refusal.
    pub fn refusal(&mut self, refusal: &Refusal) {
        let code = match refusal.reason {
            Reason::Later => "LOADING",
            Reason::WrongType => "WRONGTYPE",
            _ => "ERR",
        };
        self.error(code, &refusal.message);
    }

    fn header(&mut self, kind: u8, mut number: usize) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.out.push(kind);
        self.out.extend_from_slice(&digits[at..]);
        self.line_end();
    }

    fn line_end(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(is_resp3: bool, write: impl FnOnce(&mut Reply<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Reply::new(&mut out, is_resp3));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn both_protocols_have_their_own_null_and_map() {
        let write = |reply: &mut Reply<'_>| {
            reply.map(1);
            reply.string(b"a\r\n");
            reply.null();
        };
        assert_eq!(written(false, write), "*2\r\n$3\r\na\r\n\r\n$-1\r\n");
        assert_eq!(written(true, write), "%1\r\n$3\r\na\r\n\r\n_\r\n");
    }

    #[test]
    fn an_error_is_one_line() {
        assert_eq!(written(false, |reply| reply.error("ERR", "a\r\nb")), "-ERR a  b\r\n");
        assert_eq!(written(false, |reply| reply.number(1_234_567_890)), ":1234567890\r\n");
        assert_eq!(written(false, |reply| reply.array(0)), "*0\r\n");
    }
}
