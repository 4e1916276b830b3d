//! An array of tables at the top of the configuration, from the uppermost layer that has one: the
//! file, a variable, or the command line.

use figment::value::Value;
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use super::{
    layers::Tree,
    problem::{Complaint, Problems, wrong},
    written::Written,
};

/// The array, as it was written.
pub(super) struct Array<'t> {
    value: Option<DeValue<'t>>,
    shape: &'static str,
}

/// How an array of tables is written in a file, and in a variable.
pub(super) struct Shape {
    pub file: &'static str,
    pub variable: &'static str,
}

impl<'t> Array<'t> {
    /// The array `key`; `in_file` is what the file has there.
    pub(super) fn new(
        tree: &'t Tree,
        key: &str,
        in_file: Option<Spanned<DeValue<'t>>>,
        shape: &Shape,
    ) -> Self {
        let above = tree.merged.get(key);
        let value = match above {
            None => in_file.map(Spanned::into_inner),
            Some(Value::String(_, text)) => Some(match DeValue::parse(text) {
                Ok(value) => value.into_inner(),
                Err(_) => DeValue::String(text.into()),
            }),
            Some(_) => Some(DeValue::Table(DeTable::new())),
        };
        let shape = match above.is_some_and(|it| tree.is_variable(it)) {
            true => shape.variable,
            false => shape.file,
        };
        Self { value, shape }
    }

    /// The entries; `None` where nothing is written.
    pub(super) fn entries(&self) -> Result<Option<&DeArray<'t>>, Complaint> {
        self.value
            .as_ref()
            .map(|value| entries(value, self.shape))
            .transpose()
    }

    /// The table of one entry.
    pub(super) fn get(&self, index: usize) -> Option<&DeTable<'t>> {
        let entry = self.value.as_ref()?.as_array()?.get(index)?;
        entry.get_ref().as_table()
    }

    pub(super) fn shape(&self) -> &'static str {
        self.shape
    }
}

/// The entries of a value that has to be an array.
pub(super) fn entries<'v, 't>(
    value: &'v DeValue<'t>,
    shape: &'static str,
) -> Result<&'v DeArray<'t>, Complaint> {
    value.as_array().ok_or_else(|| {
        let found = Written::of_toml(value);
        wrong(format!("expected an array of tables, found {found}")).hint(shape)
    })
}

/// An entry that has to be a table.
pub(super) fn table<'v, 't>(
    value: &'v DeValue<'t>,
    path: impl ToString,
    shape: &'static str,
    problems: &mut Problems,
) -> Option<&'v DeTable<'t>> {
    let table = value.as_table();
    if table.is_none() {
        let found = Written::of_toml(value);
        let complaint = wrong(format!("expected a table, found {found}"));
        problems.add(path.to_string(), complaint.hint(shape));
    }
    table
}
