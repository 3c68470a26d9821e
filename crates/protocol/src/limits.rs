//! All limits of the wire, each with its reason. Sizes are in bytes, and names end in their unit.

/// The longest name of a room, client or device, or message id, in bytes of UTF-8.
pub const NAME_MAX_BYTES: usize = 64;
/// The longest nick, in characters.
pub const NICK_MAX_CHARS: usize = 32;
/// The longest topic of a room, in bytes of UTF-8.
pub const TOPIC_MAX_BYTES: usize = 512;
/// The longest `@tag` of a line, in bytes, without the `@`.
pub const TAG_MAX_BYTES: usize = 32;
/// The longest token in a HELLO, in bytes.
pub const TOKEN_MAX_BYTES: usize = 256;
/// The highest value of `--max-body`.
pub const BODY_MAX_BYTES: usize = 1024 * 1024;
/// What a line or frame may contain besides a body: verb, tag, names, topic, lengths.
pub const ENVELOPE_BYTES: usize = 1024;
/// How much longer than a line a request in JSON may be: an escape like `\u0041` has six bytes, and stands for at least one.
pub const JSON_FACTOR: usize = 6;
/// Frames are shorter than 2^24 bytes, so that a frame's first byte is 0x00 and distinguishes it from a line.
pub const FRAME_CEILING_BYTES: usize = 1 << 24;

const _: () = {
    assert!(BODY_MAX_BYTES + ENVELOPE_BYTES < FRAME_CEILING_BYTES);
    assert!(TOPIC_MAX_BYTES + 2 * NAME_MAX_BYTES + TAG_MAX_BYTES + 64 <= ENVELOPE_BYTES);
    assert!(TOKEN_MAX_BYTES + 2 * NAME_MAX_BYTES + TAG_MAX_BYTES + 64 <= ENVELOPE_BYTES);
};
