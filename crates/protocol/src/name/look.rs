//! What new names may look like, so that no two names look the same.
//!
//! The rules are those of UTS #39 for identifiers, extended by what a chat needs: symbols, punctuation and emoji. Names from before
//! these rules are not checked: they are found by their exact bytes.

use std::borrow::Cow;
use std::fmt::Write as _;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};
use unicode_properties::{EmojiStatus, GeneralCategory, GeneralCategoryGroup, UnicodeEmoji, UnicodeGeneralCategory};
use unicode_script::{Script, ScriptExtension};
use unicode_security::GeneralSecurityProfile;
use unicode_security::confusable_detection::skeleton;
use unicode_security::general_security_profile::IdentifierType;
use unicode_security::mixed_script::AugmentedScriptSet;
use unicode_segmentation::UnicodeSegmentation;

/// The most combining marks on one letter: UTS #39, 5.4.
const MARKS_MAX: usize = 4;

fn is_variation_selector(c: char) -> bool {
    matches!(c, '\u{fe0e}' | '\u{fe0f}')
}

/// A name as it is stored: in NFC, and without the variation selectors that only choose an emoji's style.
pub fn composed(name: &str) -> Cow<'_, str> {
    if name.is_ascii() || is_nfc_quick(name.chars()) == IsNormalized::Yes && !name.contains(is_variation_selector) {
        return Cow::Borrowed(name);
    }
    let mut before = None;
    let kept = name.chars().filter(|c| {
        let is_style = is_variation_selector(*c) && before.is_some_and(|before: char| before.is_emoji_char());
        before = Some(*c);
        !is_style
    });
    let composed: String = kept.nfc().collect();
    if composed == name { Cow::Borrowed(name) } else { Cow::Owned(composed) }
}

/// A character and its code point; only the code point if the character is invisible.
pub(super) fn named(c: char) -> String {
    let mut named = format!("U+{:04X}", u32::from(c));
    if !c.is_ascii() && !c.is_whitespace() && !is_blank(c) && !super::is_unsafe(c) && !is_mark(c) {
        let _ = write!(named, " ({c})");
    }
    named
}

fn is_mark(c: char) -> bool {
    c.general_category_group() == GeneralCategoryGroup::Mark
}

/// Whether a character is invisible, or is shown only as a placeholder.
pub(super) fn is_blank(c: char) -> bool {
    let is_hidden = matches!(
        c.general_category(),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::Surrogate
            | GeneralCategory::PrivateUse
            | GeneralCategory::Unassigned
            | GeneralCategory::SpaceSeparator
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
    );
    // A skeleton is what is left without default-ignorable characters. The last ones are a braille pattern without dots, a note
    // without a head, and replacement characters.
    is_hidden
        || !c.is_ascii() && skeleton(c.encode_utf8(&mut [0; 4])).next().is_none()
        || matches!(c, '\u{2800}' | '\u{1d159}' | '\u{fffc}' | '\u{fffd}')
}

/// The letters that make up Hangul syllables. On their own they look like the letters that are typed alone.
fn is_part_of_syllable(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{11ff}' | '\u{a960}'..='\u{a97f}' | '\u{d7b0}'..='\u{d7ff}')
}

/// Whether a character is only a compatibility form of another. Hangul letters that are typed alone, like ㅋㅋ, and emoji are not.
fn plain_form(c: char) -> Option<String> {
    let is_itself = matches!(c, '\u{3131}'..='\u{3163}') || is_drawn_as_emoji(c);
    let plain: String = c.nfkc().collect();
    (!is_itself && !plain.chars().eq([c])).then_some(plain)
}

fn is_drawn_as_emoji(c: char) -> bool {
    c > '\u{1f000}' && c.is_emoji_char()
        || matches!(c.emoji_status(), EmojiStatus::EmojiPresentation | EmojiStatus::EmojiPresentationAndModifierBase)
}

