//! A table of the configuration file, read key by key.
//!
//! Invariant: the known keys are those that were asked for. So there is no second list of them that could differ from
//! what is read: [`Section::finish`] refuses the rest.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::place::Place;
use super::reader::Reader;
use super::variables;

/// How alike two words must be (see [`strsim::jaro_winkler`]) for one to be taken for a slip of the other.
const ALIKE_MIN: f64 = 0.8;

/// A string of the file, with its variables expanded.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    /// What it stands for. May be secret.
    pub(crate) value: String,
    /// As it is written in the file, for messages.
    pub(crate) written: String,
    pub(crate) place: Place,
}

/// A table of the file.
pub(crate) struct Section<'a> {
    pub(crate) reader: &'a Reader<'a>,
    pub(crate) place: Place,
    title: &'static str,
    table: &'a DeTable<'a>,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub(crate) fn new(
        reader: &'a Reader<'a>,
        title: &'static str,
        table: &'a DeTable<'a>,
        place: Place,
    ) -> Self {
        Self { reader, title, table, place, asked: Vec::new() }
    }

    /// A string.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<Text> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::String(written) => self.expand(written, self.place_of(value)),
            other => self.wrong_kind(key, value, "a string", other),
        }
    }

    /// A string, or a number, as it is written.
    pub(crate) fn quantity(&mut self, key: &'static str) -> Option<Text> {
        let value = self.get(key)?;
        let number = match value.get_ref() {
            DeValue::String(written) => return self.expand(written, self.place_of(value)),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            other => return self.wrong_kind(key, value, "a string such as \"10s\" or \"4M\"", other),
        };
        Some(Text { value: number.clone(), written: number, place: self.place_of(value) })
    }

    /// A string, read with `parse`. Its errors must not repeat what it is given.
    pub(crate) fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&Text) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(key)?;
        self.parse(key, &text, parse)
    }

    /// A string or a number, read with `parse`. Its errors must not repeat what it is given.
    pub(crate) fn parsed_quantity<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.quantity(key)?;
        self.parse(key, &text, |text| parse(&text.value))
    }

    fn parse<T>(&self, key: &str, text: &Text, parse: impl FnOnce(&Text) -> Result<T, String>) -> Option<T> {
        let refuse =
            |why| self.reader.refuse(&text.place, format!("{key} = {:?} is refused", text.written), why);
        parse(text).map_err(refuse).ok()
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(yes) => Some(*yes),
            other => self.wrong_kind(key, value, "true or false", other),
        }
    }

    /// A list of strings.
    pub(crate) fn texts(&mut self, key: &'static str) -> Vec<Text> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let DeValue::Array(list) = value.get_ref() else {
            self.wrong_kind::<()>(key, value, "a list of strings", value.get_ref());
            return Vec::new();
        };
        let read = |item: &'a Spanned<DeValue<'a>>| match item.get_ref() {
            DeValue::String(written) => self.expand(written, self.place_of(item)),
            other => self.wrong_kind(key, item, "a list of strings", other),
        };
        list.iter().filter_map(read).collect()
    }

    /// A `[table]`.
    pub(crate) fn section(&mut self, key: &'static str, title: &'static str) -> Option<Self> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(Self::new(self.reader, title, table, self.place_of(value))),
            other => self.wrong_kind(key, value, title, other),
        }
    }

    /// A list of `[[tables]]`.
    pub(crate) fn sections(&mut self, key: &'static str, title: &'static str) -> Vec<Self> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let wrong = |value: &'a Spanned<DeValue<'a>>| {
            self.wrong_kind::<Self>(key, value, &format!("{title}, with two brackets"), value.get_ref())
        };
        let DeValue::Array(list) = value.get_ref() else {
            wrong(value);
            return Vec::new();
        };
        let read = |item: &'a Spanned<DeValue<'a>>| match item.get_ref() {
            DeValue::Table(table) => Some(Self::new(self.reader, title, table, self.place_of(item))),
            _ => wrong(item),
        };
        list.iter().filter_map(read).collect()
    }

    /// Notes that a key is missing.
    pub(crate) fn missing(&self, key: &str, suggestion: &str) {
        self.reader.refuse(&self.place, format!("{} has no `{key}`", self.title), suggestion);
    }

    /// Refuses the keys that nobody asked for.
    pub(crate) fn finish(self) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let suggestion = match nearest(name, &self.asked) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here are {}", self.asked.join(", ")),
            };
            let place = self.reader.place(&key.span());
            self.reader.refuse(&place, format!("unknown key `{name}` in {}", self.title), suggestion);
        }
    }

    /// Whether the key is there, be its value good or not.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    fn get(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.push(key);
        self.table.get(key)
    }

    fn place_of(&self, value: &Spanned<DeValue<'_>>) -> Place {
        self.reader.place(&value.span())
    }

    fn expand(&self, written: &str, place: Place) -> Option<Text> {
        match variables::expand(written, self.reader.lookup) {
            Ok(value) => Some(Text { value, written: written.to_string(), place }),
            Err((message, suggestion)) => {
                self.reader.refuse(&place, message, suggestion);
                None
            }
        }
    }

    fn wrong_kind<T>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        wanted: &str,
        found: &DeValue<'_>,
    ) -> Option<T> {
        let place = self.place_of(value);
        let found = match found {
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
            DeValue::String(_) => "a string",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
        };
        self.reader.refuse(&place, format!("`{key}` is {found}"), format!("it must be {wanted}"));
        None
    }
}

/// The known word that another one was probably meant to be.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let alike = |known: &&&str| strsim::jaro_winkler(word, known);
    known.iter().max_by(|a, b| alike(a).total_cmp(&alike(b))).filter(|near| alike(near) >= ALIKE_MIN).copied()
}
