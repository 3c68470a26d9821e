//! A decoder of frames that knows nothing but the tables of `protocol.md`.

use std::collections::BTreeMap;

use super::blocks::blocks;

/// What stands behind a variant's or a struct's name.
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
        }
        tables
    }

    /// How many variants an enum has.
    pub fn variants(&self, of: &str) -> usize {
        self.enums.get(of).map_or(0, BTreeMap::len)
    }

    /// The value in a frame, as `{:?}` writes it.
    pub fn decode(&self, of: &str, frame: &[u8]) -> String {
        let (length, mut rest) = frame.split_at(4);
        assert_eq!(u32::from_be_bytes(length.try_into().unwrap()) as usize, rest.len(), "the length");
        let value = self.value(of, &mut rest);
        assert!(rest.is_empty(), "{} bytes are left over", rest.len());
        value
    }

    fn value(&self, of: &str, bytes: &mut &[u8]) -> String {
        let inner = |outer: &str| of.strip_prefix(outer).and_then(|rest| rest.strip_suffix('>'));
        match of {
            "u16" | "u32" | "u64" => number(bytes, of[1..].parse::<usize>().unwrap() / 8).to_string(),
            "bool" => (number(bytes, 1) == 1).to_string(),
            "String" => format!("{:?}", String::from_utf8(counted(bytes)).unwrap()),
            "Bytes" => format!("{:?}", bytes::Bytes::from(counted(bytes))),
            _ if inner("Option<").is_some() => match number(bytes, 1) {
                0 => "None".to_owned(),
                _ => format!("Some({})", self.value(inner("Option<").unwrap(), bytes)),
            },
            _ if inner("Vec<").is_some() => {
                let each = inner("Vec<").unwrap();
                let values: Vec<String> = (0..number(bytes, 8)).map(|_| self.value(each, bytes)).collect();
                format!("[{}]", values.join(", "))
            }
            _ if of.starts_with('(') => {
                let (first, second) = of[1..of.len() - 1].split_once(", ").unwrap();
                let first = self.value(first, bytes);
                format!("({first}, {})", self.value(second, bytes))
            }
            _ => match self.structs.get(of) {
                Some(shape) => self.shape(of, shape, bytes),
                None => {
                    let variants =
                        self.enums.get(of).unwrap_or_else(|| panic!("the document does not say what a {of} is"));
                    let (name, shape) = &variants[&u32::try_from(number(bytes, 4)).unwrap()];
                    self.shape(name, shape, bytes)
                }
            },
        }
    }

    fn shape(&self, name: &str, shape: &Shape, bytes: &mut &[u8]) -> String {
        match shape {
            Shape::Unit => name.to_owned(),
            Shape::One(of) => format!("{name}({})", self.value(of, bytes)),
            Shape::Fields(fields) => {
                let each = fields.iter().map(|(field, of)| format!("{field}: {}", self.value(of, bytes)));
                format!("{name} {{ {} }}", each.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

fn number(bytes: &mut &[u8], width: usize) -> u64 {
    take(bytes, width).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn counted(bytes: &mut &[u8]) -> Vec<u8> {
    let count = number(bytes, 8);
    take(bytes, usize::try_from(count).unwrap()).to_vec()
}
