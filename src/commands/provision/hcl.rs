//! Writes HCL, the language of Terraform, as `terraform fmt` lays it out.

/// A block: attributes, then blocks within it.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// The type, with its labels quoted.
    header: String,
    attributes: Vec<(&'static str, String)>,
    blocks: Vec<Block>,
}

impl Block {
    /// A block without labels.
    pub fn new(kind: &str) -> Self {
        Self {
            header: kind.to_owned(),
            ..Self::default()
        }
    }

    /// A `resource` block.
    pub fn resource(kind: &str, name: &str) -> Self {
        Self::new(&format!("resource {} {}", text(kind), text(name)))
    }

    /// Adds an attribute; `value` is an expression, made by [`text`] for instance.
    pub fn set(mut self, name: &'static str, value: impl ToString) -> Self {
        self.attributes.push((name, value.to_string()));
        self
    }

    /// Adds a block.
    pub fn with(mut self, block: Self) -> Self {
        self.blocks.push(block);
        self
    }

    /// The block as lines.
    pub fn render(&self) -> String {
        let mut lines = String::new();
        self.write(0, &mut lines);
        lines
    }

    fn write(&self, depth: usize, lines: &mut String) {
        let indent = "  ".repeat(depth);
        lines.push_str(&format!("{indent}{} {{\n", self.header));
        let widest = self.attributes.iter().map(|(name, _)| name.len()).max();
        let widest = widest.unwrap_or(0);
        for (name, value) in &self.attributes {
            lines.push_str(&format!("{indent}  {name:widest$} = {value}\n"));
        }
        for (number, block) in self.blocks.iter().enumerate() {
            if number > 0 || !self.attributes.is_empty() {
                lines.push('\n');
            }
            block.write(depth + 1, lines);
        }
        lines.push_str(&format!("{indent}}}\n"));
    }
}

/// A quoted text in which nothing is a template or an escape by accident.
pub fn text(text: &str) -> String {
    let mut quoted = String::from("\"");
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            // `${` and `%{` begin a template unless the sign is doubled.
            '$' | '%' if letters.peek() == Some(&'{') => {
                quoted.push(letter);
                quoted.push(letter);
            }
            control if control.is_control() => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            letter => quoted.push(letter),
        }
    }
    quoted + "\""
}

/// A resource name for HCL: letters, digits and `_`, with a checksum that keeps similar names
/// distinct.
pub fn identifier(name: &str) -> String {
    let plain = |letter: char| match letter.is_ascii_alphanumeric() {
        true => letter.to_ascii_lowercase(),
        false => '_',
    };
    let readable: String = name.chars().map(plain).take(200).collect();
    // A name may begin with a digit, an identifier may not.
    let checksum = crc32fast::hash(name.as_bytes());
    format!("alarm_{readable}_{checksum:08x}")
}
