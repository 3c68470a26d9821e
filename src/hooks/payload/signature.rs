//! HMAC-SHA256 (RFC 2104), by which GitHub signs what it sends.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::secrets::hex;

const BLOCK_BYTES: usize = 64;

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; BLOCK_BYTES];
    let hashed;
    let key = if key.len() > BLOCK_BYTES {
        hashed = Sha256::digest(key);
        &hashed[..]
    } else {
        key
    };
    block.iter_mut().zip(key).for_each(|(place, byte)| *place = *byte);
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

/// Whether this is what `X-Hub-Signature-256` has for a body. The time that it takes does not tell how much of it is right.
pub fn is_signed(key: &str, body: &[u8], signature: &str) -> bool {
    let expected = format!("sha256={}", hex(&hmac(key.as_bytes(), body)));
    bool::from(expected.as_bytes().ct_eq(signature.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_rfc_4231_has() {
        for (key, message, expected) in [
            (&[0x0b; 20][..], &b"Hi There"[..], "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (&[0xaa; 20], &[0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hex(&hmac(key, message)), expected);
        }
    }

    #[test]
    fn only_the_signature_of_this_body_by_this_key_is_one() {
        // The example in GitHub's documentation.
        let (key, body) = ("It's a Secret to Everybody", b"Hello, World!");
        let good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(is_signed(key, body, good));
        for bad in ["", "sha256=", &good[7..], &good[..70], &good.to_uppercase(), &good.replace("sha256", "sha1")] {
            assert!(!is_signed(key, body, bad), "{bad}");
        }
        assert!(!is_signed("it's a secret to everybody", body, good));
        assert!(!is_signed(key, b"Hello, World", good));
    }
}
