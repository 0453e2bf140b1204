//! The part of SPDY/3.1 that an exec needs (<https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/>).
//!
//! Why this old protocol: buildx uses it for its pods, so a proxy that breaks it is found here. And it starts with a POST,
//! which needs only the permission to *create* pods/exec. An exec over WebSocket is a GET, which API servers before
//! Kubernetes 1.35 allow only with *get* pods/exec.

const SYN_STREAM: u16 = 1;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;

const CONTROL: u8 = 0x80;
const VERSION: u8 = 3;
const FIN: u8 = 1;

/// The header blocks of a connection form one zlib stream. This client sends stored blocks, which need no compressor.
const ZLIB_HEADER: [u8; 2] = [0x78, 0x01];
/// An empty stored block, the mark of a sync flush. Go's inflater returns buffered data only when it sees one.
const ZLIB_FLUSH: [u8; 5] = [0, 0, 0, 0xff, 0xff];

/// A frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Data {
        stream: u32,
        payload: Vec<u8>,
        last: bool,
    },
    /// The complete frame, which is sent back unchanged.
    Ping(Vec<u8>),
    Reset {
        stream: u32,
    },
    GoAway,
    /// A frame that is ignored: SYN_REPLY, SETTINGS, WINDOW_UPDATE and others. Kubernetes uses no flow control.
    Other,
}

/// Creates the frames that open streams. The header `streamtype` has the type of each stream.
#[derive(Debug, Default)]
pub(super) struct Opener {
    streams: u32,
}

impl Opener {
    /// Returns the number of a new stream, and the frame that opens it.
    pub(super) fn open(&mut self, stream_type: &str) -> (u32, Vec<u8>) {
        // A client's streams have odd numbers.
        let stream = 2 * self.streams + 1;
        let mut headers = 1_u32.to_be_bytes().to_vec();
        for text in ["streamtype", stream_type] {
            headers.extend(length32(text.len()));
            headers.extend(text.as_bytes());
        }
        let size = u16::try_from(headers.len()).unwrap_or(u16::MAX);
        let mut block = Vec::new();
        if self.streams == 0 {
            block.extend(ZLIB_HEADER);
        }
        block.push(0);
        block.extend(size.to_le_bytes());
        block.extend((!size).to_le_bytes());
        block.extend(headers);
        block.extend(ZLIB_FLUSH);

        let mut frame = vec![CONTROL, VERSION];
        frame.extend(SYN_STREAM.to_be_bytes());
        frame.push(0);
        frame.extend(length24(4 + 4 + 2 + block.len()));
        frame.extend(stream.to_be_bytes());
        frame.extend([0; 6]);
        frame.extend(block);
        self.streams += 1;
        (stream, frame)
    }
}

fn length32(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

fn length24(length: usize) -> [u8; 3] {
    let [_, a, b, c] = length32(length);
    [a, b, c]
}

/// Removes the first complete frame from the received bytes and parses it.
pub(super) fn take_frame(arrived: &mut Vec<u8>) -> Option<Frame> {
    let header: [u8; 8] = arrived.get(..8)?.try_into().ok()?;
    let [a, b, c, d, flags, l1, l2, l3] = header;
    let length = u32::from_be_bytes([0, l1, l2, l3]) as usize;
    if arrived.len() < 8 + length {
        return None;
    }
    let frame: Vec<u8> = arrived.drain(..8 + length).collect();
    let payload = &frame[8..];
    if a & CONTROL == 0 {
        return Some(Frame::Data {
            stream: u32::from_be_bytes([a, b, c, d]),
            payload: payload.to_vec(),
            last: flags & FIN != 0,
        });
    }
    let stream = payload.get(..4).and_then(|id| id.try_into().ok());
    Some(match u16::from_be_bytes([c, d]) {
        PING => Frame::Ping(frame),
        RST_STREAM => Frame::Reset {
            stream: u32::from_be_bytes(stream.unwrap_or_default()),
        },
        GOAWAY => Frame::GoAway,
        _ => Frame::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_numbers_are_odd_and_headers_are_one_zlib_stream() {
        let mut opener = Opener::default();
        let (first, frame) = opener.open("error");
        assert_eq!(first, 1);
        assert_eq!(frame[..8], [0x80, 3, 0, 1, 0, 0, 0, 49]);
        assert_eq!(frame[18..20], ZLIB_HEADER);
        assert_eq!(frame[20..25], [0, 27, 0, !27, 0xff]);
        assert_eq!(frame[25..29], [0, 0, 0, 1]);
        assert!(frame.ends_with(b"\0\0\0\x05error\0\0\0\xff\xff"));
        let (second, frame) = opener.open("stdout");
        assert_eq!(second, 3);
        assert_eq!(frame[18..21], [0, 28, 0]);
    }

    #[test]
    fn only_complete_frames_are_taken() {
        let mut arrived = vec![0, 0, 0, 3, 1, 0, 0, 2, b'h'];
        assert_eq!(take_frame(&mut arrived), None);
        arrived.extend([b'i', 0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 9]);
        assert_eq!(
            take_frame(&mut arrived),
            Some(Frame::Data {
                stream: 3,
                payload: b"hi".to_vec(),
                last: true
            })
        );
        assert_eq!(
            take_frame(&mut arrived),
            Some(Frame::Ping(vec![0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 9]))
        );
        assert!(arrived.is_empty());
        let mut reset = vec![0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 5, 0, 0, 0, 1];
        assert_eq!(take_frame(&mut reset), Some(Frame::Reset { stream: 5 }));
    }
}
