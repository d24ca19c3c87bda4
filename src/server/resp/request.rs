//! Reads requests of the Redis protocol from a buffer that grows while bytes arrive.
//!
//! ```text
//! *2\r\n$3\r\nGET\r\n$10\r\nviews:home\r\n      an array of strings
//! GET views:home\r\n                           one line of words, as typed into a terminal
//! ```
//! No byte is looked at again when more arrive, nothing is copied, and every length is compared with a limit before it
//! is believed.
//!
//! Clients send nothing else, so this is all of the protocol that a server reads; the tests decode its answers with the
//! crate `redis-protocol`.
//!
//! Not for: what a request means (`commands`).

use std::ops::Range;

/// The longest line that announces a length: a sign, 19 digits and the line end.
const LONGEST_HEADER: usize = 24;
/// The longest request of one line.
const LONGEST_LINE: usize = 64 << 10;

/// Limits on one request.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// Strings of a request.
    pub arguments: usize,
    /// Bytes of a string.
    pub argument_bytes: usize,
}

/// The bytes are no request; the connection cannot be used any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

/// The request that is being read, as places in the buffer.
#[derive(Debug, Default)]
pub struct Request {
    /// Where it begins.
    begin: usize,
    /// The first byte that was not read yet.
    at: usize,
    /// Bytes from there on that have no line end: a request of one line that is not complete.
    searched: usize,
    /// Strings that are still to come; none before their number is known.
    left: Option<usize>,
    arguments: Vec<Range<usize>>,
}

impl Request {
    /// Reads on, and returns whether the request is complete. A complete one stays until [`Request::next`].
    ///
    /// # Errors
    /// [`Malformed`] with what is wrong.
    pub fn read(&mut self, buffer: &[u8], limits: &RequestLimits) -> Result<bool, Malformed> {
        loop {
            let Some(left) = self.left else {
                match buffer.get(self.at) {
                    None => return Ok(false),
                    Some(b'*') => {
                        let Some(count) = self.header(buffer, "number of strings")? else { return Ok(false) };
                        let count = usize::try_from(count).unwrap_or(0);
                        if count > limits.arguments {
                            return Err(Malformed(format!("a request can have {} strings", limits.arguments)));
                        }
                        self.left = (count > 0).then_some(count);
                        self.begin = if count > 0 { self.begin } else { self.at };
                    }
                    Some(_) => match self.line(buffer, limits)? {
                        Some(true) => return Ok(true),
                        Some(false) => {}
                        None => return Ok(false),
                    },
                }
                continue;
            };
            if left == 0 {
                return Ok(true);
            }
            if !self.string(buffer, limits)? {
                return Ok(false);
            }
            self.left = Some(left - 1);
        }
    }

