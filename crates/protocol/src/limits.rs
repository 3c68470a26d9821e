//! Every bound of the wire, each with its reason. Sizes are bytes, and a name ends in its unit.

/// A room's, client's, device's or message id's name: longest, in bytes of UTF-8.
pub const NAME_MAX_BYTES: usize = 64;
/// A nick: longest, in characters.
pub const NICK_MAX_CHARS: usize = 32;
/// A room's topic: longest, in bytes of UTF-8.
pub const TOPIC_MAX_BYTES: usize = 512;
/// A line's `@tag`: longest, in bytes, without the `@`.
pub const TAG_MAX_BYTES: usize = 32;
/// A HELLO's token: longest, in bytes.
pub const TOKEN_MAX_BYTES: usize = 256;
/// The highest that `--max-body` takes.
pub const BODY_MAX_BYTES: usize = 1024 * 1024;
/// What a line or a frame may hold besides a body: verb, tag, names, topic, lengths.
pub const ENVELOPE_BYTES: usize = 1024;
/// Frame lengths stay under 2^24, so that a frame's first byte is 0x00 and tells it from a line.
pub const FRAME_CEILING_BYTES: usize = 1 << 24;

const _: () = {
    assert!(BODY_MAX_BYTES + ENVELOPE_BYTES < FRAME_CEILING_BYTES);
    assert!(TOPIC_MAX_BYTES + 2 * NAME_MAX_BYTES + TAG_MAX_BYTES + 64 <= ENVELOPE_BYTES);
    assert!(TOKEN_MAX_BYTES + 2 * NAME_MAX_BYTES + TAG_MAX_BYTES + 64 <= ENVELOPE_BYTES);
};
