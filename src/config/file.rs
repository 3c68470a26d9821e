//! The settings file: its keys, and their lines.

use std::collections::BTreeMap;
use std::path::Path;

use super::nearest::meant;
use super::{ConfigError, SETTINGS};

/// The contents of a settings file.
#[derive(Debug, Default)]
pub(super) struct File {
    /// The values of each key, in the form that a flag has, and its line.
    values: BTreeMap<String, (Vec<String>, usize)>,
    /// Unknown keys, each as a sentence.
    pub(super) wrong: Vec<String>,
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// It can't be read, or is not valid TOML.
    pub(super) fn read(path: &Path) -> Result<File, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::of(format!("{}: {error}", path.display())))?;
        let line = |at: usize| text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
        let place = |at: usize| format!("{}, line {}", path.display(), line(at));
        // Some editors write a byte order mark.
        let body = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let before = text.len() - body.len();
        let table = toml::de::DeTable::parse(body).map_err(|error| {
            let at = error.span().map_or_else(|| path.display().to_string(), |span| place(before + span.start));
            ConfigError::of(format!("{at}: {}", error.message()))
        })?;
        let mut file = File::default();
        for (key, value) in table.get_ref() {
            let (name, at) = (key.get_ref().as_ref(), before + key.span().start);
            if SETTINGS.iter().any(|setting| setting.name == name) {
                file.values.insert(name.to_owned(), (texts(value.get_ref()), line(at)));
                continue;
            }
            let why = match value.get_ref() {
                toml::de::DeValue::Table(_) => {
                    "settings belong to no [table]; write them above the first one".to_owned()
                }
                _ => meant_setting(name),
            };
            file.wrong.push(format!("{}: {name}: no such setting; {why}", place(at)));
        }
        Ok(file)
    }

    /// The values of a setting, and its line.
    pub(super) fn value(&self, name: &str) -> Option<&(Vec<String>, usize)> {
        self.values.get(name)
    }
}

/// Suggests the setting that was meant.
fn meant_setting(name: &str) -> String {
    let names = SETTINGS.iter().map(|setting| setting.name);
    meant(&name.to_lowercase().replace('_', "-"), names, "`dantok config` prints all settings")
}

fn texts(value: &toml::de::DeValue<'_>) -> Vec<String> {
    use toml::de::DeValue;
    match value {
        DeValue::Array(values) => values.iter().flat_map(|value| texts(value.get_ref())).collect(),
        DeValue::String(text) => vec![text.to_string()],
        DeValue::Boolean(is) => vec![is.to_string()],
        DeValue::Integer(number) => {
            vec![
                i128::from_str_radix(number.as_str(), number.radix())
                    .map_or_else(|_| number.to_string(), |n| n.to_string()),
            ]
        }
        DeValue::Float(number) => vec![number.to_string()],
        DeValue::Datetime(time) => vec![time.to_string()],
        DeValue::Table(_) => vec!["a table".to_owned()],
    }
}
