//! Reads one flat JSON object. An array or an object in it is skipped, without recursion, and refused where its member is used.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::text::shortened;
use crate::{ErrorCode, Refusal};

/// More members than any request has. It bounds what looking for duplicates costs.
const MEMBERS_MAX: usize = 16;

/// The value of a member.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Number(u64),
    Text(Cow<'a, str>),
    /// A value that no member takes; what it is.
    Other(&'static str),
}

impl Value<'_> {
    /// What it is.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "a string",
            Value::Other(kind) => kind,
        }
    }
}

/// An object.
#[derive(Debug, Default)]
pub(super) struct Object<'a> {
    members: Vec<(Cow<'a, str>, Value<'a>)>,
    wrong: Option<Refusal>,
}

impl<'a> Object<'a> {
    /// Reads an object; the refusal is for what is wrong with it, which leaves the members before it.
    pub(super) fn read(text: &'a str) -> (Object<'a>, Option<Refusal>) {
        let mut object = Object::default();
        if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
            let why = "a request in JSON is one object, like {\"do\":\"ping\"}";
            return (object, Some(Refusal::new(ErrorCode::BadCommand, why)));
        }
        let mut json = serde_json::Deserializer::from_str(text);
        let read = json.deserialize_map(&mut object).and_then(|()| json.end());
        let wrong = object.wrong.take().or_else(|| {
            let error = read.err()?;
            Some(Refusal::new(ErrorCode::BadCommand, format!("this is not valid JSON: {error}")))
        });
        (object, wrong)
    }

    /// A member.
    pub(super) fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.members.iter().find(|(of, _)| of == name).map(|(_, value)| value)
    }

    /// All members.
    pub(super) fn into_members(self) -> Vec<(Cow<'a, str>, Value<'a>)> {
        self.members
    }

    fn refuse(&mut self, why: String) {
        self.wrong.get_or_insert_with(|| Refusal::bad_argument(why));
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Visitor<'a> for &mut Object<'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            if self.members.len() == MEMBERS_MAX {
                self.refuse(format!("a request has at most {MEMBERS_MAX} members"));
                return Err(A::Error::custom("too many members"));
            }
            let value = map.next_value()?;
            if self.get(&name).is_some() {
                self.refuse(format!("{} is given twice", shortened(&name)));
            } else {
                self.members.push((name, value));
            }
        }
        Ok(())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyValue)
    }
}

struct AnyValue;

/// A number that is not one of this protocol's.
const NO_NUMBER: Value<'static> = Value::Other("a number that is negative, too large or not whole");

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(Value::Number(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value<'de>, E> {
        Ok(NO_NUMBER)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value<'de>, E> {
        Ok(NO_NUMBER)
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut of: A) -> Result<Value<'de>, A::Error> {
        while of.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut of: A) -> Result<Value<'de>, A::Error> {
        while of.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other("an object"))
    }
}
