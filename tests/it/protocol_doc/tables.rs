//! A decoder of frames that knows nothing but the tables of `protocol.md`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::blocks::blocks;

/// What follows a variant's or a struct's name.
#[derive(Debug)]
enum Shape {
    Unit,
    One(String),
    Fields(Vec<(String, String)>),
}

/// The types that the document describes.
#[derive(Debug, Default)]
pub struct Tables {
    structs: BTreeMap<String, Shape>,
    enums: BTreeMap<String, BTreeMap<u32, (String, Shape)>>,
    parts: BTreeSet<u32>,
    pushes: BTreeSet<u32>,
}

/// A variant that a frame has.
#[derive(Debug)]
pub struct Variant {
    /// The enum's name.
    pub of: String,
    /// Its number.
    pub number: u32,
    /// Where in the frame that stands.
    pub at: usize,
}

fn fields<'a>(each: impl Iterator<Item = &'a str>) -> Shape {
    let field = |text: &str| text.split_once(": ").map(|(name, of)| (name.to_owned(), of.to_owned()));
    Shape::Fields(each.map(|text| field(text).unwrap_or_else(|| panic!("what field is `{text}`?"))).collect())
}

/// A table's row, where it begins with a number.
fn row(line: &str) -> Option<(u32, Vec<&str>)> {
    let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
    Some((cells.next()?.parse().ok()?, cells.collect()))
}

fn code(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Whether a line of this word is a part of answers, and whether it is pushed, as the table of answers says.
fn answers(doc: &str, word: &str) -> (bool, bool) {
    let row = doc.lines().find(|line| {
        let rest = line.strip_prefix("| `").and_then(|line| line.strip_prefix(word));
        rest.is_some_and(|rest| rest.starts_with(" <"))
    });
    let row = row.unwrap_or_else(|| panic!("{word} has no row in the table of answers"));
    let cells: Vec<&str> = row.split(" |").map(str::trim).collect();
    (!cells[1].is_empty(), !cells[2].is_empty())
}

/// `bad-command` → `BadCommand`
fn camel(name: &str) -> String {
    name.split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

impl Tables {
    /// Reads them.
    pub fn read(doc: &str) -> Tables {
        let mut tables = Tables::default();
        for (_, line) in
            blocks(doc).filter(|block| block.kind == "structs").flat_map(|block| block.lines().collect::<Vec<_>>())
        {
            let (name, rest) = line.split_once(" { ").unwrap();
            let shape = fields(rest.trim_end_matches(" }").split(", "));
            tables.structs.insert(name.to_owned(), shape);
        }
        let mut of = None;
        for line in doc.lines() {
            if line.starts_with('#') {
                of = line.strip_prefix("#### ").or((line == "## Errors").then_some("ErrorCode"));
            }
            let (Some(of), Some((number, cells))) = (of, row(line)) else { continue };
            let name = code(cells[0]).next().unwrap();
            let variant = match (of, cells[1]) {
                ("ErrorCode", _) => (camel(name), Shape::Unit),
                (_, "") => (name.to_owned(), Shape::Unit),
                (_, one) if one.starts_with("a ") => {
                    (name.to_owned(), Shape::One(code(one).next().unwrap().to_owned()))
                }
                (_, several) => (name.to_owned(), fields(code(several))),
            };
            let before = tables.enums.entry(of.to_owned()).or_default().insert(number, variant);
            assert!(before.is_none(), "{number} of {of} has two rows");
            if of == "Item" {
                let line = code(cells[2]).next().unwrap();
                let (in_answers, is_pushed) = answers(doc, line);
                tables.parts.extend(in_answers.then_some(number));
                tables.pushes.extend(is_pushed.then_some(number));
            }
        }
        tables
    }

    /// The enums' names.
    pub fn enums(&self) -> impl Iterator<Item = &str> {
        self.enums.keys().map(String::as_str)
    }

    /// The numbers of an enum's variants.
    pub fn variants(&self, of: &str) -> impl Iterator<Item = u32> {
        self.enums.get(of).into_iter().flat_map(|variants| variants.keys().copied())
    }

    /// Which items may be a part of an answer, and which may be pushed.
    pub fn told(&self) -> (BTreeSet<u32>, BTreeSet<u32>) {
        (self.parts.clone(), self.pushes.clone())
    }

    /// The value in a frame, as JSON, and the variants in it.
    pub fn decode(&self, of: &str, frame: &[u8]) -> (Value, Vec<Variant>) {
        let (length, rest) = frame.split_at(4);
        assert_eq!(u32::from_be_bytes(length.try_into().unwrap()) as usize, rest.len(), "the length");
        let mut reader = Reader { frame, at: 4, variants: Vec::new() };
        let value = self.value(of, &mut reader);
        assert_eq!(reader.at, frame.len(), "bytes are left over");
        (value, reader.variants)
    }

    fn value(&self, of: &str, reader: &mut Reader<'_>) -> Value {
        let inner = |outer: &str| of.strip_prefix(outer).and_then(|rest| rest.strip_suffix('>'));
        match of {
            "u16" | "u32" | "u64" => reader.number(of[1..].parse::<usize>().unwrap() / 8).into(),
            "bool" => (reader.number(1) == 1).into(),
            "String" => std::str::from_utf8(reader.counted()).unwrap().into(),
            "Bytes" => reader.counted().into(),
            _ if inner("Option<").is_some() => match reader.number(1) {
                0 => Value::Null,
                _ => self.value(inner("Option<").unwrap(), reader),
            },
            _ if inner("Vec<").is_some() => {
                let each = inner("Vec<").unwrap();
                (0..reader.number(8)).map(|_| self.value(each, reader)).collect()
            }
            _ if of.starts_with('(') => of[1..of.len() - 1].split(", ").map(|of| self.value(of, reader)).collect(),
            _ => match self.structs.get(of) {
                Some(shape) => self.shape(shape, reader),
                None => {
                    let variants =
                        self.enums.get(of).unwrap_or_else(|| panic!("the document does not say what a {of} is"));
                    let at = reader.at;
                    let number = u32::try_from(reader.number(4)).unwrap();
                    reader.variants.push(Variant { of: of.to_owned(), number, at });
                    match &variants[&number] {
                        (name, Shape::Unit) => name.as_str().into(),
                        (name, shape) => json!({ name: self.shape(shape, reader) }),
                    }
                }
            },
        }
    }

    fn shape(&self, shape: &Shape, reader: &mut Reader<'_>) -> Value {
        match shape {
            Shape::Unit => Value::Null,
            Shape::One(of) => self.value(of, reader),
            Shape::Fields(fields) => {
                fields.iter().map(|(field, of)| (field.clone(), self.value(of, reader))).collect::<Map<_, _>>().into()
            }
        }
    }
}

/// Takes values off a frame.
struct Reader<'a> {
    frame: &'a [u8],
    at: usize,
    variants: Vec<Variant>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let taken = &self.frame[self.at..self.at + count];
        self.at += count;
        taken
    }

    fn number(&mut self, width: usize) -> u64 {
        self.take(width).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn counted(&mut self) -> &'a [u8] {
        let count = usize::try_from(self.number(8)).unwrap();
        self.take(count)
    }
}