    /// The strings of a complete request.
    pub fn arguments<'b>(&self, buffer: &'b [u8]) -> impl ExactSizeIterator<Item = &'b [u8]> + Clone + use<'b, '_> {
        self.arguments.iter().map(|range| buffer.get(range.clone()).unwrap_or_default())
    }

    /// Bytes that this holds besides the buffer.
    pub fn bytes(&self) -> usize {
        self.arguments.capacity() * size_of::<Range<usize>>()
    }

    /// Begins with the next request.
    pub fn next(&mut self) {
        (self.begin, self.left) = (self.at, None);
        self.arguments.clear();
    }

    /// Bytes of the buffer before the request that is being read. After this the caller removes them.
    pub fn forget(&mut self) -> usize {
        let done = std::mem::take(&mut self.begin);
        self.at -= done;
        for range in &mut self.arguments {
            *range = range.start - done..range.end - done;
        }
        done
    }

    /// A length after a type byte. None when its line is not complete.
    fn header(&mut self, buffer: &[u8], what: &str) -> Result<Option<i64>, Malformed> {
        let line = &buffer[self.at + 1..];
        let wrong = || Malformed(format!("invalid {what}"));
        let Some(end) = line.iter().take(LONGEST_HEADER).position(|byte| *byte == b'\n') else {
            return if line.len() < LONGEST_HEADER { Ok(None) } else { Err(wrong()) };
        };
        let digits = line[..end].strip_suffix(b"\r").ok_or_else(wrong)?;
        let length = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or_else(wrong)?;
        self.at += end + 2;
        Ok(Some(length))
    }

    /// The next string. False when it is not complete: nothing of it is read then.
    fn string(&mut self, buffer: &[u8], limits: &RequestLimits) -> Result<bool, Malformed> {
        let before = self.at;
        match buffer.get(self.at) {
            None => return Ok(false),
            Some(b'$') => {}
            Some(other) => return Err(Malformed(format!("expected '$', got '{}'", other.escape_ascii()))),
        }
        let Some(length) = self.header(buffer, "length of a string")? else { return Ok(false) };
        let length = usize::try_from(length).map_err(|_| Malformed("invalid length of a string".to_owned()))?;
        if length > limits.argument_bytes {
            return Err(Malformed(format!("a string can have {} bytes", limits.argument_bytes)));
        }
        let end = self.at + length;
        let Some(line_end) = buffer.get(end..end + 2) else {
            self.at = before;
            return Ok(false);
        };
        if line_end != b"\r\n" {
            return Err(Malformed("a string does not end where its length says".to_owned()));
        }
        self.arguments.push(self.at..end);
        self.at = end + 2;
        Ok(true)
    }

    /// A request of one line. False for an empty line, none when it is not complete.
    fn line(&mut self, buffer: &[u8], limits: &RequestLimits) -> Result<Option<bool>, Malformed> {
        let line = &buffer[self.at..];
        let rest = line.get(self.searched..).unwrap_or_default();
        let Some(end) = rest.iter().position(|byte| *byte == b'\n').map(|end| self.searched + end) else {
            self.searched = line.len();
            return if line.len() < LONGEST_LINE { Ok(None) } else { Err(Malformed("too long a line".to_owned())) };
        };
        self.searched = 0;
        if end > LONGEST_LINE {
            return Err(Malformed("too long a line".to_owned()));
        }
        let mut at = self.at;
        for word in line[..end].split(|byte| byte.is_ascii_whitespace()) {
            if !word.is_empty() {
                self.arguments.push(at..at + word.len());
            }
            at += word.len() + 1;
        }
        self.at += end + 1;
        if self.arguments.len() > limits.arguments {
            return Err(Malformed(format!("a request can have {} strings", limits.arguments)));
        }
        if self.arguments.is_empty() {
            self.begin = self.at;
            return Ok(Some(false));
        }
        self.left = Some(0);
        Ok(Some(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RequestLimits = RequestLimits { arguments: 4, argument_bytes: 100 };

    /// All requests of the bytes, which arrive in pieces.
    fn read(bytes: &[u8], piece: usize) -> Result<Vec<Vec<Vec<u8>>>, Malformed> {
        let (mut request, mut buffer, mut found) = (Request::default(), Vec::new(), Vec::new());
        for piece in bytes.chunks(piece) {
            buffer.extend_from_slice(piece);
            while request.read(&buffer, &LIMITS)? {
                found.push(request.arguments(&buffer).map(<[u8]>::to_vec).collect());
                request.next();
            }
            let done = request.forget();
            buffer.drain(..done);
        }
        assert!(request.begin == 0 && request.at <= buffer.len());
        Ok(found)
    }

    #[test]
    fn requests_are_parsed_alike_in_pieces_of_any_size() {
        let bytes = b"*2\r\n$3\r\nGET\r\n$5\r\na\r\nbc\r\n\r\n*0\r\nPING  x\n*-1\r\n*1\r\n$0\r\n\r\n*3\r\n$1\r\n";
        let whole = read(bytes, bytes.len()).unwrap();
        assert_eq!(
            whole,
            [vec![b"GET".to_vec(), b"a\r\nbc".to_vec()], vec![b"PING".to_vec(), b"x".to_vec()], vec![vec![]]]
        );
        for piece in 1..bytes.len() {
            assert_eq!(read(bytes, piece).unwrap(), whole, "pieces of {piece}");
        }
    }

    #[test]
    fn claimed_lengths_are_not_trusted() {
        let long = [b'1'; 100];
        for wrong in [
            &b"*5\r\n"[..],
            b"*99999999999999999999999\r\n",
            b"*1\r\n$101\r\n",
            b"*1\r\n$999999999\r\n",
            b"*1\r\n$-1\r\n",
            b"*1\r\n:1\r\n",
            b"*1\r\n$1\r\nabc",
            b"*1\n",
            b"*x\r\n",
            b"a b c d e\r\n",
            &[b"*", &long[..]].concat(),
            &[b'a'; LONGEST_LINE],
        ] {
            assert!(read(wrong, 7).is_err(), "{}", wrong.escape_ascii());
        }
        assert_eq!(read(b"*1\r\n$100\r\nabc", 3), Ok(vec![]));
    }
}