/// The ASCII character that a punctuation mark or symbol can be mistaken for.
fn looks_like_ascii(c: char) -> Option<String> {
    let script = ScriptExtension::from(c);
    let is_of_any = script.is_common() || script.is_inherited() || script.contains_script(Script::Latin);
    let seen: String = skeleton(c.encode_utf8(&mut [0; 4])).collect();
    let is_taken = !(c.is_ascii() || c.is_emoji_char())
        && seen.is_ascii()
        && if c.is_alphanumeric() { is_of_any && seen.chars().all(|c| c.is_ascii_punctuation()) } else { !is_mark(c) };
    is_taken.then_some(seen)
}

/// Whether UTS #39 classes a character as technical, or as part of a script no longer in use.
fn is_out_of_use(c: char) -> bool {
    let is_letter = c.is_alphanumeric() || is_mark(c);
    let of_no_use = matches!(
        c.identifier_type(),
        Some(
            IdentifierType::Not_Character
                | IdentifierType::Deprecated
                | IdentifierType::Exclusion
                | IdentifierType::Obsolete
                | IdentifierType::Technical
        )
    );
    is_letter && of_no_use && !matches!(c, '\u{3131}'..='\u{3163}')
}

/// What is wrong with a character, if anything.
fn fault(c: char) -> Option<String> {
    if c.is_ascii() {
        return None; // `check` has looked at those.
    }
    if is_blank(c) {
        return Some(format!("may not have {} in it, which is invisible", named(c)));
    }
    if is_part_of_syllable(c) {
        return Some(format!("may not have {} in it, a part of a syllable that stands alone", named(c)));
    }
    if let Some(plain) = plain_form(c).or_else(|| looks_like_ascii(c)).filter(|plain| !plain.contains(is_blank)) {
        return Some(format!("may not have {} in it, which is taken for {plain}", named(c)));
    }
    is_out_of_use(c).then(|| format!("may not have {} in it, which is not in everyday use", named(c)))
}

/// What is wrong with a part of a name (a whole room name, or a person or device), if anything.
pub(super) fn fault_of_part(part: &str) -> Option<String> {
    if let Some(mark) = part.chars().next().filter(|c| is_mark(*c)) {
        return Some(format!("may not begin with {}, a mark on nothing", named(mark)));
    }
    for grapheme in part.graphemes(true) {
        let mut chars = grapheme.chars();
        // An emoji drawn as one, which may contain joiners and tags; also a keycap digit.
        let is_emoji = grapheme.chars().nth(1).is_some() && emojis::get(grapheme).is_some();
        if is_emoji {
            continue;
        }
        if let Some(fault) = chars.find_map(fault) {
            return Some(fault);
        }
        let marks: Vec<char> = grapheme.nfd().filter(|c| is_mark(*c)).collect();
        if marks.len() > MARKS_MAX || marks.windows(2).any(|two| two.first() == two.last()) {
            return Some(format!("may not have that many marks on one letter, like {}", named(*marks.last()?)));
        }
    }
    mixed_scripts(part)
}

/// UTS #39, 5.2: a single script, or Latin together with the scripts of Japan, Korea or China.
fn mixed_scripts(part: &str) -> Option<String> {
    let mut scripts = AugmentedScriptSet::default();
    let mut others = AugmentedScriptSet::default();
    let mut first: Option<char> = None;
    for c in part.chars() {
        let of = AugmentedScriptSet::for_char(c);
        if of.is_all() {
            continue;
        }
        scripts.intersect_with(of);
        if !of.base.contains_script(Script::Latin) {
            others.intersect_with(of);
        }
        if scripts.is_empty() && !(others.hanb || others.jpan || others.kore) {
            let with = first.map(|first| format!(" beside {}", named(first))).unwrap_or_default();
            return Some(format!("may not have {}{with} in it: letters of scripts that look alike", named(c)));
        }
        first.get_or_insert(c);
    }
    None
}
